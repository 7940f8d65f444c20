-- This run: its folders, the lock that says it is alive, and the guardian that outlives it.
local raw = require "vm.raw"
local errors = require "vm.errors"
local paths = require "vm.host.paths"
local random_hex = require "vm.random_hex"
local shutdown = require "vm.task.shutdown"

local M = {}

local fs = raw.fs
local raise = errors.raise

-- io's functions return the reason as a string.
local function raise_io(value, why)
    return raise(value, value == nil and errors.new("system", tostring(why)) or nil)
end

---@class vm.Run
---@field id string eight hexadecimal digits
---@field root string short folder for libvirt's embedded driver
---@field dir string folder for disks, keys and logs
---@field ram string|nil folder of a RAM file system, nil where there is none
---@field cache string cache of this user, shared by all runs
---@field key { path: string, public: string }|nil its key pair, once it was made
---@field capabilities string the part of it where QEMU's probed capabilities are

-- What the run holds: the lock, the guardian's process, the paths said to it. nil while not open.
local held
local ended = false

-- Makes a path known to whoever clears away after us, before anything is there.
local function register(path)
    if path:find "[\n\r]" then
        errors.fail("unsupported", "the path %q cannot be used: it has a line break", path)
    end
    local record = raise_io(io.open(held.record, "a"))
    record:write("path ", path, "\n")
    raise_io(record:close())
    raise(held.guardian:queue("path " .. path .. "\n"))
    held.paths[#held.paths + 1] = path
end

-- Says whose a folder is to a `vmatrix prune` that looks there first.
local function write_owner(folder)
    local file, err = io.open(folder .. "/.owner", "w")
    if not file then
        return nil, errors.new("system", err)
    end
    file:write(held.record, "\n")
    return file:close()
end

-- Makes one of the run's folders, in the first of the places where that works.
local function make_folder(places, id)
    local first
    for _, place in ipairs(places) do
        local base, err = paths.private(place)
        if base then
            local folder = base .. "/" .. id
            register(folder)
            local ok
            ok, err = fs.mkdir_p(folder, 448) -- 0700
            if ok then
                ok, err = write_owner(folder)
            end
            if ok then
                return folder
            end
        end
        first = first or err
    end
    error(errors.prefix(first, "cannot make a folder for this run"), 0)
end

-- Takes a new id and its lock, in the first place that can be written to.
local function take_id()
    local first
    for _, place in ipairs(paths.runs()) do
        local base, err = paths.private(place)
        for _ = 1, base and 10 or 0 do
            local id = random_hex(4)
            local record = base .. "/" .. id .. ".run"
            if not fs.exists(record) and not fs.exists(base .. "/" .. id) then
                local lock
                lock, err = fs.lock(record, true)
                if lock then
                    return base, id, record, lock
                end
            end
        end
        first = first or err
    end
    error(errors.prefix(first, "cannot make a folder for this run"), 0)
end

local function start_guardian(id, record)
    local guardian = raise(raw.process.start {
        argv = { raw.run.program(), "--guardian", id },
        stdin = true,
    })
    raise(guardian:queue("record " .. record .. "\n"))
    return guardian
end

-- Clears away dead runs in the background: whoever opens a run does not wait for it.
local function prune_others()
    local prune = require "vm.run.prune"
    local dead = prune.dead()
    if #dead == 0 then
        return
    end
    return require("vm.task").spawn_detached("prune", function()
        for _, run in ipairs(dead) do
            local done, err = prune.clear(run)
            if err then
                raw.log.write("warn", nil, ("cannot clear away the dead run %s: %s"):format(run.id, tostring(err)))
            elseif done and done.removed + done.killed > 0 then
                raw.log.write("info", nil, ("cleared away the dead run %s"):format(run.id))
            end
        end
    end)
end

---This run, opened when first asked for. Does not wait.
---@return vm.Run
function M.open()
    if held then
        return held.run or error(held.failure, 0)
    elseif ended then
        errors.fail("closed", "the program is ending: no guest can be made any more")
    end
    local base, id, record, lock = take_id()
    held = { record = record, lock = lock, paths = {} }
    local ok, err = pcall(function()
        local owner = raise_io(io.open(record, "w"))
        owner:write(("owner %d %d\n"):format(fs.pid(), os.time()))
        raise_io(owner:close())
        held.guardian = start_guardian(id, record)
        shutdown.add("run " .. id, M.close)
        local cache = paths.cache()
        local run = { id = id, cache = cache, capabilities = cache .. "/qemu" }
        run.root = make_folder({ base }, id)
        run.dir = make_folder(paths.files(), id)
        local ram = paths.ram()
        if ram then
            local made, folder = pcall(make_folder, { ram }, id)
            run.ram = made and folder or nil -- full, or not ours: RAM goes to the disk then
        end
        raise(fs.mkdir_p(cache, 448)) -- 0700
        held.run = run
    end)
    if not ok then
        -- Without its guardian a run must not exist at all; with it, what there is of it is kept until the
        -- end, and opening it fails again.
        held.failure = err
        if not held.guardian then
            fs.unlink(record)
            lock:close()
            held = nil
        end
        error(err, 0)
    end
    held.pruning = prune_others()
    return held.run
end

---Makes a home that outlives this process its run: nothing of it is cleared away at the end, and nobody
---guards it. For the owner of kept guests.
---@param run vm.Run
---@return vm.Run
function M.adopt(run)
    held = { run = run, paths = {}, lasting = true }
    return run
end

---The key pair of a run, made when first needed.
---@param run vm.Run
---@return { path: string, public: string }
function M.key(run)
    if not run.key then
        local pair = raise(raw.data.ed25519("vmatrix " .. run.id))
        run.key = { path = run.dir .. "/id_ed25519", public = pair.public }
        raise(fs.write_atomic(run.key.path, pair.private, 384)) -- 0600
    end
    return run.key
end

---Whether this run has been opened.
---@return boolean
function M.is_open()
    return held ~= nil
end

-- The memory that files below the RAM folder of this user may still come to need.
local function promised(folder)
    local sum = 0
    for _, id in ipairs(fs.list(folder) or {}) do
        for _, name in ipairs(fs.list(folder .. "/" .. id) or {}) do
            local stat = fs.lstat(("%s/%s/%s"):format(folder, id, name))
            -- What a template keeps is frozen: nothing more is written to it.
            if stat and stat.type == "file" and not name:find "^template%-" then
                sum = sum + math.max(0, stat.size - stat.blocks * 512)
            end
        end
    end
    return sum
end

---Makes a sparse file that a guest's RAM is to be kept in.
---@param path string
---@param size integer bytes
---@return string path
function M.make_ram(path, size)
    local file = raise_io(io.open(path, "wb"))
    raise(fs.chmod(path, 384)) -- 0600
    raise_io(file:seek("set", size - 1))
    raise_io(file:write "\0")
    raise_io(file:close())
    return path
end

---Makes the file that a guest's RAM is kept in: in memory where there is room for all of it, on disk
---otherwise. Room counts what other guests have been promised and not touched yet, since writing to
---a full RAM file system kills QEMU.
---@param name string
---@param size integer bytes
---@return string path
function M.ram_file(name, size)
    local run = M.open()
    local margin = 64 * 2 ^ 20 // 1
    if run.ram then
        local space = fs.space(run.ram)
        if space and space.free - promised(paths.ram()) >= size + margin then
            return M.make_ram(run.ram .. "/" .. name, size)
        end
    end
    local space = raise(fs.space(run.dir))
    if space.free < size + margin then
        errors.fail("nospace",
            "no room for %d MiB of RAM: %s%s has %d MiB free; free some or give the guest less memory",
            size // 2 ^ 20, run.ram and "/dev/shm is too full and " or "", run.dir, space.free // 2 ^ 20)
    end
    return M.make_ram(run.dir .. "/" .. name, size)
end

---The path that the RAM of a template gets, on the file system where it is; for one whose RAM is a
---private mapping a new place is chosen. Other guests' room does not shrink by it.
---@param name string
---@param size integer bytes
---@param ram string the guest's own
---@param private boolean
---@return string path
function M.template_ram(name, size, ram, private)
    local folder = ram:match("^(.*)/")
    if private then
        local path = M.ram_file("template-" .. name .. ".ram", size)
        raise(fs.unlink(path))
        return path
    end
    return ("%s/template-%s.ram"):format(folder, name)
end

---Ends this run: whatever of it is left is killed and removed. Called by the program's shutdown.
function M.close()
    local run = held
    ended = true
    if not run then
        return
    end
    held = nil
    if run.lasting then
        return
    end
    if run.pruning then
        run.pruning:ended()
    end
    local done, err = raw.run.sweep(run.paths)
    if done then
        fs.unlink(run.record)
        run.guardian:queue "done\n"
    end
    -- Without "done" it tries once more, and says by its exit status whether that helped.
    run.guardian:close_stdin()
    local status, signal = run.guardian:wait(30)
    run.guardian:close()
    run.lock:close()
    if not done and (status ~= 0 or signal ~= 0) then
        error(errors.prefix(err, "cannot clear away this run"), 0)
    elseif done and done.killed > 0 then
        raw.log.write("warn", nil, ("ended %d processes that this run had left"):format(done.killed))
    end
end

return M
