-- vm.raw.data: keys that other programs accept, archives, decompression; and vm.seed.elf.
local t = require "harness"
local raw = require "vm.raw"
local elf = require "vm.seed.elf"
local host = require "vm.host"

local fs, data = raw.fs, raw.data

t.test("ssh-keygen derives our public line from our private key", function()
    if not host.which("ssh-keygen") then
        t.skip("ssh-keygen is not on this machine")
    end
    t.with_folder(function(folder)
        local key = data.ed25519("me@here")
        assert(fs.write_atomic(folder .. "/key", key.private, 384))
        t.equal(host.run({ "ssh-keygen", "-y", "-f", folder .. "/key" }).stdout, key.public .. "\n")
    end)
end)

t.test("dropbear derives the same public key from its form of the private key", function()
    if not host.which("dropbearkey") then
        t.skip("dropbearkey is not on this machine")
    end
    t.with_folder(function(folder)
        local key = data.ed25519("x")
        assert(fs.write_atomic(folder .. "/key", key.dropbear, 384))
        local out = host.run({ "dropbearkey", "-y", "-f", folder .. "/key" }).stdout
        t.equal(out:match("ssh%-ed25519 %S+"), key.public:match("ssh%-ed25519 %S+"))
    end)
end)

t.test("keys differ, and a comment must be one line", function()
    t.check(data.ed25519().public ~= data.ed25519().public)
    local none, err = data.ed25519("a\nb")
    t.equal(none, nil)
    t.equal(err.kind, "usage")
end)

t.test("an archive has its entries in order, and the same bytes each time", function()
    t.with_folder(function(folder)
        local entries = {
            { path = "etc", mode = 0x41ed },
            { path = "etc/motd", mode = 0x81a4, data = "hello" },
            { path = "link", mode = 0xa1ff, link = "etc" },
            { path = "null", mode = 0x21b6, major = 1, minor = 3 },
            { path = "copy", mode = 0x81a4, file = folder .. "/source" },
        }
        assert(fs.write_atomic(folder .. "/source", ("content"):rep(1000)))
        for _, compress in ipairs { "none", "gzip", "xz", "zstd" } do
            assert(data.cpio(folder .. "/one", entries, { compress = compress }))
            assert(data.cpio(folder .. "/two", entries, { compress = compress }))
            t.equal(fs.sha256(folder .. "/one"), fs.sha256(folder .. "/two"))
            local plain = assert(data.decompress(assert(fs.read(folder .. "/one"))))
            if compress == "none" then
                plain = assert(fs.read(folder .. "/one"))
            end
            t.equal(plain:sub(1, 6), "070701")
            t.match(plain, "etc%z.*etc/motd%z.*hello.*link%z.*etc.*null%z.*copy%z.*contentcontent.*TRAILER!!!")
        end
    end)
end)

t.test("an archive behind another file starts at a multiple of four and keeps its mode", function()
    t.with_folder(function(folder)
        assert(fs.write_atomic(folder .. "/first", "12345"))
        local entries = { { path = "x", mode = 0x81a4, data = "secret" } }
        assert(data.cpio(folder .. "/out", entries, { after = folder .. "/first", mode = 384, scratch = true }))
        t.equal(fs.read(folder .. "/out"):sub(1, 14), "12345\0\0\0" .. "070701")
        t.equal(fs.stat(folder .. "/out").mode, 384)
        local none, err = data.cpio(folder .. "/out2", entries, { after = "/nonexistent" })
        t.equal(none, nil)
        t.equal(err.kind, "notfound")
        t.equal(fs.list(folder), { "first", "out" })
    end)
end)

t.test("an entry that makes no sense raises, a file that is missing is an error", function()
    t.with_folder(function(folder)
        t.check(not pcall(data.cpio, folder .. "/out", { { path = "x" } }))
        t.check(not pcall(data.cpio, folder .. "/out", { { path = "x", mode = 0xa1ff } }))
        local none, err = data.cpio(folder .. "/out", { { path = "x", mode = 0x81a4, file = "/nonexistent" } })
        t.equal(none, nil)
        t.equal(err.kind, "notfound")
        t.equal(fs.list(folder), {})
    end)
end)

t.test("decompression is bounded and damage is seen", function()
    t.with_folder(function(folder)
        assert(data.cpio(folder .. "/out", { { path = "x", mode = 0x81a4, data = ("\0"):rep(100000) } },
            { compress = "xz" }))
        local bytes = assert(fs.read(folder .. "/out"))
        local none, err = data.decompress(bytes, 50000)
        t.equal(none, nil)
        t.equal(err.kind, "limit")
        none, err = data.decompress(bytes:sub(1, #bytes // 2))
        t.equal(none, nil)
        t.equal(err.kind, "format")
    end)
end)

t.test("the libraries of a program are read from its ELF file", function()
    local path = assert(fs.realpath(assert(host.which("sh"))))
    local bytes = assert(fs.read(path))
    if bytes:sub(1, 4) ~= "\127ELF" then
        t.skip("programs are not ELF files here")
    end
    local needed, linker = elf.needed(bytes)
    t.match(table.concat(needed, " "), "libc%.")
    t.check(fs.exists(linker), "the dynamic linker is not where the program says")
    t.equal(elf.needed("#!/bin/sh\n"), {})
end)

t.finish()
