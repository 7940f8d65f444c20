-- `vmatrix copy`: files and folders between this host and a kept guest.
local command = require "vm.cli.command"
local errors = require "vm.errors"
local progress = require "vm.terminal.progress"
local target = require "vm.cli.target"

-- The guest's name and the path in "GUEST:PATH"; nil for a path of this host, also "./a:b".
local function remote(text)
    local name, path = text:match "^([%w][%w._-]*):(.*)$"
    return name, path
end

local function sides(list)
    if #list < 2 then
        errors.fail("usage", "copy wants a source and a destination")
    end
    local dst = table.remove(list)
    local to, dst_path = remote(dst)
    local from, paths
    paths = {}
    for i, each in ipairs(list) do
        local name, path = remote(each)
        if i > 1 and name ~= from then
            errors.fail("usage", "all sources are of this host, or all of one guest")
        end
        from, paths[i] = name, path or each
    end
    if (from == nil) == (to == nil) then
        errors.fail("usage", from and "copy goes between this host and a guest, not between guests"
            or "one side is a guest's: GUEST:PATH")
    end
    dst = dst_path or dst
    if dst == "" or dst == "." or dst == ".." then
        dst = (dst == "" and "." or dst) .. "/"
    end
    if #paths > 1 and dst:sub(-1) ~= "/" then
        errors.fail("usage", "several sources go into a folder: end the destination with '/'")
    end
    return to or from, to ~= nil, paths, dst
end

local function handler(opts, operands)
    local name, inwards, paths, dst = sides(operands.paths)
    local guest <close> = target.reachable(name)
    for _, path in ipairs(paths) do
        local bar <close> = progress.start("copy " .. path)
        local how = { exclude = opts.exclude, delete = opts.delete, progress = bar.driver and bar:callback() or nil }
        if inwards then
            guest:copy_in(path, dst, how)
        else
            how.unsafe = opts.skip_unsafe and "skip" or nil
            guest:copy_out(path, dst, how)
        end
    end
end

return command.define {
    name = "copy",
    help = "copy files and folders into a guest, or out of it",
    operands = { { name = "SRC... DST", key = "paths", many = true, complete = { "path" } } },
    options = {
        { name = "--exclude", value = "GLOB", many = true, help = "leave out what matches" },
        { name = "--delete", help = "remove what is not in the source: a mirror" },
        { name = "--skip-unsafe", help = "out of a guest: leave out what would leave the destination" },
    },
    text = [[
The guest's side is GUEST:PATH; a file of this host with a colon in its name is ./a:b. DST is the final name; one
that ends in '/' is a folder to copy into. Folders are merged.]],
    examples = { "vmatrix copy src dev:/w", "vmatrix copy dev:/var/log/ logs", "vmatrix copy a b dev:/tmp/" },
    handler = handler,
}
