-- `vmatrix boot`: makes a guest that is kept, and starts it.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local raw = require "vm.raw"
local target = require "vm.cli.target"

local function handler(opts, operands)
    local create = target.create_options(operands.image, opts)
    create.name, create.keep = opts.name, true
    create.wait = opts.no_wait and "none" or nil
    local begun = raw.task.now()
    local guest = require("vm.default").boot(create)
    if opts.json then
        target.json(find.entry(guest))
        return
    end
    print(guest.name)
    target.say(opts.no_wait and "guest %s boots; `vmatrix console %s --follow` shows how far it is"
        or "guest %s is up; `vmatrix shell %s` opens a shell, `vmatrix delete %s` deletes it (%.1f s)",
        guest.name, guest.name, guest.name, raw.task.now() - begun)
end

return command.define {
    name = "boot",
    help = "make a guest that is kept, and start it",
    operands = { { name = "IMAGE[@ARCH]", key = "image", complete = { "image" } } },
    options = target.options({
        { name = "--name", short = "-n", value = "NAME", help = "made from the image's when absent" },
        { name = "--no-wait", help = "do not wait until commands can be run in it" },
    }, target.CREATE, { target.JSON }),
    text = "The guest goes on when the command ends, until it is stopped or deleted. Its name goes to stdout.",
    examples = { "vmatrix boot seed --name dev && vmatrix shell dev",
        "vmatrix boot seed@aarch64 -m 512MiB -p 8080:80" },
    handler = handler,
}
