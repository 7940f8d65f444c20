-- The checksum files that distributions publish beside their images, and their signatures.
local raw = require "vm.raw"
local download = require "vm.images.download"
local errors = require "vm.errors"
local host = require "vm.host"
local options = require "vm.options"
local paths = require "vm.host.paths"

local M = {}

local fs = raw.fs

local function algorithm_of(hex)
    return #hex == 64 and "sha256" or #hex == 128 and "sha512" or nil
end

---The digest of a file by a checksum file, in any of the forms in use: "HEX  NAME", "HEX *NAME",
---"SHA256 (NAME) = HEX", or one HEX alone. Nil when it is not there.
---@param text string
---@param name string the file's name without folders
---@return string|nil digest "sha256:..." or "sha512:..."
function M.find(text, name)
    local found, alone, lines = nil, nil, 0
    for line in text:gmatch "[^\r\n]+" do
        local hex, other = line:match "^(%x+)%s+%*?(.-)%s*$"
        if not hex then
            other, hex = line:match "^%u+%d+ %((.-)%) = (%x+)%s*$"
        end
        if not hex then
            hex, other = line:match "^(%x+)%s*$", nil
            alone = hex or alone
        end
        if hex and algorithm_of(hex) then
            lines = lines + 1
            if other and (other:match "[^/]*$") == name and (not found or #hex > #found) then
                found = hex
            end
        end
    end
    if not found and lines == 1 and alone and algorithm_of(alone) then
        found = alone
    end
    return found and ("%s:%s"):format(algorithm_of(found), found:lower())
end

-- The keys of a distribution: the user's own file, or the one that the catalogue names.
local function keyring_of(entry)
    local own = ("%s/keyrings/%s.gpg"):format(paths.config() or "~/.config/vmatrix", entry.distro)
    for _, path in ipairs { own, entry.keyring } do
        if fs.exists(path) then
            return path
        end
    end
    return errors.fail("notfound", "image %s: its checksums are signed, and the keys to check them with are not here: "
        .. "put them into %s%s; --unsigned does without", entry.name, own,
        entry.keyring and (" or %s"):format(entry.keyring) or "")
end

---Checks a signature with gpgv; raises unless it is good. Returns the signed text.
---@param what string for messages
---@param keyring string
---@param text string
---@param signature string|nil a detached one; nil: it is in the text
---@return string
function M.verify(what, keyring, text, signature)
    local gpgv = host.which "gpgv"
    if not gpgv then
        errors.fail("notfound", "%s: gpgv is not installed, which checks signatures", what)
    end
    local folder <close> = setmetatable({ path = errors.raise(fs.mkdtemp()) }, {
        __close = function(self) fs.remove_tree(self.path) end,
    })
    local file, detached, signed = folder.path .. "/text", folder.path .. "/signature", folder.path .. "/signed"
    errors.raise(fs.write_atomic(file, text))
    local argv = { gpgv, "--homedir", folder.path, "--keyring", keyring }
    if signature then
        errors.raise(fs.write_atomic(detached, signature))
        table.move({ detached, file }, 1, 2, #argv + 1, argv)
    else
        table.move({ "--output", signed, file }, 1, 3, #argv + 1, argv)
    end
    local result = host.run(argv, { check = false, timeout = 60 })
    if not result.ok then
        local words = (result.stderr:match "gpgv: ([^\n]*[Cc]an't[^\n]*)" or result.stderr:match "gpgv: (BAD[^\n]*)"
            or result.stderr:match "([^\n]+)%s*$" or "no reason"):gsub("%c", " ")
        errors.fail("unsafe", "%s: the signature of its checksums is not good: %s", what, words)
    end
    return signature and text or errors.raise(fs.read(signed, 4 << 20))
end

---What a location whose content changes holds now, by the checksums that the distribution publishes. Waits.
---@param entry vm.ImageEntry
---@param location vm.ImageLocation
---@param opts { unsigned?: boolean, ca?: string, proxy?: string, retries?: integer }
---@return string digest
---@return boolean signed
function M.digest(entry, location, opts)
    opts = options.check("images.checksums", opts, { unsigned = "boolean", ca = "string", proxy = "string",
        retries = "integer" })
    local what = ("image %s@%s"):format(entry.name, entry.arch)
    local function text_of(url)
        return download.text { what = what, url = url, ca = opts.ca, proxy = opts.proxy, retries = opts.retries }
    end
    local text = text_of(location.checksums)
    local signed = location.signature ~= nil and not opts.unsigned
    if signed then
        local inline = location.signature == location.checksums
        text = M.verify(what, keyring_of(entry), text, not inline and text_of(location.signature) or nil)
    end
    local name = location.url:match "[^/]*$"
    local digest = M.find(text, name)
    if not digest then
        errors.fail("format", "%s: %s does not name %s", what, location.checksums, name)
    end
    return digest, signed
end

return M
