-- One download with what belongs to it: redirects, trying again, and the check of its digest.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"

local M = {}

local fs = raw.fs

local RETRIES <const> = 5
local FIRST_WAIT <const> = 1 -- second, then twice as long each time
local HOPS <const> = 10
local MAX <const> = 32 << 30 -- bytes of a download
local MAX_UNPACKED <const> = 256 << 30
local SPARE <const> = 256 << 20 -- bytes that stay free on the disk
local LOOK <const> = 0.2 -- seconds between two reports

---The URL of a file of this host.
---@param path string an absolute one
---@return string
function M.file_url(path)
    return "file://" .. path:gsub("[^%w/._~-]", function(c) return ("%%%02X"):format(c:byte()) end)
end

-- What a second attempt may cure.
local passing = { connection = true, timeout = true }

local function from_env(...)
    for _, name in ipairs { ... } do
        local value = os.getenv(name)
        if value and value ~= "" then
            return value
        end
    end
end

-- A size that the environment bounds something with.
local function size_from_env(name, fallback)
    local value = from_env(name)
    return value and options.size(name, value) or fallback
end

local function host_of(url)
    return (url:match "^%w+://([^/]*)" or ""):gsub("^.*@", ""):lower()
end

---Where a redirect may lead: never from https to anything else, and to another host only when the digest is
---known beforehand, so that it does not matter who sends the bytes.
---@param from string
---@param to string
---@param pinned boolean
---@return string|nil problem
function M.redirect_problem(from, to, pinned)
    if from:find "^https:" and not to:find "^https:" then
        return ("it leads from https to %s, which is not followed"):format(to)
    elseif not to:find "^https?://" then
        return ("it leads to %s, which is not followed"):format(to)
    elseif not pinned and host_of(from) ~= host_of(to) then
        return ("it leads to another host, %s, which is not followed where no digest is known beforehand"):format(
            host_of(to))
    end
end

-- One attempt, over its redirects.
local function attempt(request, url)
    local first = url
    for _ = 1, HOPS do
        local job <close> = errors.raise(raw.image.fetch {
            url = url, part = request.part, into = request.into, algorithm = request.algorithm,
            fresh = request.fresh, max = request.max or size_from_env("VMATRIX_MAX_IMAGE", MAX),
            max_unpacked = MAX_UNPACKED, rate = request.rate, spare = request.spare or SPARE,
            connect_timeout = 30, stall_timeout = request.stall or 60,
            ca_file = request.ca or from_env("CURL_CA_BUNDLE", "SSL_CERT_FILE"),
            ca_folder = not request.ca and from_env "SSL_CERT_DIR" or nil, proxy = request.proxy,
            agent = "vmatrix/" .. _G._VMATRIX,
        })
        local result, err
        repeat
            result, err = job:wait(LOOK)
            local received, total, written = job:progress()
            request.report(received, total, written)
        until result ~= false
        request.received = job:progress()
        if not result then
            error(err, 0)
        elseif not result.redirect then
            return result
        end
        local problem = M.redirect_problem(url, result.redirect, request.digest ~= nil)
        if problem then
            errors.fail("unsafe", "%s", problem)
        end
        url = result.redirect
    end
    errors.fail("limit", "%s leads from one place to another for ever", first)
end

---What a download is to be.
---@class vm.Download
---@field what string for messages
---@field url string
---@field part string where it goes; what is there already is not asked for again
---@field into? string where its content goes, decompressed
---@field algorithm? string "sha256" or "sha512"
---@field digest? string what it must be
---@field progress? fun(state: table)
---@field retries? integer
---@field rate? integer bytes a second at most
---@field ca? string a file of certificates
---@field proxy? string
---@field max? integer bytes
---@field entry? vm.ImageEntry for the progress

-- A digest that is another one after a download was resumed: the parts did not belong together.
local function check(request, result)
    if not request.digest then
        return true
    end
    local got = ("%s:%s"):format(request.algorithm, result.digest)
    if got == request.digest then
        return true
    elseif result.resumed > 0 then
        return false
    end
    errors.fail("unsafe", "what came has another digest than it should (%s instead of %s): it is thrown away",
        got, request.digest)
end

---Downloads a file, trying again what a moment may cure, going on where it was interrupted. What cannot be
---done raises, and the part stays: removing it is the caller's.
---@param request vm.Download
---@return { digest: string, content_digest: string, received: integer, resumed: integer }
function M.file(request)
    local state = { what = "downloading", url = request.url, name = request.entry and request.entry.name,
        arch = request.entry and request.entry.arch }
    local progress = request.progress or function() end
    request.report = function(received, total, written)
        state.received, state.total, state.written = received, total, written
        progress(state)
    end
    local left, wait = request.retries or RETRIES, FIRST_WAIT
    local before = 0
    while true do
        local ok, result = pcall(attempt, request, request.url)
        request.fresh = false
        if (request.received or 0) > before then -- it came further: the next failure is a new one
            before, left, wait = request.received, request.retries or RETRIES, FIRST_WAIT
        end
        if ok and check(request, result) then
            return result
        elseif ok then
            request.fresh, left = true, left - 1
        elseif not errors.is(result) or not passing[result.kind] or left <= 0 then
            error(errors.prefix(result, ("%s: %s"):format(request.what, request.url)), 0)
        else
            left = left - 1
            progress { what = "waiting to try again", seconds = wait, problem = tostring(result), name = state.name,
                arch = state.arch }
            raw.task.sleep(wait)
            wait = math.min(wait * 2, 30)
        end
    end
end

---Downloads a small file and returns its text; nothing of it stays.
---@param request vm.Download without part
---@return string
function M.text(request)
    local folder = errors.raise(fs.mkdtemp())
    local _ <close> = setmetatable({}, { __close = function() fs.remove_tree(folder) end })
    request.part, request.algorithm = folder .. "/text", "sha256"
    request.max, request.spare = request.max or 4 << 20, 0
    M.file(request)
    return errors.raise(fs.read(request.part, request.max))
end

return M
