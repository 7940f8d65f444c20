-- `t`: what a test is given beside its guest.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local show = require "vm.test.show"

local M = {}

local now = raw.task.now

---What a test is given beside its guest.
---@class vm.TestFace
---@field cell table the values of the cell's axes and what include added; `variant` of the test
---@field name string the test's name
---@field id string the test's id
---@field env table<string, string> the environment of its commands
---@field attempt integer 1 unless it is a retry or a repetition
---@field guests table<string, vm.Guest> by name
local Face = {}
Face.__name = "vm.TestFace"

-- t -> what it was given, and what it was told.
local given_to, state_of = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })

local names = { "attempt", "cell", "env", "guests", "id", "name" }

function Face.__index(self, name)
    local value = given_to[self][name]
    if value ~= nil then
        return value
    end
    local method = Face[name]
    if method == nil then
        local known = table.move(names, 1, #names, 1, {})
        for key, known_one in pairs(Face) do
            if type(known_one) == "function" and key:sub(1, 2) ~= "__" then
                known[#known + 1] = key
            end
        end
        options.unknown("t", "field", name, known)
    end
    return method
end

function Face.__newindex(_, name)
    errors.fail("usage", "t.%s: t cannot be changed", tostring(name))
end

-- The object that ends a test that is to be skipped.
M.SKIP = setmetatable({}, { __tostring = function() return "the test is skipped" end })

---Makes the `t` of an attempt.
---@param given { cell: table, name: string, id: string, env: table, attempt: integer, guests: table }
---@param hooks { emit: fun(event: table), transcript: vm.test.Transcript, masker: vm.test.Masker }
---@return vm.TestFace t
---@return table state what it was told, for the verdict
function M.new(given, hooks)
    local state = { hooks = hooks, failures = {}, checks = { passed = 0, failed = 0 }, sections = {}, records = {},
        collect = {}, depth = 0 }
    local self = setmetatable({}, Face)
    given_to[self], state_of[self] = given, state
    return self, state
end

-- Where the test's code is that called us.
local function place()
    for level = 3, 20 do
        local info = debug.getinfo(level, "Sl")
        if not info then
            return ""
        elseif info.currentline > 0 and not info.source:find "^@vmatrix/" then
            return ("%s:%d: "):format(info.short_src, info.currentline)
        end
    end
    return ""
end

-- The last lines that a command printed, for the error of a check.
local function context(state)
    local text, command = state.hooks.transcript:last_output()
    return text and ("\nthe last output (%s):\n%s"):format(options.show(command), text) or ""
end

local function judge(self, ok, message, soft)
    local state = state_of[self]
    if ok then
        state.checks.passed = state.checks.passed + 1
        return ok
    end
    local text = place() .. message
    local err = errors.new("check", text .. context(state), { short = text })
    state.checks.failed = state.checks.failed + 1
    state.failures[#state.failures + 1] = err
    state.hooks.transcript:note("!", text)
    state.hooks.emit { event = "check", ok = false, message = text }
    if not soft then
        error(err, 0)
    end
    return false
end

local function said(message, text)
    return message ~= nil and ("%s: %s"):format(tostring(message), text) or text
end

---Fails the test, and ends it, unless the condition holds. Returns the condition.
---@generic T
---@param condition T
---@param message? string
---@return T
function Face:check(condition, message)
    return judge(self, condition, message ~= nil and tostring(message) or "the check failed: it is "
        .. tostring(condition))
end

---Fails the test unless the condition holds, and goes on. Returns whether it held.
---@param condition any
---@param message? string
---@return boolean
function Face:expect(condition, message)
    return judge(self, condition, message ~= nil and tostring(message) or "what was expected is "
        .. tostring(condition), true) and true
end

---Fails the test, and ends it.
---@param message string
function Face:fail(message)
    judge(self, false, tostring(message))
end

---Fails the test unless both are alike; tables are if what is in them is.
---@param got any
---@param wanted any
---@param message? string
function Face:equal(got, wanted, message)
    local same, where = show.same(got, wanted)
    local text = ""
    if not same then
        text = ("got %s, wanted %s"):format(show.value(got), show.value(wanted))
        if where ~= "" then
            text = ("%s; they differ at %s: %s, wanted %s"):format(text, where, show.value(show.at(got, where)),
                show.value(show.at(wanted, where)))
        end
    end
    judge(self, same, said(message, text))
end

---Fails the test unless the text has the pattern in it. Returns what the pattern captures.
---@param text string
---@param pattern string a Lua pattern, or a plain text with `plain`
---@param opts? { plain?: boolean, message?: string }
---@return string ...
function Face:match(text, pattern, opts)
    opts = options.check("t:match", opts, { plain = { "boolean", default = false }, message = "string" })
    if type(pattern) ~= "string" then
        errors.fail("usage", "t:match: a pattern expected, got %s", options.show(pattern))
    end
    local found
    if type(text) ~= "string" then
        found = { nil }
    elseif opts.plain then
        found = { text:find(pattern, 1, true) and pattern or nil }
    else
        found = table.pack(text:match(pattern))
    end
    judge(self, found[1] ~= nil, said(opts.message, ("%s does not match %s"):format(show.value(text),
        show.value(pattern))))
    return table.unpack(found)
end

---Ends the test: it is skipped, for this reason.
---@param reason string
function Face:skip(reason)
    if type(reason) ~= "string" or reason == "" then
        errors.fail("usage", "t:skip: a reason expected, got %s", options.show(reason))
    end
    state_of[self].skip = reason
    error(M.SKIP, 0)
end

---From here on the test is expected to fail: that is "xfail" then; that it passes is "xpass", a failure.
---@param reason string
function Face:expect_fail(reason)
    if type(reason) ~= "string" or reason == "" then
        errors.fail("usage", "t:expect_fail: a reason expected, got %s", options.show(reason))
    end
    state_of[self].expected = reason
end

---Says something in the log.
---@param format string as string.format has it, when there are further arguments
---@param ... any
function Face:log(format, ...)
    local text = select("#", ...) > 0 and string.format(format, ...) or tostring(format)
    state_of[self].hooks.transcript:note("#", text)
    state_of[self].hooks.emit { event = "log", text = text }
end

---Keeps files of the guest when the test ends, however it ends.
---@param path string an absolute path, or a glob
---@param opts? { guest?: string } which, where there are several
function Face:collect(path, opts)
    opts = options.check("t:collect", opts, { guest = "string" })
    if type(path) ~= "string" or path:sub(1, 1) ~= "/" or ("/" .. path .. "/"):find("/../", 1, true) then
        errors.fail("usage", "t:collect: an absolute path without '..' expected, got %s", options.show(path))
    elseif opts.guest and not self.guests[opts.guest] then
        local known = {}
        for name in pairs(self.guests) do
            known[#known + 1] = name
        end
        options.unknown("t:collect", "guest", opts.guest, known)
    end
    table.insert(state_of[self].collect, { path = path, guest = opts.guest, asked = true })
end

---Runs fn(...) as a named part of the test, with its time; sections may be nested.
---@param name string
---@param fn function
---@param ... any
---@return any ... what fn returned
function Face:section(name, fn, ...)
    if type(name) ~= "string" or type(fn) ~= "function" then
        errors.fail("usage", "t:section: a name and a function expected, got %s and %s", options.show(name),
            options.show(fn))
    end
    local state = state_of[self]
    local hooks = state.hooks
    state.depth = state.depth + 1
    local section = { name = name, depth = state.depth, started = raw.fs.now_unix() }
    local begun = now()
    table.insert(state.sections, section)
    hooks.transcript:note(">", name)
    hooks.emit { event = "section_started", name = name, depth = section.depth }
    local _ <close> = setmetatable({}, { __close = function(_, err)
        state.depth = state.depth - 1
        section.duration, section.ok = now() - begun, err == nil
        hooks.transcript:note("<", ("%s (%.3f s)"):format(name, section.duration))
        hooks.emit { event = "section_ended", name = name, depth = section.depth, duration = section.duration,
            ok = section.ok }
    end })
    return fn(...)
end

local function as_text(value)
    if type(value) == "table" and getmetatable(value) == nil then
        return raw.json.encode(value) or show.value(value)
    end
    return tostring(value)
end

---Records a value under a name: reports show which cells have the same, and which differ.
---@param name string
---@param value any
function Face:record(name, value)
    if type(name) ~= "string" or name == "" then
        errors.fail("usage", "t:record: a name expected, got %s", options.show(name))
    end
    local hooks = state_of[self].hooks
    local text = hooks.masker:text(as_text(value))
    local record = { digest = raw.data.sha256(text), text = text, size = #text }
    state_of[self].records[name] = record
    hooks.transcript:note("=", ("%s = %s"):format(name, #text > 200 and text:sub(1, 200) .. "..." or text))
    hooks.emit { event = "record", name = name, digest = record.digest, text = text:sub(1, 4096) }
end

return M
