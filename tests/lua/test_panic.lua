-- Which console text is a kernel's panic, and which is only printed by a program.
local t = require "harness"
local console = require "vm.guest.console"
local panic = require "vm.guest.panic"

local fs = require("vm.raw").fs

local linux <const> = "[    0.000000] Linux version 6.12\r\n[    1.5] Run /init\r\n"

local function line(text)
    return panic.line(text, 1, panic.stamps("\n" .. text, 1))
end

t.test("a panic of linux is one, with a stamp, with the caller, after other text on the line", function()
    local words = "Kernel panic - not syncing: sysrq triggered crash"
    t.equal(line(linux .. "[   12.345678] " .. words .. "\r\n"), words)
    t.equal(line(linux .. "[   12.345678][    T1] " .. words .. "\r\n"), words)
    t.equal(line(linux .. "login: [   12.345678] " .. words .. "\r\n"), words)
end)

t.test("a kernel that does not stamp its lines is believed", function()
    t.equal(line "Linux version 6\nKernel panic - not syncing: x\n", "Kernel panic - not syncing: x")
    t.equal(line "FreeBSD\npanic: ufs_dirbad\n", "panic: ufs_dirbad")
end)

t.test("a program that prints the same words is no panic where linux stamps its lines", function()
    t.equal(line(linux .. "Kernel panic - not syncing: I am a program\r\n"), nil)
    t.equal(line(linux .. "panic: runtime error: index out of range\r\n"), nil)
    local both = linux .. "Kernel panic - not syncing: no\r\n[  9.1] Kernel panic - not syncing: yes\r\n"
    t.equal(line(both), "Kernel panic - not syncing: yes")
end)

t.test("a line that has not come whole is waited for", function()
    t.equal(line(linux .. "[   12.345678] Kernel panic - not syncing: sys"), nil)
end)

t.test("the last lines have the panic's, however long the trace behind it is", function()
    t.with_folder(function(folder)
        local path, words = folder .. "/console.log", "Kernel panic - not syncing: sysrq triggered crash"
        local trace = {}
        for i = 1, 30 do
            trace[i] = ("[   12.4%05d]  entry_%d+0x1/0x2"):format(i, i)
        end
        assert(fs.write_atomic(path, ("%s[   12.345678] %s\r\n%s\r\n"):format(linux, words,
            table.concat(trace, "\r\n"))))
        local seen
        local log = console.follow(path, function(said) seen = said end)
        local tail = log:tail(3)
        t.equal(tail:match "^([^\n]*)\n", seen)
        t.equal(seen, words)
        t.match(tail, "entry_29.*entry_30")
        t.equal(log:tail(1), seen)
        log:close()
    end)
end)

t.finish()
