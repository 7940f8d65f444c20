-- Asking the owner of the kept guests: it is started when there is none. One line of JSON there, and one
-- back; closing the channel takes the question back.
local raw = require "vm.raw"
local errors = require "vm.errors"
local place_of = require "vm.owner.place"
local progress = require "vm.terminal.progress"
local shallow = require "vm.shallow"

local M = {}

local fs = raw.fs

---The version of what is said over the socket.
M.PROTOCOL = 1

---Seconds for an owner of another version to end.
M.RETIRE = 120

-- Seconds for an owner to start and take its guests over, and between two looks for it.
local START <const>, LOOK <const> = 60, 0.02

---What reads lines from a channel.
---@param channel userdata
---@return fun(seconds?: number): string|nil line nil at the end, or when the time is over
function M.lines(channel)
    local buffer = ""
    return function(seconds)
        local deadline = seconds and raw.task.now() + seconds
        while true do
            local line, rest = buffer:match "^([^\n]*)\n(.*)$"
            if line then
                buffer = rest
                return line
            end
            local chunk, err = channel:read(deadline and math.max(0, deadline - raw.task.now()))
            if not chunk then
                return nil, err
            end
            buffer = buffer .. chunk
        end
    end
end

-- The end of what owners have written, for a message.
local function last_words(place)
    local text = fs.read(place.home .. "/owner.log", 2 * 1024 * 1024) or ""
    local lines = {}
    for line in text:sub(-2000):gmatch "[^\n]+" do
        lines[#lines + 1] = "  " .. line:gsub("[%c\127]", "?")
    end
    return table.concat(lines, "\n", math.max(1, #lines - 4))
end

-- Starts an owner; that there is one already is its own affair. Waits until it is in the background.
local function start(place)
    local process <close> = errors.raise(raw.process.start {
        argv = { raw.run.program(), "--own", place.home },
    })
    local said = ""
    while true do
        local stream, chunk = process:read()
        if not stream then
            break
        end
        said = said .. chunk
    end
    local status = process:wait()
    if status ~= 0 then
        errors.fail("system", "the owner of the kept guests cannot be started: %s",
            said ~= "" and said:gsub("%s+$", "") or "status " .. tostring(status))
    end
end

-- One try: the channel and its reader after the greeting, or nil.
local function try(place, seconds)
    if not fs.exists(place.socket) then
        return nil
    end
    local channel = raw.channel.open(place.socket)
    local read = channel and M.lines(channel)
    local line = channel and read(seconds)
    local greeting = line and raw.json.decode(line)
    if type(greeting) == "table" and greeting.vmatrix then
        return channel, read, greeting
    elseif channel then
        channel:close()
    end
end

local function same_version(greeting)
    return greeting.protocol == M.PROTOCOL and greeting.vmatrix == _G._VMATRIX
end

-- An owner of another version makes way: it ends when what it does is done, and loses no guest.
local function retire(channel, greeting)
    raw.log.write("info", nil, ("the owner of the kept guests is vmatrix %s: it is asked to end")
        :format(tostring(greeting.vmatrix)))
    channel:queue '{"verb":"retire"}\n'
    local _ <close> = setmetatable({}, { __close = function() channel:close() end })
    local deadline = raw.task.now() + M.RETIRE
    local chunk, err
    repeat
        chunk, err = channel:read(math.max(0.01, deadline - raw.task.now()))
    until not chunk or raw.task.now() > deadline
    if not chunk and not errors.is(err, "timeout") then
        return
    end
    errors.fail("timeout", "the owner of the kept guests is another vmatrix (%s, process %s) and does not end; what "
        .. "it waits for holds it, or `kill %s` ends it: its guests go on", tostring(greeting.vmatrix),
        tostring(greeting.pid), tostring(greeting.pid))
end

-- A channel to an owner of our own version.
local function connect(place)
    local deadline = raw.task.now() + START
    local started = 0
    while true do
        local channel, read, greeting = try(place, math.max(0.1, deadline - raw.task.now()))
        if channel and same_version(greeting) then
            return channel, read
        elseif channel then
            retire(channel, greeting)
            started = 0
        end
        local now = raw.task.now()
        if now > deadline then
            errors.fail("timeout", "the owner of the kept guests does not answer at %s; the end of %s/owner.log:\n%s",
                place.socket, place.home, last_words(place))
        end
        if now - started > 2 then -- it may have seen another one that was just about to end
            place_of.make(place)
            start(place)
            started = raw.task.now()
        end
        raw.task.sleep(LOOK)
    end
end

local function to_error(given, fallback)
    local fields = shallow(type(given) == "table" and given or {})
    local kind, message = fields.kind or "system", fields.message or fallback
    fields.kind, fields.message = nil, nil
    return errors.new(kind, message, fields)
end

---Asks the owner to do something and waits for the answer; raises what it raised. When the task is
---cancelled the owner stops where that can be done. On a terminal it is shown what takes a while, be it that
---the owner has to be started for it.
---@param verb string
---@param args? table
---@param opts? { place?: vm.owner.Place, expect?: number } expect: the seconds that it took before
---@return any result
function M.call(verb, args, opts)
    local place = opts and opts.place or place_of.of()
    args = args or {}
    local bar <close> = progress.start(("%s %s"):format(verb:gsub("_", " "), -- luacheck: ignore 211
        args.guest or args.spec and args.spec.name or "kept guests"), { expect = opts and opts.expect })
    local channel, read = connect(place)
    local _ <close> = setmetatable({}, { __close = function() channel:close() end })
    errors.raise(channel:queue(errors.raise(raw.json.encode { verb = verb, args = args }) .. "\n"))
    local line = read()
    local answer = line and raw.json.decode(line)
    if not line then
        errors.fail("connection", "the owner of the kept guests ended while it was asked for '%s'; guests go on: "
            .. "`vmatrix list` shows them; the end of %s/owner.log:\n%s", verb, place.home, last_words(place))
    elseif type(answer) ~= "table" then
        errors.fail("format", "the owner of the kept guests said what is no answer: %s", line:sub(1, 100))
    elseif answer.error then
        error(to_error(answer.error, "the owner failed"), 0)
    end
    return answer.result
end

---Whether an owner runs; it is not started. Does not disturb it.
---@param place? vm.owner.Place
---@return table|nil greeting vmatrix, pid
function M.running(place)
    local channel, _, greeting = try(place or place_of.of(), 2)
    if channel then
        channel:close()
        return greeting
    end
end

return M
