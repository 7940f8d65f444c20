-- `vmatrix shell`: a terminal in a guest; one of an image is made for it, and gone with it.
local command = require "vm.cli.command"
local errors = require "vm.errors"
local shell = require "vm.remote.shell"
local target = require "vm.cli.target"
local terminal = require "vm.terminal"

-- What is run instead of a shell: a single word as it is, several exactly.
local function line_of(words)
    if #words < 2 then
        return words[1]
    end
    local quoted = {}
    for i, word in ipairs(words) do
        quoted[i] = shell.quote(word)
    end
    return table.concat(quoted, " ")
end

local function handler(opts, operands)
    local why = terminal.problem()
    if why then
        errors.fail("usage", "shell: %s; `vmatrix exec GUEST -- COMMAND` needs none", why)
    end
    local guest <close>, throwaway = target.guest_or_image(operands.guest, opts)
    if throwaway then
        target.say("guest %s is gone when its shell ends (exit, or Ctrl-D)", guest.name)
    end
    local line = line_of(operands.command)
    local status, signal = guest:shell { command = line, user = not throwaway and opts.user or nil }
    return status or (signal and command.FAILED or command.OK) -- neither: it was left by "~."
end

return command.define {
    name = "shell",
    help = "open a shell in a guest, or in a new one of an image",
    operands = {
        { name = "GUEST|IMAGE[@ARCH]", key = "guest", complete = { "guest", "image" } },
        { name = "COMMAND", rest = true, optional = true },
    },
    options = target.options(target.CREATE),
    text = [[
It has the whole terminal; "~." at the beginning of a line leaves it. A guest of an image is made for the shell
alone, and gone when it ends. Ends with the shell's status.]],
    examples = { "vmatrix shell dev", "vmatrix shell seed@riscv64", "vmatrix shell dev -- top" },
    handler = handler,
}
