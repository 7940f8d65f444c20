-- `vmatrix images`: the catalogue, what is in the cache, and building images.
local paths = require "vm.host.paths"

return require("vm.cli.group").define {
    name = "images",
    text = ("Images of distributions, and those that are built or added here. The cache is in %s."):format(
        paths.cache() .. "/images"),
    commands = {
        { name = "list", module = "vm.commands.images.list" },
        { name = "pull", module = "vm.commands.images.pull", field = "pull" },
        { name = "path", module = "vm.commands.images.pull", field = "path" },
        { name = "build", module = "vm.commands.images.build" },
        { name = "add", module = "vm.commands.images.keep", field = "add" },
        { name = "verify", module = "vm.commands.images.keep", field = "verify" },
        { name = "prune", module = "vm.commands.images.keep", field = "prune" },
        { name = "lock", module = "vm.commands.images.lock", field = "lock" },
        { name = "mirror", module = "vm.commands.images.lock", field = "mirror" },
    },
}
