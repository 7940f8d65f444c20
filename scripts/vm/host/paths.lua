-- Where things are kept on this host, for this user.
local raw = require("vm.raw").fs
local errors = require "vm.errors"

local M = {}

-- A folder named by the environment: absolute, and without what the guardian's lines cannot carry.
local function from_env(name)
    local path = os.getenv(name)
    if path and path:sub(1, 1) == "/" and not path:find "[\n\r]" then
        return (path:gsub("(.)/+$", "%1"))
    end
end

local function xdg(name, below_home)
    local folder = from_env(name)
    local home = from_env "HOME"
    return folder or (home and home .. "/" .. below_home)
end

---A folder of this user's that nobody else may enter: made if it does not exist.
---@param path string
---@return string|nil path
---@return vm.Error|nil err
function M.private(path)
    local ok, err = raw.mkdir_p(path, 448) -- 0700
    if not ok then
        return nil, err
    end
    local stat = raw.lstat(path)
    if not stat or stat.type ~= "dir" or stat.uid ~= raw.uid() then
        return nil, errors.new("denied", path .. " is not a folder of this user's")
    end
    if stat.mode & 63 ~= 0 then -- 077
        ok, err = raw.chmod(path, 448)
        if not ok then
            return nil, err
        end
    end
    return path
end

-- A folder of this user's in one that all users write to. Nothing goes between the two: what is
-- above it would have to be checked as well.
local function shared(folder)
    return ("%s/vmatrix-%d"):format(folder, raw.uid())
end

---Where the roots of runs may be, best first: short paths, because sockets are made below.
---@return string[]
function M.runs()
    local list = {}
    local function add(path)
        -- libvirt's sockets need the rest of the 107 bytes of a socket's path.
        if #path <= 46 then
            list[#list + 1] = path
        end
    end
    local runtime = from_env "XDG_RUNTIME_DIR"
    local stat = runtime and raw.lstat(runtime)
    if stat and stat.type == "dir" and stat.uid == raw.uid() then
        add(runtime .. "/vmatrix")
    end
    add(shared(raw.tmpdir()))
    if raw.tmpdir() ~= "/tmp" then
        add(shared "/tmp")
    end
    return list
end

---Where the disks, keys and logs of runs may be, best first.
---@return string[]
function M.files()
    local list = {}
    local state = xdg("XDG_STATE_HOME", ".local/state")
    if state then
        list[1] = state .. "/vmatrix/runs"
    end
    list[#list + 1] = shared "/var/tmp" .. "-files"
    list[#list + 1] = shared(raw.tmpdir()) .. "-files"
    return list
end

---Where kept guests are: they outlive processes and restarts of the host.
---@return string
function M.kept()
    local state = xdg("XDG_STATE_HOME", ".local/state")
    return state and state .. "/vmatrix/kept" or shared "/var/tmp" .. "-kept/home"
end

---Where it is kept how long tests took; nil where there is no home.
---@return string|nil
function M.history()
    local state = xdg("XDG_STATE_HOME", ".local/state")
    return state and state .. "/vmatrix/history"
end

---Where what was typed at the prompt is kept; nil where there is no home.
---@return string|nil
function M.typed()
    local state = xdg("XDG_STATE_HOME", ".local/state")
    return state and state .. "/vmatrix/typed"
end

---Where this user's own catalogue files and keyrings are; nil where there is no home.
---@return string|nil
function M.config()
    local config = xdg("XDG_CONFIG_HOME", ".config")
    return config and config .. "/vmatrix"
end

---Where the RAM of guests may be kept without a disk; nil where there is no such file system.
---VMATRIX_RAM names another folder than /dev/shm.
---@return string|nil
function M.ram()
    local place = os.getenv "VMATRIX_RAM"
    if place and place:find "^/" then
        return shared(place)
    end
    if raw.exists "/dev/shm" then
        return shared "/dev/shm"
    end
end

---The cache: images and QEMU's capabilities. It may be deleted at any time.
---@return string
function M.cache()
    local cache = xdg("XDG_CACHE_HOME", ".cache")
    if cache then
        return cache .. "/vmatrix"
    end
    -- Others may write to the folder above it: what is there must be ours before it is believed.
    local folder, err = M.private(shared "/var/tmp" .. "-cache")
    return folder or error(err, 0)
end

return M
