-- Whether a catalogue file is as it should be: pure, tables in, a complaint out.
local M = {}

local formats = { qcow2 = true, raw = true }
local compressions = { xz = true, zst = true, gz = true, bz2 = true }
local firmwares = { bios = true, uefi = true, kernel = true }
local reaches = { ["cloud-init"] = true, agent = true, ssh = true }
local verdicts = { booted = true, digest = true, unverified = true }

-- Fields that may stand in a file, a release or an architecture, with what they may be.
local shared = {
    format = formats, compression = compressions, firmware = firmwares, reach = reaches, verified = verdicts,
    user = "string", packages = "string", keyring = "string", size = "number", read = "table", build = "table",
}
local of_file = { distro = "string", title = "string", releases = "table" }
local of_release = { name = "string", version = "string", aliases = "table", eol = "string", arches = "table" }
local of_location = {
    url = "string", dated = "boolean", latest = "boolean", sha256 = "string", sha512 = "string",
    checksums = "string", signature = "string",
}

local function fields(where, item, known, more)
    for name, value in pairs(item) do
        local rule = known[name] or more and more[name]
        if math.type(name) ~= "integer" then
            if not rule then
                return ("%s: unknown field '%s'"):format(where, tostring(name))
            elseif type(rule) == "table" and not rule[value] then
                return ("%s: %s cannot be '%s'"):format(where, name, tostring(value))
            elseif type(rule) == "string" and type(value) ~= rule then
                return ("%s: %s must be a %s"):format(where, name, rule)
            end
        end
    end
end

local function location(where, item)
    local problem = type(item) ~= "table" and where .. ": a table expected" or fields(where, item, of_location)
    if problem then
        return problem
    end
    local secure = (item.url or ""):find "^https://[%w.-]+[:/]"
    if not secure and not (item.url or ""):find "^http://[%w.-]+[:/]" then
        return where .. ": a url that begins with https:// expected"
    elseif item.sha256 and not item.sha256:find("^" .. ("%x"):rep(64) .. "$") then
        return where .. ": sha256 must be 64 hexadecimal digits"
    elseif item.sha512 and not item.sha512:find("^" .. ("%x"):rep(128) .. "$") then
        return where .. ": sha512 must be 128 hexadecimal digits"
    elseif not (item.sha256 or item.sha512) then
        if not item.latest then
            return where .. ": a location needs its digest, or latest = true"
        elseif not (item.checksums or ""):find "^https://" then
            return where .. ": a location without a digest needs checksums by https"
        elseif not secure then
            return where .. ": a location without a digest must be https"
        end
    end
end

local function arch_of(where, item)
    local problem = type(item) ~= "table" and where .. ": a table expected" or fields(where, item, shared)
    if problem then
        return problem
    elseif #item == 0 and not item.build then
        return where .. ": no location"
    end
    for i, each in ipairs(item) do
        problem = location(("%s, location %d"):format(where, i), each)
        if problem then
            return problem
        end
    end
end

local function release_of(file, item)
    if type(item) ~= "table" or type(item.name) ~= "string" then
        return "a release without a name"
    elseif not item.name:find "^%w[%w._-]*$" then
        return ("release '%s': a name has letters, digits, '.', '_' and '-'"):format(item.name)
    end
    local where = "release " .. item.name
    local problem = fields(where, item, of_release, shared)
    if problem then
        return problem
    elseif not item.arches or not next(item.arches) then
        return where .. ": no architectures"
    end
    for _, alias in ipairs(item.aliases or {}) do
        if type(alias) ~= "string" or not alias:find "^%w[%w._-]*$" then
            return where .. ": an alias has letters, digits, '.', '_' and '-'"
        end
    end
    for arch, each in pairs(item.arches) do
        if type(arch) ~= "string" or not arch:find "^[%w_]+$" then
            return where .. ": an architecture must be a name"
        end
        problem = arch_of(("%s, %s"):format(where, arch), each)
        if problem then
            return problem
        elseif not (each.format or item.format or file.format) then
            return ("%s, %s: no format"):format(where, arch)
        end
    end
end

---Whether what a catalogue file returned is a catalogue: nil, or what is wrong with it.
---@param file any
---@return string|nil problem
function M.file(file)
    if type(file) ~= "table" then
        return "it must return a table"
    end
    local problem = fields("the file", file, of_file, shared)
    if problem then
        return problem
    elseif not file.distro or not file.releases then
        return "distro and releases are needed"
    end
    for _, item in ipairs(file.releases) do
        problem = release_of(file, item)
        if problem then
            return problem
        end
    end
end

return M
