-- A test matrix: a small program on three architectures, each test on a fresh copy of a guest that was
-- prepared once. Run it in this folder with `vmatrix test`, or from anywhere with
-- `vmatrix test PATH/matrix.lua`.
local vm = require "vm"

local tries = {} -- of the test that succeeds at its second attempt

return vm.matrix {
    axes = { arch = { "x86_64", "aarch64", "riscv64" } },
    guest = function(cell)
        return { image = "seed", arch = cell.arch, memory = "256MiB" }
    end,
    timeout = "2m",
    env = { LC_ALL = "C" },
    artifacts = { "/w/*.log" },
    prepare = {
        vm.step { name = "source", copy = { { "src", "/w" } } },
    },
    tests = {
        build = function(guest)
            guest:run("sed 's/ words on / words, counted on /' count.sh > count; chmod +x count", { cwd = "/w" })
        end,
        check = {
            from = "build", -- starts from the state that build left
            run = function(guest, t)
                local out = guest:output("echo one two three | ./count | tee check.log", { cwd = "/w" })
                t:equal(out, "3 words, counted on " .. t.cell.arch)
                t:record("words", (out:match "%d+"))
            end,
        },
        kernel = function(guest, t)
            t:section("its architecture", function()
                t:match(guest:output "uname -m", t.cell.arch, { plain = true })
            end)
            t:record("kernel", guest:output "uname -r | cut -d . -f 1,2")
        end,
        unsteady = {
            retries = 1, -- passes only on retry, so it is flaky
            run = function(guest, t)
                t:equal(guest:output "ls /root", "") -- each attempt has a guest of its own
                guest:run "touch /root/dirt"
                tries[t.cell.arch] = (tries[t.cell.arch] or 0) + 1
                t:check(tries[t.cell.arch] > 1, "the first attempt does not succeed")
            end,
        },
        emulated_only = {
            when = function(cell)
                return cell.arch ~= "x86_64", "there is nothing to see on x86_64"
            end,
            run = function(guest) guest:run "true" end,
        },
    },
}
