-- Somebody else's project on real systems: zlib, from Debian's source package, on three releases of Debian,
-- three architectures, with two compilers. docs/manual/real-project.md says more. In this folder:
--   sh fetch.sh && vmatrix test --format junit --format html
local vm = require "vm"

return vm.matrix {
    axes = {
        image = { "debian-11", "debian-12", "debian-13" },
        arch = { "x86_64", "aarch64", "riscv64" },
        cc = { "gcc", "clang" },
    },
    exclude = { { image = { "debian-11", "debian-12" }, arch = "riscv64" } }, -- Debian has it from 13 on
    guest = function(cell)
        -- A busy host may take minutes to boot an emulated Debian.
        return { image = cell.image, arch = cell.arch, memory = "768MiB", disk = "8GiB", timeout = "20m" }
    end,
    timeout = "20m", -- of each test; three times that where the guest is emulated
    prepare = {
        -- Images that were built with the compilers have them; others get them over the guest's network.
        vm.step { name = "toolchain", timeout = "2h", run = function(guest)
            if not guest:exec("gcc --version && clang --version && make --version").ok then
                guest:install("gcc", "clang", "make", "libc-dev", { timeout = "110m" })
            end
        end },
        vm.step { name = "source", copy = { { "zlib", "/w" } } },
    },
    tests = {
        build = function(guest, t)
            -- With its own -O3 an emulated processor would compile for twice as long.
            local options = { cwd = "/w", env = { CC = t.cell.cc, CFLAGS = "-O1" } }
            t:log("%s", guest:output(t.cell.cc .. " --version | head -n 1"))
            t:section("configure", function() guest:run("./configure", options) end)
            t:section("make", function() guest:run("make", options) end)
        end,
        check = {
            from = "build",
            run = function(guest, t)
                local said = guest:run("make check", { cwd = "/w" }).stdout
                for _, line in ipairs { "zlib test OK", "zlib shared test OK", "zlib 64-bit test OK" } do
                    t:match(said, line, { plain = true })
                end
            end,
        },
        -- What is compressed has the same bytes everywhere, and is what it was when it comes out again.
        bytes = {
            from = "build",
            run = function(guest, t)
                guest:run("./minigzip < deflate.c > packed && ./minigzip -d < packed | cmp - deflate.c", { cwd = "/w" })
                t:record("packed", guest:output("sha256sum < packed", { cwd = "/w" }):sub(1, 16))
                t:record("size of the library", guest:output("stat -c %s libz.a", { cwd = "/w" }))
            end,
        },
    },
}
