-- Who looks on when commands are run on a machine: a test puts its watch into the machine's field
-- `watch`, and sees what is run and said.
local M = {}

---A command is about to be run: changes its options so that its output is seen. To be closed by the
---caller, who calls seen:ended(result) when there is one.
---@param machine vm.Guest|vm.Ssh
---@param verb string
---@param command string|string[]
---@param opts vm.ExecOptions a table of the caller's own
---@return table|nil seen
function M.begin(machine, verb, command, opts)
    local watch = rawget(machine, "watch")
    if not watch then
        return nil
    end
    local seen, own = watch:begin(verb, command), opts.on_output
    function opts.on_output(stream, chunk)
        seen:output(stream, chunk)
        if own then
            own(stream, chunk)
        end
    end
    return seen
end

---A command is about to be started that nobody waits for here.
---@param machine vm.Guest|vm.Ssh
---@param command string|string[]
function M.spawned(machine, command)
    local watch = rawget(machine, "watch")
    if watch then
        watch:begin("spawn", command):ended { status = "not waited for" }
    end
end

return M
