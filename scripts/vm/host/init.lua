-- Programs on the host: run one to its end, or look for one.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"

local M = {}

local run_spec = {
    stdin = "string",
    env = "table",
    cwd = "string",
    timeout = "time",
    ok = "table",
    check = { "boolean", default = true },
    max_output = { "integer", default = 8 * 1024 * 1024, min = 0 },
    on_output = "function",
}

---@class vm.HostResult
---@field ok boolean whether the status is one of those asked for
---@field status integer its exit status
---@field signal integer the signal that ended it, 0 for none
---@field stdout string
---@field stderr string
---@field truncated integer bytes of output beyond max_output, which were dropped

---@class vm.HostOptions
---@field stdin? string
---@field env? table<string, string> added to ours
---@field cwd? string
---@field timeout? number|string
---@field ok? integer[] the statuses that are fine, {0} unless told otherwise
---@field check? boolean false: any status is a result
---@field max_output? integer bytes that are kept, 8 MiB unless told otherwise
---@field on_output? fun(stream: string, chunk: string)

local function contains(list, value)
    for _, item in ipairs(list) do
        if item == value then
            return true
        end
    end
    return false
end

-- env is added to ours: the program of that name does the merging.
local function with_env(argv, env)
    if not env then
        return argv
    end
    local out = {}
    for name, value in pairs(env) do
        if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
            errors.fail("usage", "host.run: %s is not the name of an environment variable", options.show(name))
        end
        out[#out + 1] = name .. "=" .. tostring(value)
    end
    table.sort(out)
    table.insert(out, 1, "env")
    return table.move(argv, 1, #argv, #out + 1, out)
end

local function new_output(max, on_output)
    return { parts = { {}, {} }, kept = 0, max = max, truncated = 0, on_output = on_output }
end

local function add_output(output, stream, chunk)
    local room = output.max - output.kept
    if output.on_output then
        output.on_output(stream == 1 and "stdout" or "stderr", chunk)
    end
    if #chunk > room then
        output.truncated = output.truncated + #chunk - room
        chunk = chunk:sub(1, room)
    end
    output.kept = output.kept + #chunk
    table.insert(output.parts[stream], chunk)
end

local function result_of(output, status, signal)
    return {
        status = status,
        signal = signal,
        stdout = table.concat(output.parts[1]),
        stderr = table.concat(output.parts[2]),
        truncated = output.truncated,
    }
end

-- The last line that says something, without control characters, for a message.
local function last_words(result)
    local text = result.stderr:find("%S") and result.stderr or result.stdout
    local last = ""
    for line in text:gmatch("[^\r\n]+") do
        if line:find("%S") then
            last = line
        end
    end
    return (last:gsub("%c", " "):sub(1, 300))
end

local function fail(kind, message, result)
    local words = last_words(result)
    error(errors.new(kind, words == "" and message or message .. ": " .. words, result), 0)
end

---Runs a program and waits for it to end. It raises an error of kind "exit" for a status that is
---not in `ok` (unless check = false), and of kind "timeout", with the output so far, when its time is
---over; then, and when the task is cancelled, the program and all it started are killed.
---@param argv string[] the program, looked up in PATH, and its arguments
---@param opts? vm.HostOptions
---@return vm.HostResult
function M.run(argv, opts)
    opts = options.check("host.run", opts, run_spec)
    local deadline = opts.timeout and raw.task.now() + opts.timeout
    local output = new_output(opts.max_output, opts.on_output)
    local process <close> = errors.raise(raw.process.start {
        argv = with_env(argv, opts.env),
        cwd = opts.cwd,
        stdin = opts.stdin ~= nil,
    })
    local function left()
        return deadline and math.max(0, deadline - raw.task.now())
    end
    local function check_time(err)
        if err and err.kind == "timeout" then
            fail("timeout", ("%s did not end within %g s"):format(argv[1], opts.timeout), result_of(output, 0, 0))
        elseif err then
            error(err, 0)
        end
    end
    if opts.stdin then
        errors.raise(process:queue(opts.stdin))
        process:close_stdin()
    end
    while true do
        local stream, chunk = process:read(left())
        if not stream then
            check_time(chunk)
            break
        end
        add_output(output, stream, chunk)
    end
    local status, signal = process:wait(left())
    if not status then
        check_time(signal)
    end
    local result = result_of(output, status, signal)
    result.ok = signal == 0 and contains(opts.ok or { 0 }, status)
    if opts.check and not result.ok then
        local what = signal ~= 0 and "was ended by signal " .. signal or "ended with status " .. status
        fail("exit", argv[1] .. " " .. what, result)
    end
    return result
end

---The path of a program in PATH, or nil.
---@param name string
---@return string|nil
function M.which(name)
    for folder in (os.getenv("PATH") or "/usr/bin:/bin"):gmatch("[^:]+") do
        local path = folder .. "/" .. name
        local stat = raw.fs.stat(path)
        if stat and stat.type == "file" and stat.mode & 73 ~= 0 then -- 0111: anyone may run it
            return path
        end
    end
    return nil
end

return M
