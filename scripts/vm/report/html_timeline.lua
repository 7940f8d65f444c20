-- Who ran when on which slot: one lane a slot, drawn as SVG in per cent, so that it is as wide as the
-- page. Outcomes differ by height and sign as well as by colour.
local text = require "vm.report.html_text"

local M = {}

local LANE <const> = 22
local TOP <const> = 20
-- With more bars than this, those of tests that passed have no link and no title of their own; the
-- script finds them by their number.
local PLAIN_FROM <const> = 1500

local function nice_step(total)
    local step = 0.001
    local factors = { 2, 2.5, 2 } -- 1, 2, 5, 10
    local i = 1
    while total / step > 8 do
        step = step * factors[i]
        i = i % 3 + 1
    end
    return step
end

local function round_step(total)
    if total <= 60 then
        return nice_step(total)
    end
    for _, step in ipairs { 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200 } do
        if total / step <= 8 then
            return step
        end
    end
    return 86400 * math.max(1, math.ceil(total / 86400 / 8))
end

local function extent(model, bars)
    local from, to = model.run.started, model.run.ended
    for _, bar in ipairs(bars) do
        from = math.min(from or bar.started, bar.started)
        to = math.max(to or bar.started, bar.started + (bar.duration or 0))
    end
    return from, math.max(to - from, 0.001)
end

local function percent(part)
    return (("%.3f"):format(part * 100):gsub("%.?0+$", ""))
end

local heights <const> = { passed = 10, xfail = 10, skipped = 6 }

local function bar_html(bar, at, y, context, plain)
    local rank = context.rank[bar.outcome]
    local outcome = rank and context.outcomes[rank]
    local is_test = bar.what == "test"
    local name = outcome and (is_test or outcome.name == "error") and outcome.name or "work"
    local height = not is_test and 4 or heights[name] or 16
    local entry = bar.test and context.view.by_id[bar.test]
    local rect = ('<rect class="%s" x="%s%%" y="%d" width="%s%%" height="%d"%s'):format(name, at.x,
        y + 18 - height, at.width, height, entry and (' data-t="%d"'):format(entry.index) or "")
    if plain and (name == "passed" or name == "work") then
        return rect .. "/>"
    end
    local title = text.escape(("%s: %s, %s"):format(bar.name or bar.test or bar.what,
        outcome and outcome.label or bar.what, text.duration(bar.duration)), 300)
    local html = ("%s><title>%s</title></rect>"):format(rect, title)
    if is_test and name ~= "passed" and tonumber(at.width) > 1.2 then
        html = html .. ('<text class="%s" x="%s%%" y="%d" dx="4">%s</text>'):format(name, at.x, y + 14, outcome.glyph)
    end
    if entry then
        return ('<a href="#t%d" tabindex="-1">%s</a>'):format(entry.index, html)
    end
    return html
end

local function ticks(total, height, out)
    local step = round_step(total)
    for i = 0, math.floor(total / step + 0.001) do
        local x = percent(i * step / total)
        out[#out + 1] = ('<line x1="%s%%" x2="%s%%" y1="%d" y2="%d"/>'):format(x, x, TOP - 4, height)
        if i * step / total < 0.96 then
            out[#out + 1] = ('<text class="tick" x="%s%%" y="12" dx="3">%s</text>'):format(x,
                i == 0 and "0" or text.duration(i * step):gsub("%.0 s", " s"):gsub(" 00 %a+$", ""))
        end
    end
end

-- Many short bars of work side by side are one, where nobody could tell them apart.
local function merge(bars, total)
    local kept, last = {}, {}
    for _, bar in ipairs(bars) do
        local slot = bar.slot or 0
        local before = last[slot]
        if bar.what == "test" or bar.outcome == "error" then
            kept[#kept + 1] = bar
        elseif before and bar.started <= before.started + before.duration + total / 2000 then
            before.duration = math.max(before.duration, bar.started + (bar.duration or 0) - before.started)
        else
            last[slot] = { slot = bar.slot, what = bar.what, started = bar.started,
                duration = bar.duration or 0 }
            kept[#kept + 1] = last[slot]
        end
    end
    return kept
end

-- Bars of one slot that overlap (guests that boot while a test runs) keep one lane: theirs are thin.
local function slots_of(bars)
    local slots, seen = {}, {}
    for _, bar in ipairs(bars) do
        local slot = bar.slot or 0
        if not seen[slot] then
            seen[slot] = true
            slots[#slots + 1] = slot
        end
    end
    table.sort(slots, function(a, b) return tostring(a) < tostring(b) end)
    if #slots > 0 and math.type(slots[1]) then
        table.sort(slots, function(a, b) return (tonumber(a) or 0) < (tonumber(b) or 0) end)
    end
    local lane = {}
    for i, slot in ipairs(slots) do lane[slot] = i end
    return slots, lane
end

---The timeline, or an empty text when the model has none.
---@param model table
---@param context table
---@return string html
function M.render(model, context)
    local bars = {}
    for _, bar in ipairs(model.timeline or {}) do
        if bar.started then bars[#bars + 1] = bar end
    end
    if #bars == 0 then
        return ""
    end
    local from, total = extent(model, bars)
    local plain = #bars > PLAIN_FROM
    bars = plain and merge(bars, total) or bars
    local slots, lane = slots_of(bars)
    local height = TOP + #slots * LANE
    local out = { '<div class="timeline"><ol class="lanes">' }
    for _, slot in ipairs(slots) do
        out[#out + 1] = ("<li>%s</li>"):format(slot == 0 and "host" or "slot " .. text.escape(slot))
    end
    out[#out + 1] = ('</ol><div class="plot"><svg id="timeline" height="%d" role="img" aria-label="%s">'):format(height,
        ("Timeline: %d bars on %d slots in %s. The same times are in the list of tests."):format(#bars, #slots,
            text.duration(total)))
    ticks(total, height, out)
    for _, bar in ipairs(bars) do
        local width = math.max(0.03, (bar.duration or 0) / total * 100)
        out[#out + 1] = bar_html(bar, { x = percent((bar.started - from) / total), width = percent(width / 100) },
            TOP + (lane[bar.slot or 0] - 1) * LANE, context, plain)
    end
    out[#out + 1] = "</svg></div></div>"
    return table.concat(out)
end

return M
