-- Templates that outlive their run: a folder each, written aside and renamed when all of it is on disk.
-- Every process that has one open holds its lock shared; who removes one needs the lock alone.
local raw = require "vm.raw"
local disk = require "vm.images.disk"
local errors = require "vm.errors"
local shallow = require "vm.shallow"
local task = require "vm.task"
local template = require "vm.template"

local M = {}

local fs = raw.fs
local raise = errors.raise

-- One more name for a file that is not written any more, or a copy where that cannot be.
local function keep(from, to)
    if not fs.link(from, to) then
        raise(fs.copy(from, to))
    end
    return to
end

local function read_json(path)
    local text = raise(fs.read(path, 16 * 1024 * 1024))
    return raise(raw.json.decode(text)), text
end

-- A frozen disk that stands on files of this run, which end with it, takes over what those hold.
local function keep_disk(from, to, run_dir)
    local chain = disk.chain(from)
    local lasting
    for i, item in ipairs(chain) do
        if item.path and item.path:sub(1, #run_dir + 1) ~= run_dir .. "/" then
            lasting = i
            break
        end
    end
    if #chain == 0 or lasting == 1 then
        return keep(from, to)
    end
    raise(fs.copy(from, to))
    disk.rebase(to, lasting and chain[lasting].path, lasting and chain[lasting].format)
end

local function copy(from, to)
    raise(fs.copy(from, to))
end

-- The description that is kept, and its files in the folder, by their names there. What stood in the
-- cache (kernel, initrd) becomes its own.
local function write_files(self, folder)
    local info = shallow(self.info)
    local desc = shallow(self.info.desc)
    local taken = {}
    info.desc, info.files, info.outside = desc, {}, {}
    local function own(path, name, put, ...)
        if not path then
            return nil
        end
        taken[path] = true
        put(path, folder .. "/" .. name, ...)
        info.files[name] = { size = raise(fs.stat(folder .. "/" .. name)).size }
        return name
    end
    desc.disks = {}
    for i, item in ipairs(self.info.desc.disks) do
        desc.disks[i] = shallow(item)
        if item.path:sub(1, #self.folder + 1) == self.folder .. "/" then
            desc.disks[i].path = own(item.path, item.path:match("[^/]*$"), keep_disk, require("vm.run").open().dir)
        end
    end
    desc.kernel = own(desc.kernel, "kernel", keep)
    desc.initrd = own(desc.initrd, "initrd", keep)
    desc.nvram = own(desc.nvram, "nvram", copy)
    if self.way == "live" then
        desc.ram = own(desc.ram, "ram", copy)
        own(self.folder .. "/state", "state", copy)
        info.files.state.sha256 = raise(fs.sha256(folder .. "/state"))
    else
        desc.ram = nil
    end
    if info.login and info.login.key then
        info.login = shallow(info.login)
        info.login.key = own(info.login.key, "id_ed25519", copy)
    end
    for _, file in ipairs(self.info.outside) do
        if not taken[file.path] then
            table.insert(info.outside, file)
        end
    end
    return info
end

-- A card is { "nat", mac = ... } where users write it; JSON wants names.
local function nics_for_json(nics)
    local list = {}
    for i, nic in ipairs(nics) do
        list[i] = shallow(nic)
        list[i].kind, list[i][1] = nic[1], nil
    end
    return list
end

local function nics_from_json(nics)
    for _, nic in ipairs(nics) do
        nic[1], nic.kind = nic.kind, nil
    end
end

local function write_folder(self, folder)
    raise(fs.mkdir_p(folder, 448)) -- 0700
    local info = write_files(self, folder)
    info.spec = shallow(info.spec)
    info.spec.nics = nics_for_json(info.spec.nics)
    for name in pairs(info.files) do
        raise(fs.sync(folder .. "/" .. name))
    end
    local text = raise(raw.json.encode(info))
    raise(fs.write_atomic(folder .. "/template.json", text, 384)) -- 0600
    raise(fs.write_atomic(folder .. "/template.sha256", raw.data.sha256(text) .. "\n", 384))
    raise(fs.write_atomic(folder .. "/lock", "", 384))
    raise(fs.sync(folder))
end

-- A kept description with the paths as they are now.
local function with_paths(info, path)
    local function full(name)
        return name and (name:sub(1, 1) == "/" and name or path .. "/" .. name)
    end
    for _, item in ipairs(info.desc.disks) do
        item.path = full(item.path)
    end
    for _, name in ipairs { "kernel", "initrd", "nvram", "ram" } do
        info.desc[name] = full(info.desc[name])
    end
    if info.login then
        info.login.key = full(info.login.key)
    end
    nics_from_json(info.spec.nics)
    return info
end

-- The locks of a kept template and of those that it stands on.
local function lock_all(path, parent)
    local locks = { raise(fs.lock(path .. "/lock", true, true)) }
    while parent do
        if not fs.exists(parent .. "/template.json") then
            errors.fail("format", "template %s: the template %s that it stands on is gone; make it anew", path, parent)
        end
        locks[#locks + 1] = raise(fs.lock(parent .. "/lock", true, true))
        parent = read_json(parent .. "/template.json").parent
    end
    return locks
end

local function unlock(locks)
    for _, lock in ipairs(locks or {}) do
        lock:close()
    end
end

---Keeps a template under a path, in the background: template:saved waits for that. Forks made from then
---on use what is kept.
---@param self vm.Template
---@param path string not there yet
function M.save(self, path)
    local release = self.release
    self.release = function(made)
        unlock(made.locks)
        release(made)
    end
    self.saving = task.spawn_detached("save " .. self.name, function()
        local aside = ("%s.new-%d"):format(path, fs.pid())
        local parent = path:match("^(.*)/[^/]*$") or "."
        local ok, err = pcall(function()
            raise(fs.mkdir_p(parent, 448)) -- 0700
            raise(fs.remove_tree(aside))
            write_folder(self, aside)
            raise(fs.rename(aside, path))
            raise(fs.sync(parent))
            self.locks = lock_all(path, self.info.parent)
            self.info = with_paths(read_json(path .. "/template.json"), path)
            self.folder, self.path = path, path
        end)
        if not ok then
            fs.remove_tree(aside)
            self.save_failure = errors.prefix(err, ("template %s: cannot be kept as %s"):format(self.name, path))
            raw.log.write("warn", nil, tostring(self.save_failure))
        end
    end)
end

local function refuse(kind, path, format, ...)
    errors.fail(kind, "template %s: %s", path, format:format(...))
end

-- Whether everything is as it was written; raises what is not.
local function check(path, info, connection)
    for name, file in pairs(info.files) do
        local stat = fs.stat(path .. "/" .. name)
        if not stat then
            refuse("format", path, "its file %s is gone; make it anew", name)
        elseif stat.size ~= file.size then
            refuse("format", path, "its file %s has %d bytes instead of %d; make it anew", name, stat.size, file.size)
        elseif file.sha256 and raise(fs.sha256(path .. "/" .. name)) ~= file.sha256 then
            refuse("format", path, "its file %s is damaged; make it anew", name)
        end
    end
    for _, file in ipairs(info.outside) do
        local stat = fs.stat(file.path)
        if not stat or stat.size ~= file.size or stat.mtime ~= file.mtime then
            refuse("format", path, "the file %s that it stands on %s; make it anew", file.path,
                stat and "has changed" or "is gone")
        end
    end
    local qemu = raise(connection.raw:version()).hypervisor
    if qemu ~= info.qemu then
        refuse("unsupported", path, "it was made by QEMU %s, and this is %s; make it anew", info.qemu, qemu)
    end
end

---Opens a kept template. Raises kind "format" for one that is damaged, "unsupported" for one that this
---program or QEMU cannot use.
---@param path string
---@return vm.Template
function M.open(path)
    if not fs.exists(path .. "/template.json") then
        refuse("notfound", path, "there is no template there")
    end
    local locks = lock_all(path, read_json(path .. "/template.json").parent)
    local ok, made = pcall(function()
        local info, text = read_json(path .. "/template.json")
        local digest = (fs.read(path .. "/template.sha256", 256) or ""):match("^%x+")
        local known = require("vm.template.freeze").FORMAT
        if digest ~= raw.data.sha256(text) then
            refuse("format", path, "its description is damaged; make it anew")
        elseif info.format ~= known then
            refuse("unsupported", path, "its format is %s, and this program knows %d; make it anew",
                tostring(info.format), known)
        end
        local connection = require("vm.guest.connection").connect()
        check(path, info, connection)
        return template.new { name = info.name, info = with_paths(info, path), folder = path, path = path,
            connection = connection, locks = locks, release = function() unlock(locks) end }
    end)
    if not ok then
        unlock(locks)
        error(made, 0)
    end
    return made
end

---Removes a kept template; raises kind "busy" when another process uses it.
---@param self vm.Template
function M.remove(self)
    unlock(self.locks)
    local alone, err = fs.lock(self.path .. "/lock", true)
    if not alone then
        self.locks = lock_all(self.path, self.info.parent)
        if err.kind == "exists" then
            errors.fail("busy", "%s: another process uses it", self:what("delete"))
        end
        error(err, 0)
    end
    -- Without its description nobody opens it any more.
    fs.unlink(self.path .. "/template.json")
    raise(fs.remove_tree(self.path))
    alone:close()
end

return M
