-- Writes the manual's table of images from the catalogue.
-- Run: vmatrix scripts/dev/images.lua > docs/manual/images-table.md
local catalogue = require "vm.images.catalogue"
local digests = require "vm.images.digest"

local order = { "x86_64", "aarch64", "riscv64", "ppc64le", "s390x", "armhf" }

-- The binary's own files only: what a user adds is no part of the manual.
local releases = {}
for _, name in ipairs(catalogue.files) do
    local file = require("images." .. name)
    for _, release in ipairs(file.releases) do
        releases[#releases + 1] = { file = file, release = release }
    end
end

local function cell(file, release, arch)
    local item = release.arches[arch]
    if not item then
        return ""
    end
    local verified = item.verified or release.verified or file.verified or "unverified"
    for _, location in ipairs(item) do
        if digests.of_location(location) then
            return verified
        end
    end
    return #item > 0 and "latest only" or ""
end

local function say(...)
    print(string.format(...))
end

say "# Images of the catalogue\n"
say "Made from `scripts/images` by `scripts/dev/images.lua`; the chapter on [images](images.md) says how they are"
say "used. A cell says how far a download is verified:\n"
say "| | |"
say "|---|---|"
say("| unverified | its location and digest were read where the last table says; nobody has compared them with the "
    .. "distribution's own, or started it |")
say "| digest | its digest was compared with the distribution's own |"
say "| booted | it was started by the project's tests |"
say "| latest only | it has no location that keeps its content: `vmatrix images lock --latest` pins what is there |\n"
say("| image | also called | ends | %s |", table.concat(order, " | "))
say("|---|---|---%s|", ("|---"):rep(#order))
for _, each in ipairs(releases) do
    local cells = {}
    for i, arch in ipairs(order) do
        cells[i] = cell(each.file, each.release, arch)
    end
    say("| `%s` | %s | %s | %s |", each.release.name, table.concat(each.release.aliases or {}, ", "),
        each.release.eol or "", table.concat(cells, " | "))
end

say "\n## Where it was read\n"
say "The days on which updates end are those of endoflife.date (endoflife-date/endoflife.date a70eca337600 of"
say "2026-08-22), of Debian the end of its long-term support, of FreeBSD 14.4 its announcement's.\n"
say "| image | from | read |"
say "|---|---|---|"
for _, each in ipairs(releases) do
    local read = each.release.read or each.file.read
    say("| `%s` | %s | %s |", each.release.name, read.where, read.when)
    for _, arch in ipairs(order) do
        local own = (each.release.arches[arch] or {}).read
        if own then say("| `%s@%s` | %s | %s |", each.release.name, arch, own.where, own.when) end
    end
end
