-- What is in the seed guest's first file system, from the unpacked packages: a list of entries for
-- vm.raw.data.cpio, in an order that depends on nothing but their names.
local raw = require "vm.raw"
local elf = require "vm.seed.elf"
local errors = require "vm.errors"
local reseed = require "vm.reseed"

local fs = raw.fs
local raise = errors.raise

local M = {}

local DIR, FILE, LINK, CHAR <const> = 0x4000, 0x8000, 0xA000, 0x2000 -- S_IFDIR and so on

-- Programs from the packages, and where the guest has them.
local PROGRAMS = {
    { "usr/bin/busybox", "usr/bin/busybox" },
    { "usr/sbin/dropbear", "usr/bin/dropbear" },
    { "usr/lib/openssh/sftp-server", "usr/lib/openssh/sftp-server" },
}

local AGENT = { "usr/sbin/qemu-ga", "usr/bin/qemu-ga" }

local TEXTS = {
    ["etc/passwd"] = "root:x:0:0:root:/root:/bin/sh\n" ..
        "user:x:1000:1000:user:/home/user:/bin/sh\n" ..
        "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    ["etc/group"] = "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n",
    ["etc/shells"] = "/bin/sh\n",
    ["etc/profile"] = "export PATH=/usr/local/bin:/usr/bin PS1='\\u@\\h:\\w\\$ '\n",
    ["etc/os-release"] = "ID=vmatrix-seed\nID_LIKE=debian\n" ..
        "NAME=\"vmatrix seed guest\"\nPRETTY_NAME=\"vmatrix seed guest\"\n",
}

-- A tree is a table from path to entry.
local function add_dir(tree, path, mode, owner)
    tree[path] = { path = path, mode = DIR | (mode or 493), owner = owner } -- 0755
end

local function add_file(tree, path, data, mode)
    tree[path] = { path = path, mode = FILE | (mode or 420), data = data } -- 0644
end

local function add_link(tree, path, target)
    tree[path] = { path = path, mode = LINK | 511, link = target } -- 0777
end

