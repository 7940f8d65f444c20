-- Logs, consoles and artifacts in the HTML report: a bounded part inline, the whole as a link that
-- stays in the run's folder.
local raw = require "vm.raw"
local text = require "vm.report.html_text"

local M = {}

-- Bytes of a log that stand in the document: of a test that passed, of any other, of its console.
-- Where a log is longer its begin and its end are shown.
local LIMIT_PASSED <const> = 4096
local LIMIT <const> = 65536
local HEAD <const> = 4096

---Bytes of logs in one document; when they are used up, logs are links.
M.budget = 8 * 1024 * 1024

---Reads files of a run's folder for vm.report.html. What is no regular file, or lies elsewhere by way
---of a link, is not read.
---@param folder string
---@return fun(path: string, head: integer, tail: integer): string|nil, string|nil, integer|nil
function M.reader(folder)
    local root = raw.fs.realpath(folder)
    return function(path, head, tail)
        local real = root and text.confined(path) and raw.fs.realpath(root .. "/" .. path)
        if not real or real:sub(1, #root + 1) ~= root .. "/" then
            return nil
        end
        local stat = raw.fs.stat(real)
        if not stat or stat.type ~= "file" then
            return nil
        end
        local file <close> = io.open(real, "rb")
        if not file then
            return nil
        end
        if stat.size <= head + tail then
            return file:read(head + tail) or "", nil, stat.size
        end
        local first = file:read(head) or ""
        file:seek("set", stat.size - tail)
        return first, file:read(tail) or "", stat.size
    end
end

local function link(path, words, context)
    local url = text.url(path, context.base)
    if not url then
        return ("%s (%s: not in the run's folder, so there is no link)"):format(words, text.escape(path))
    end
    return ('<a href="%s">%s</a>'):format(url, words)
end

-- A log's text in the document, or only the way to it.
local function log(title, path, passed, context, out)
    if not path then
        return
    end
    local limit = passed and LIMIT_PASSED or LIMIT
    local first, last, size
    if context.read and context.budget > 0 then
        first, last, size = context.read(path, math.min(HEAD, limit // 2), limit - math.min(HEAD, limit // 2))
    end
    if first and last and passed then
        first = nil -- a long log of a test that passed: who wants it opens the file
    end
    local words = size and ("%s, %s"):format(title, text.bytes(size)) or title
    if not first then
        out[#out + 1] = ('<p class="file">%s</p>'):format(link(path, words, context))
        return
    elseif first == "" then
        out[#out + 1] = ('<p class="file">%s: empty</p>'):format(title)
        return
    end
    context.budget = context.budget - #first - #(last or "")
    local shown = text.escape(first, #first)
    if last then
        shown = ("%s</pre><p class=\"gap\">%s left out here</p><pre>%s"):format(shown,
            text.bytes(size - #first - #last), text.escape(last, #last))
    end
    out[#out + 1] = ('<details class="log"%s><summary>%s</summary><pre>%s</pre><p class="file">%s</p></details>')
        :format(passed and "" or " open", words, shown, link(path, "The whole file", context))
end

local function artifacts(list, context, out)
    if not list or #list == 0 then
        return
    end
    out[#out + 1] = '<h4>Artifacts</h4><ul class="files">'
    for _, artifact in ipairs(list) do
        local path = type(artifact) == "table" and artifact.path or artifact
        local name = tostring(path):match("[^/]+$") or path
        local kind = type(artifact) == "table" and artifact.kind
        local size = type(artifact) == "table" and artifact.size
        out[#out + 1] = ('<li>%s <small>%s%s</small></li>'):format(link(path, text.escape(name), context),
            kind and text.escape(kind) .. " " or "", size and text.bytes(size) or "")
    end
    out[#out + 1] = "</ul>"
end

---The files of one attempt.
---@param entry table of a vm.report.html.View
---@param attempt table
---@param context table
---@param out string[]
function M.render(entry, attempt, context, out)
    local passed = entry.outcome.name == "passed" or entry.outcome.name == "xfail"
    if attempt.tail and attempt.tail ~= "" and not (attempt.log and context.read) then
        out[#out + 1] = ("<h4>Last output</h4><pre>%s</pre>"):format(text.escape(attempt.tail))
    end
    log("Log", attempt.log, passed, context, out)
    local consoles = attempt.console or attempt.consoles
    for _, path in ipairs(type(consoles) == "table" and consoles or { consoles }) do
        log("Console", path, true, context, out)
    end
    artifacts(attempt.artifacts, context, out)
end

return M
