-- What the program's commands share that are about guests: who is meant, what a new one is to be, and how
-- things are said.
local raw = require "vm.raw"
local errors = require "vm.errors"
local find = require "vm.owner.find"
local make = require "vm.owner.make"
local named = require "vm.guest.named"
local progress = require "vm.terminal.progress"

local M = {}

---The options of commands that make guests.
---@type vm.CommandOption[]
M.CREATE = {
    { name = "--arch", value = "ARCH", complete = { "arch" }, help = "the host's when absent; or IMAGE@ARCH" },
    { name = "--memory", short = "-m", value = "SIZE", type = "size", help = "such as 2GiB" },
    { name = "--cpus", value = "N", type = "integer", help = "how many processors" },
    { name = "--disk", value = "SIZE", type = "size", help = "of its first disk" },
    { name = "--forward", short = "-p", value = "[HOST:]GUEST", many = true, help = "a port to reach from here" },
    { name = "--kernel", value = "FILE", complete = { "file" }, help = "boots this kernel directly" },
    { name = "--initrd", value = "FILE", complete = { "file" }, help = "goes with --kernel" },
    { name = "--append", value = "TEXT", help = "kernel command line" },
    { name = "--user", short = "-u", value = "NAME", help = "who logs in" },
    { name = "--timeout", value = "TIME", type = "time", help = "for the boot: 120 s, longer when emulated" },
}

---Options of a command with more of its own.
---@param ... vm.CommandOption[]
---@return vm.CommandOption[]
function M.options(...)
    local all = {}
    for _, list in ipairs { ... } do
        table.move(list, 1, #list, #all + 1, all)
    end
    return all
end

---@type vm.CommandOption
M.JSON = { name = "--json", help = "say it as JSON" }

---A forward as people write it: "80" or "8080:80".
---@param text string
---@return table
function M.forward(text)
    local host, guest = text:match "^(%d+):(%d+)$"
    guest = guest or text:match "^%d+$"
    if not guest then
        errors.fail("usage", "a port of the guest expected, such as 80 or 8080:80, got %s", text)
    end
    return { guest = math.tointeger(tonumber(guest)), host = host and math.tointeger(tonumber(host)) or nil }
end

---The image and the architecture of "IMAGE@ARCH".
---@param text string
---@return string image
---@return string|nil arch
function M.image(text)
    local image, arch = text:match "^(.+)@([%w_]+)$"
    return image or text, arch
end

---The options of vm.boot for an image and what was said on the command line.
---@param text string IMAGE[@ARCH]
---@param opts table of the command
---@return vm.CreateOptions
function M.create_options(text, opts)
    local image, arch = M.image(text)
    local forward = {}
    for i, each in ipairs(opts.forward or {}) do
        forward[i] = M.forward(each)
    end
    return { image = image, arch = arch or opts.arch, memory = opts.memory, cpus = opts.cpus, disk = opts.disk,
        forward = forward, kernel = opts.kernel, initrd = opts.initrd, append = opts.append, user = opts.user,
        timeout = opts.timeout }
end

-- Whether a text can only be an image: a path, an architecture behind it, or one of these names.
local function is_image(text, names)
    local stat = raw.fs.stat(text)
    return text:find "[@/]" ~= nil or names[text] ~= nil or (stat ~= nil and stat.type == "file")
end

---The guest that a command is about: a kept one, or a throwaway one of an image, which ends with the program.
---@param text string GUEST or IMAGE[@ARCH]
---@param opts table of the command, for a new guest
---@return vm.Guest|vm.KeptGuest it can be used: a boot that is under way is over
---@return boolean throwaway
function M.guest_or_image(text, opts)
    local images = named.names()
    local name, why = find.match(text, images)
    if name ~= text and is_image(text, images) then
        local create = M.create_options(text, opts)
        local wanted = M.create_options(text, opts)
        wanted.timeout = nil
        make.prepare_image(require("vm.guest.spec").check("vm.boot", wanted))
        local bar <close> = progress.start("boot " .. text) -- luacheck: ignore 211
        return require("vm.default").boot(create), true
    elseif not name then
        find.fail(why)
    end
    for _, option in ipairs(M.CREATE) do
        local key = option.name:sub(3)
        if opts[key] ~= nil and key ~= "user" then
            errors.fail("usage", "option '%s' is for a new guest of an image; %s is a guest that is there", option.name,
                name)
        end
    end
    return M.reachable(text), false
end

---The kept guest that a command line names, for commands that go on inside it: a boot that is under way, be it
---from another terminal, is waited for.
---@param name string
---@return vm.KeptGuest
function M.reachable(name)
    local guest = find.need(name)
    if guest:boots() then
        make.watch(guest, "boot", function() guest:wait_ready() end)
    end
    return guest
end

---Says something for people on stderr: what was done, and what may be next.
---@param format string
---@param ... any
function M.say(format, ...)
    progress.hide()
    io.stderr:write((string.format(format, ...):gsub("[%z\1-\9\11-\31\127]", "?")), "\n")
end

---Prints a value as JSON on stdout; an empty list as one.
---@param value any
---@param list? boolean
function M.json(value, list)
    print((errors.raise(raw.json.encode(list and raw.json.list(value) or value))))
end

---A forward as people read it: "127.0.0.1:8080 -> 80".
---@param port { guest: integer, host: integer, udp: boolean, address: string }
---@return string
function M.port(port)
    return ("%s:%d -> %d%s"):format(port.address, port.host, port.guest, port.udp and " (udp)" or "")
end

---A guest's snapshots as one list, each with its `depth`: those made from it follow a snapshot.
---@param guest vm.Guest|vm.KeptGuest
---@return vm.SnapshotInfo[]
function M.snapshots(guest)
    local list = {}
    local function walk(items, depth)
        for _, item in ipairs(items) do
            local children = item.children or {}
            item.children, item.depth = nil, depth
            list[#list + 1] = item
            walk(children, depth + 1)
        end
    end
    walk(guest:snapshots(), 0)
    return list
end

return M