-- The entries sorted by name, so that a folder comes before what is in it; folders that nothing
-- made explicitly are added.
local function sorted_entries(tree)
    local names = {}
    for path in pairs(tree) do
        names[#names + 1] = path
    end
    for _, path in ipairs(names) do
        local parent = path:match("^(.*)/")
        while parent and not tree[parent] do
            add_dir(tree, parent)
            names[#names + 1] = parent
            parent = parent:match("^(.*)/")
        end
    end
    table.sort(names)
    local list = {}
    for i, path in ipairs(names) do
        list[i] = tree[path]
    end
    return list
end

local function read(path)
    return raise(fs.read(path, 256 * 1024 * 1024))
end

local function add_base(tree)
    add_dir(tree, ".") -- the root folder itself is open to all otherwise
    for _, path in ipairs { "dev", "proc", "sys", "run", "mnt", "home", "var/log", "var/tmp", "etc/dropbear" } do
        add_dir(tree, path)
    end
    add_dir(tree, "tmp", 1023) -- 01777
    add_dir(tree, "root", 448) -- 0700
    add_dir(tree, "root/.ssh", 448)
    add_dir(tree, "home/user", 493, 1000)
    add_dir(tree, "home/user/.ssh")
    add_link(tree, "bin", "usr/bin")
    add_link(tree, "sbin", "usr/bin")
    add_link(tree, "lib", "usr/lib")
    add_link(tree, "usr/sbin", "bin")
    add_link(tree, "var/run", "../run")
    for path, text in pairs(TEXTS) do
        add_file(tree, path, text)
    end
    add_file(tree, "etc/shadow", "root:*:20000:0:99999:7:::\nuser:*:20000:0:99999:7:::\n", 384) -- 0600
    tree["dev/console"] = { path = "dev/console", mode = CHAR | 384, major = 5, minor = 1 }
    add_file(tree, "init", require "vm.seed.init_script", 493)
end

-- busybox keeps the names of its programs sorted, one after the other, each ended by a NUL: that
-- also works for an architecture whose programs do not run here.
local function add_applets(tree, busybox)
    local start = busybox:find("[\0[[\0", 1, true)
    local stop = start and busybox:find("\0\0", start, true)
    if not stop then
        errors.fail("format", "the list of programs was not found in the package busybox-static")
    end
    for name in busybox:sub(start, stop):gmatch("[^%z]+") do
        if name ~= "busybox" then
            add_link(tree, "usr/bin/" .. name, "busybox")
        end
    end
end

-- Where the packages have the shared libraries: name -> path of the file itself.
local function index_libraries(source)
    local found = {}
    local folder = raise(fs.glob(source .. "/usr/lib/*-linux-gnu*"))[1]
    for _, name in ipairs(raise(fs.list(folder))) do
        found[name] = folder .. "/" .. name
    end
    return found, folder:match("[^/]+$")
end

-- The libraries that the programs want, those that these want, and the dynamic linker where the
-- programs look for it.
local function add_libraries(tree, source, programs)
    local known, triplet = index_libraries(source)
    local queue, done = programs, {}
    while #queue > 0 do
        local item = table.remove(queue)
        local needed, linker = elf.needed(item.data)
        if linker then
            local name = linker:match("[^/]+$")
            needed[#needed + 1] = name
            local folder = linker:match("^/(.*)/")
            if folder ~= "lib" then -- /lib64 of some architectures; /lib is a link already
                add_link(tree, folder, "usr/" .. folder)
            end
            add_link(tree, "usr/" .. folder .. "/" .. name, "../lib/" .. triplet .. "/" .. name)
        end
        for _, name in ipairs(needed) do
            if not done[name] then
                if not known[name] then
                    errors.fail("notfound", "%s needs the library %s, which none of the packages has", item.name, name)
                end
                done[name] = true
                local data = read(raise(fs.realpath(known[name])))
                add_file(tree, "usr/lib/" .. triplet .. "/" .. name, data, 493)
                queue[#queue + 1] = { name = name, data = data }
            end
        end
    end
end

local function module_name(path)
    return (path:match("([^/]+)%.ko[^/]*$"):gsub("%-", "_"))
end

local function find_modules(folder)
    local found = {}
    local function walk(dir)
        for _, name in ipairs(raise(fs.list(dir))) do
            local path = dir .. "/" .. name
            local stat = raise(fs.lstat(path))
            if stat.type == "dir" then
                walk(path)
            elseif name:find("%.ko") then
                found[module_name(path)] = path
            end
        end
    end
    walk(folder)
    return found
end

-- The signature says who built it, which nobody asks for here; its length stands before the marker.
local function strip_signature(data)
    local marker = "~Module signature appended~\n"
    if data:sub(-#marker) ~= marker then
        return data
    end
    local length = string.unpack(">I4", data, #data - #marker - 3)
    return data:sub(1, #data - #marker - 12 - length)
end

local function module_info(data, key)
    local values = {}
    for value in data:gmatch("%z" .. key .. "=([^%z]*)") do
        values[#values + 1] = value
    end
    return values
end

-- The modules wanted and those they depend on, uncompressed, with the two indexes that modprobe and
-- the kernel's own requests go by. What the kernel has built in is not in the package, and not missed.
local function add_modules(tree, source, wanted)
    local version = raise(fs.list(source .. "/usr/lib/modules"))[1]
    local known = find_modules(source .. "/usr/lib/modules/" .. version .. "/kernel")
    local folder = "usr/lib/modules/" .. version .. "/"
    local depends, aliases = {}, {}
    local queue = table.move(wanted, 1, #wanted, 1, {})
    while #queue > 0 do
        local name = table.remove(queue):gsub("%-", "_")
        if known[name] and not depends[name] then
            local data = strip_signature(raise(raw.data.decompress(read(known[name]))))
            depends[name] = {}
            for other in (module_info(data, "depends")[1] or ""):gmatch("[^,]+") do
                table.insert(depends[name], (other:gsub("%-", "_")))
                queue[#queue + 1] = other
            end
            for _, alias in ipairs(module_info(data, "alias")) do
                aliases[#aliases + 1] = ("alias %s %s\n"):format(alias, name)
            end
            add_file(tree, folder .. name .. ".ko", data)
        end
    end
    local function closure(name, out, seen)
        for _, other in ipairs(depends[name]) do
            if depends[other] and not seen[other] then
                seen[other] = true
                out[#out + 1] = other .. ".ko"
                closure(other, out, seen)
            end
        end
        return out
    end
    local lines = {}
    for name in pairs(depends) do
        lines[#lines + 1] = name .. ".ko:" .. table.concat({ "", table.unpack(closure(name, {}, {})) }, " ") .. "\n"
    end
    table.sort(lines)
    table.sort(aliases)
    add_file(tree, folder .. "modules.dep", table.concat(lines))
    add_file(tree, folder .. "modules.alias", table.concat(aliases))
end

---The entries of the guest's file system.
---@param source string the folder with the packages' files
---@param wanted string[] the names of kernel modules
---@param arch string
---@param agent? boolean with the guest agent
---@param always? string[] further modules, loaded whatever devices there are
---@return table[]
function M.entries(source, wanted, arch, agent, always)
    local tree = {}
    local programs = {}
    add_base(tree)
    if always then
        wanted = table.move(always, 1, #always, #wanted + 1, table.move(wanted, 1, #wanted, 1, {}))
        tree.init.data = tree.init.data:gsub("modprobe %-qa \"%$@\"", "%0 " .. table.concat(always, " "))
    end
    for i, program in ipairs { PROGRAMS[1], PROGRAMS[2], PROGRAMS[3], agent and AGENT or nil } do
        local data = read(source .. "/" .. program[1])
        add_file(tree, program[2], data, 493)
        programs[i] = { name = program[1], data = data }
    end
    add_link(tree, "usr/lib/sftp-server", "openssh/sftp-server") -- where dropbear looks
    add_file(tree, "usr/bin" .. reseed.PROGRAM:match "/[^/]+$", reseed.program(arch), 493)
    add_applets(tree, programs[1].data)
    add_libraries(tree, source, programs)
    add_modules(tree, source, wanted)
    return sorted_entries(tree)
end

---The entries that make one guest: its host key and who may log in.
---@param public string the line of the public key that may log in
---@param host_key string dropbear's form of the host's private key
---@return table[]
function M.key_entries(public, host_key)
    local tree = {}
    add_dir(tree, "root", 448)
    add_dir(tree, "root/.ssh", 448)
    add_dir(tree, "home/user", 493, 1000)
    add_file(tree, "etc/dropbear/dropbear_ed25519_host_key", host_key, 384)
    add_file(tree, "root/.ssh/authorized_keys", public .. "\n", 384)
    add_file(tree, "home/user/.ssh/authorized_keys", public .. "\n")
    return sorted_entries(tree)
end

---What the first file system of an image that was built here is made of, too (vm.build.initrd).
M.parts = {
    add_dir = add_dir,
    add_file = add_file,
    add_applets = add_applets,
    add_modules = add_modules,
    sorted_entries = sorted_entries,
}

return M
