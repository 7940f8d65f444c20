-- What a folder is built with, and the first matrix for it: what `vmatrix init` writes. Pure but for
-- `detect`, which looks at the folder's files.
local raw = require "vm.raw"

local M = {}

-- Whether a makefile has a rule for this target, which may stand among others: "check test: all".
local function has_target(text, name)
    for line in text:gmatch "[^\n]+" do
        for target in (line:match "^([^\t#:=][^#:=]*)::?%f[^:=]" or ""):gmatch "%S+" do
            if target == name then
                return true
            end
        end
    end
    return false
end

-- The kinds of projects, the more telling first: a configure script beside a Makefile says more.
-- `packages` by package manager; `build` and `check` are commands in the project's folder.
local kinds = {
    { file = "Cargo.toml", name = "Cargo", packages = { apt = "cargo", dnf = "cargo", apk = "cargo", zypper = "cargo",
        pacman = "rust" }, skip = { "target" }, build = "cargo build --locked", check = "cargo test --locked",
        unless = { "Cargo.lock", build = "cargo build", check = "cargo test" } },
    { file = "meson.build", name = "Meson", packages = { apt = "meson gcc g++ pkg-config",
        dnf = "meson gcc gcc-c++ pkgconf", apk = "meson build-base pkgconf", zypper = "meson gcc gcc-c++ pkgconf",
        pacman = "meson base-devel" }, skip = { "build", "builddir" }, build = "meson setup /b && meson compile -C /b",
        check = "meson test -C /b --print-errorlogs", logs = { "/b/meson-logs/*.txt" } },
    { file = "CMakeLists.txt", name = "CMake", packages = { apt = "cmake make gcc g++", dnf = "cmake make gcc gcc-c++",
        apk = "cmake build-base", zypper = "cmake make gcc gcc-c++", pacman = "cmake base-devel" },
        skip = { "build" }, build = "cmake -S . -B /b && cmake --build /b",
        check = "ctest --test-dir /b --output-on-failure", logs = { "/b/Testing/Temporary/*.log" } },
    { file = "configure.ac", name = "autotools", packages = { apt = "autoconf automake libtool make gcc pkg-config",
        dnf = "autoconf automake libtool make gcc pkgconf", apk = "autoconf automake libtool build-base pkgconf",
        zypper = "autoconf automake libtool make gcc pkgconf", pacman = "base-devel" },
        build = "autoreconf -fi && ./configure && make", check = "make check", logs = { "/src/test-suite.log" } },
    { file = "configure", name = "configure", packages = { apt = "make gcc", dnf = "make gcc", apk = "build-base",
        zypper = "make gcc", pacman = "base-devel" }, build = "./configure && make", check = "make check" },
    { file = "Makefile", also = { "GNUmakefile", "makefile" }, name = "make", packages = { apt = "make gcc",
        dnf = "make gcc", apk = "build-base", zypper = "make gcc", pacman = "base-devel" }, build = "make",
        targets = { "check", "test" } },
}

---@class vm.Project
---@field kind string what builds it: "CMake", "make", ...
---@field file string which file said so
---@field packages table<string, string> by package manager
---@field build string
---@field check? string nil where no target for it was found
---@field skip string[] what is not copied
---@field logs string[] what is kept of a run

local function read(folder, name)
    return raw.fs.read(folder .. "/" .. name, 1 << 20)
end

local function of(kind, folder, file)
    local found = { kind = kind.name, file = file, packages = kind.packages, build = kind.build, check = kind.check,
        skip = { ".git", ".vmatrix" }, logs = kind.logs or {} }
    table.move(kind.skip or {}, 1, #(kind.skip or {}), #found.skip + 1, found.skip)
    if kind.unless and not raw.fs.exists(folder .. "/" .. kind.unless[1]) then
        found.build, found.check = kind.unless.build, kind.unless.check
    end
    for _, target in ipairs(kind.targets or {}) do
        if not found.check and has_target(read(folder, file) or "", target) then
            found.check = "make " .. target
        end
    end
    if file == "CMakeLists.txt" and not (read(folder, file) or ""):lower():find "enable_testing%s*%(%s*%)"
        and not (read(folder, file) or ""):lower():find "include%s*%(%s*ctest%s*%)" then
        found.check = nil
    end
    return found
end

---What a folder is built with, or nil where nothing is known.
---@param folder string
---@return vm.Project|nil
function M.detect(folder)
    for _, kind in ipairs(kinds) do
        for _, file in ipairs { kind.file, table.unpack(kind.also or {}) } do
            local stat = raw.fs.stat(folder .. "/" .. file)
            if stat and stat.type == "file" then
                return of(kind, folder, file)
            end
        end
    end
end

---The names of the files that are looked for.
---@return string[]
function M.files()
    local list = {}
    for i, kind in ipairs(kinds) do
        list[i] = kind.file
    end
    return list
end

local function quoted(list)
    local out = {}
    for i, item in ipairs(list) do
        out[i] = ("%q"):format(item)
    end
    return table.concat(out, ", ")
end

local header = [[
-- Tests of this project on virtual machines: `vmatrix test` runs them, `vmatrix test --list` shows them.
-- A first version, made by `vmatrix init` from %s; it is yours now.
local vm = require "vm"

-- What builds the project, by the package manager that the guest has.
local tools = {
%s}

return vm.matrix {
    axes = {
        image = { %s }, -- what it is tested on; `vmatrix images list` shows what there is
    },
    guest = function(cell)
        return { image = cell.image, memory = %q, disk = "10GiB" }
    end,
    timeout = "20m",
]]

local footer = [[
    prepare = { -- done once, kept, and done anew when something of it changes
        vm.step { name = "tools", timeout = "30m", run = function(guest)
            for _, tool in ipairs(tools) do
                if guest:exec { "sh", "-c", "command -v " .. tool.program }.ok then
                    guest:run(tool.install)
                    return
                end
            end
        end },
        vm.step { name = "source", copy = { { ".", "/src", exclude = { %s } } } },
    },
    tests = {
        build = function(guest)
            guest:run(%q, { cwd = "/src" })
        end,
%s    },
}
]]

local check_test = [[
        check = {
            from = "build", -- starts from what build has left
            run = function(guest)
                guest:run(%q, { cwd = "/src" })
            end,
        },
]]

local installers = {
    { "apt", "apt-get", "apt-get update -q && "
        .. "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends" },
    { "dnf", "dnf", "dnf install -y -q" },
    { "apk", "apk", "apk add -q" },
    { "zypper", "zypper", "zypper -n -q install" },
    { "pacman", "pacman", "pacman -Sy --noconfirm --needed" },
}

---The first matrix for a project.
---@param project vm.Project
---@param images string[] what to test on
---@return string
function M.matrix(project, images)
    local tools = {}
    for _, item in ipairs(installers) do
        if project.packages[item[1]] then
            tools[#tools + 1] = ("    { program = %q, install = %q },\n"):format(item[2],
                item[3] .. " " .. project.packages[item[1]])
        end
    end
    local text = header:format(project.file, table.concat(tools), quoted(images),
        images[1] == "seed" and "512MiB" or "1GiB")
    if #project.logs > 0 then
        text = text .. ("    artifacts = { %s },\n"):format(quoted(project.logs))
    end
    return text .. footer:format(quoted(project.skip), project.build,
        project.check and check_test:format(project.check) or "")
end

return M
