-- timeout: 180
-- `vmatrix images` against a private web server: pulling, locking, mirrors, adding, verifying, pruning.
local t = require "harness"
local raw = require "vm.raw"
local checksums = require "vm.images.checksums"
local host = require "vm.host"
local nginx = require "lua.nginx"
local script = require "vm.script"
local sshd = require "ssh.sshd"

local fs = raw.fs

local work = assert(fs.mkdtemp())
local _ <close> = setmetatable({}, { __close = function() fs.remove_tree(work) end })
script.set(work .. "/x.lua")
assert(fs.mkdir_p(work .. "/.vmatrix/images"))

local server <close> = nginx.start()
t.baseline()

local block = assert(fs.random(65536))

-- An image for two architectures in the project's catalogue, both with the latest build beside them.
local function publish(fields)
    local disks = {}
    for _, arch in ipairs { "x86_64", "aarch64" } do
        disks[arch] = server:put("disk-" .. arch, arch .. block:rep(8))
        server:put("latest-" .. arch, "latest " .. arch .. block)
    end
    local text = { ("return { distro = 'mine', format = 'raw', %s releases = { { name = 'mine-1', aliases = { 'mine' },"
        .. " arches = {"):format(fields or "") }
    for _, arch in ipairs { "x86_64", "aarch64" } do
        text[#text + 1] = ("%s = { { url = '%s/disk-%s', dated = true, sha256 = '%s' },"
            .. " { url = '%s/latest-%s', latest = true, checksums = '%s/SUMS', signature = '%s/SUMS.gpg' } },"):format(
            arch, server.url, arch, disks[arch], server.url, arch, server.url, server.url)
    end
    text[#text + 1] = "} } } }"
    assert(fs.write_atomic(work .. "/.vmatrix/images/mine.lua", table.concat(text)))
    return disks
end

local function run(args, env)
    env = env or {}
    env.XDG_CACHE_HOME = env.XDG_CACHE_HOME or work .. "/cache"
    env.XDG_CONFIG_HOME, env.CURL_CA_BUNDLE = work .. "/config", server.ca
    return host.run({ assert(os.getenv "VMATRIX"), table.unpack(args) }, { env = env, check = false, timeout = 60,
        cwd = work })
end

local function images(words, env)
    local args = { "images" }
    for word in words:gmatch "%S+" do
        args[#args + 1] = word
    end
    return run(args, env)
end

local function good(words, env)
    local result = images(words, env)
    t.equal(result.status, 0, words .. ": " .. result.stderr)
    return result.stdout
end

local function bad(words, pattern, status)
    local result = images(words)
    t.equal({ result.status, result.stdout }, { status or 1, "" }, result.stderr)
    t.match(result.stderr, pattern)
end

local function clean()
    fs.remove_tree(work .. "/cache")
    fs.unlink(work .. "/vmatrix.lock")
end

t.test("pull gets several at once, path says where they are, list shows them", function()
    publish()
    bad("path mine-1 --arch x86_64", "not in the cache, and nothing is downloaded now")
    t.match(good "list mine", "mine%-1 +x86_64 +%- +unverified\n")
    local out = good "pull mine --arch all"
    t.match(out, "^mine%-1@aarch64  512.0 KiB  /.*\nmine%-1@x86_64  512.0 KiB  /")
    local path = good("path mine-1@aarch64"):gsub("\n", "")
    t.equal(fs.stat(path).size, 8 * 65536 + 7)
    t.match(good "list --cached", "^NAME.*\nmine%-1 +aarch64 +512.0 KiB +unverified\nmine%-1 +x86_64")
    local data = raw.json.decode(good "list --json mine --arch amd64")
    t.equal({ #data.images, data.images[1].arch, data.images[1].pinned, data.images[1].verified },
        { 1, "x86_64", true, "unverified" })
    data = raw.json.decode(good "pull mine --arch x86_64 --json")
    t.equal({ data.failed, data.images[1].built }, { 0, false })
end)

t.test("what fails is said, with status 1, and does not stop the others", function()
    clean()
    publish()
    fs.unlink(server.root .. "/disk-aarch64")
    local result = images "pull mine --arch all --retries 0"
    t.equal(result.status, 1)
    t.match(result.stdout, "^mine%-1@x86_64 ")
    t.match(result.stderr, "vmatrix images pull: image mine%-1@aarch64: https://localhost:%d+/disk%-aarch64: "
        .. "the server answers with status 404")
    t.equal(images("pull mine --digest sha256:" .. ("0"):rep(64)).status, 1)
end)

t.test("misuse says what is wrong with status 2 and names the nearest", function()
    bad("pull", "NAME is missing", 2)
    bad("pull mine --lokced", "did you mean '%-%-locked'", 2)
    bad("list --arch", "wants a value", 2)
    bad("pul", "unknown command 'pul'", 2)
    bad("add x --format vdi", "unknown value 'vdi'", 2)
    bad("path miin-1", "did you mean 'min")
    bad("list debain", "did you mean 'debian")
end)

t.test("the lock pins what names meant, and --locked refuses all else", function()
    clean()
    local disks = publish()
    t.match(good "lock mine-1 --arch all", "mine%-1@x86_64  sha256:" .. disks.x86_64:sub(1, 16) .. "  by the catalogue")
    local text = fs.read(work .. "/vmatrix.lock", 10000)
    t.match(text, '"mine%-1@aarch64": { "digest": "sha256:%x+", "url": "https://localhost:%d+/disk%-aarch64" },')
    -- The catalogue goes on; what was locked stays.
    server:put("disk-x86_64.old", fs.read(server.root .. "/disk-x86_64", 1 << 20))
    assert(fs.write_atomic(work .. "/vmatrix.lock", (text:gsub("/disk%-x86_64", "/disk-x86_64.old"))))
    server:put("disk-x86_64", "newer" .. block)
    local digest = server:put("disk-x86_64", "newer" .. block)
    local catalogue = fs.read(work .. "/.vmatrix/images/mine.lua", 10000):gsub(disks.x86_64, digest)
    assert(fs.write_atomic(work .. "/.vmatrix/images/mine.lua", catalogue))
    local data = raw.json.decode(good "pull mine --arch x86_64 --json --locked")
    t.equal(data.images[1].digest, "sha256:" .. disks.x86_64)
    bad("pull debian-12 --arch x86_64 --locked", "not in .*vmatrix.lock, and only what is there may be used")
end)

t.test("images of a matrix are locked without naming them", function()
    clean()
    publish()
    assert(fs.write_atomic(work .. "/matrix.lua", [[local vm = require "vm"
        return vm.matrix { axes = { image = { "mine-1", "seed" }, arch = { "x86_64", "aarch64" } },
            tests = { a = function() end } }]]))
    local out = good "lock"
    t.match(out, "mine%-1@x86_64")
    t.match(out, "mine%-1@aarch64")
    t.check(not out:find "seed", out)
    local data = raw.json.decode(good "lock --json")
    t.equal({ #data.images, data.images[1].name, data.failed }, { 2, "mine-1", 0 })
    t.match(data.images[1].digest, "^sha256:%x+$")
    local result = run { "test", "--locked", "--list" }
    t.equal(result.status, 0, result.stderr)
    assert(fs.unlink(work .. "/vmatrix.lock"))
    good "lock mine-1 --arch x86_64"
    result = run { "test", "--locked", "--list" }
    t.equal({ result.status, result.stdout }, { 2, "" })
    t.match(result.stderr, "image mine%-1@aarch64: it is not in .*vmatrix.lock")
    t.check(not result.stderr:find "x86_64", result.stderr)
    fs.unlink(work .. "/matrix.lua")
end)

-- A key to sign with; returns the home of gpg and the keyring for gpgv.
local function keys()
    if not sshd.which "gpg" or not sshd.which "gpgv" then
        t.skip "gpg or gpgv is not installed"
    end
    local home, ring = work .. "/gnupg", work .. "/config/vmatrix/keyrings/mine.gpg"
    if not fs.exists(home) then
        sshd.sh([[set -e; mkdir -m 700 "$1"; mkdir -p "${2%/*}"
            gpg --homedir "$1" -q --batch --passphrase '' --quick-gen-key tester ed25519 sign 1d 2>&1
            gpg --homedir "$1" -q --batch --export >"$2"; gpgconf --homedir "$1" --kill all]], home, ring)
    end
    return home, ring
end

local function sign(home, text, how)
    assert(fs.write_atomic(server.root .. "/SUMS", text))
    fs.unlink(server.root .. "/SUMS.gpg")
    sshd.sh([[gpg --homedir "$1" -q --batch $3 -o "$2/SUMS.gpg" "$2/SUMS" 2>&1; gpgconf --homedir "$1" --kill all]],
        home, server.root, how or "--detach-sign")
end

local function sums()
    return ("%s  latest-x86_64\n%s *latest-aarch64\n"):format(assert(fs.sha256(server.root .. "/latest-x86_64")),
        assert(fs.sha256(server.root .. "/latest-aarch64")))
end

t.test("the latest build is pinned by checksums whose signature is good, and by no others", function()
    clean()
    publish()
    local home, ring = keys()
    sign(home, sums())
    t.match(good "lock --latest mine-1 --arch x86_64", "mine%-1@x86_64  sha256:%x+  signed\n")
    local data = raw.json.decode(good "pull mine-1 --arch x86_64 --json --locked")
    t.equal(data.images[1].digest, "sha256:" .. fs.sha256(server.root .. "/latest-x86_64"))
    clean()
    assert(fs.write_atomic(server.root .. "/SUMS", (sums():gsub("^%x%x", "00"))))
    bad("lock --latest mine-1 --arch x86_64", "signature of its checksums is not good: BAD signature")
    t.check(not fs.exists(work .. "/vmatrix.lock"), "a lock was written")
    t.match(good "lock --latest --unsigned mine-1 --arch x86_64", "not signed\n")
    bad("pull mine-1 --arch x86_64", "has another digest than it should")
    assert(fs.rename(ring, ring .. ".away"))
    bad("lock --latest mine-1 --arch aarch64", "keys to check them with are not here.*%-%-unsigned does without")
    assert(fs.rename(ring .. ".away", ring))
end)

t.test("text that carries its signature is read as what was signed", function()
    local home, ring = keys()
    sign(home, "abc  file\n", "--clearsign")
    local text = fs.read(server.root .. "/SUMS.gpg", 10000)
    t.equal(checksums.verify("x", ring, text, nil), "abc  file\n")
    t.raises(function() checksums.verify("x", ring, text:gsub("abc", "abd"), nil) end, "unsafe", "BAD signature")
    t.raises(function() checksums.verify("x", ring, "abc  file\n", nil) end, "unsafe", "not good")
end)

t.test("checksums are found in every form in use", function()
    local short, long = ("a"):rep(64), ("B"):rep(128)
    for text, wanted in pairs {
        [short .. "  x.img\n" .. long .. "  y.img\n"] = "sha256:" .. short,
        [long .. " *x.img\n"] = "sha512:" .. long:lower(),
        ["SHA256 (x.img) = " .. short .. "\n"] = "sha256:" .. short,
        ["# x.img: 12 bytes\nSHA512 (x.img) = " .. long .. "\n" .. short .. "  x.img\n"] = "sha512:" .. long:lower(),
        [short .. "\n"] = "sha256:" .. short,
        [short .. "  ./images/x.img\r\n"] = "sha256:" .. short,
    } do
        t.equal(checksums.find(text, "x.img"), wanted, text)
    end
    for _, text in ipairs { short .. "  y.img\n", "abc  x.img\n", "", short .. "\n" .. short .. "\n", "x.img\n" } do
        t.equal(checksums.find(text, "x.img"), nil, text)
    end
end)

t.test("a mirror serves what it has, from a folder or a web server, and nothing comes from elsewhere", function()
    clean()
    local disks = publish()
    local folder = work .. "/a mirror"
    local result = run { "images", "mirror", folder, "mine-1", "--arch", "all" }
    t.equal(result.status, 0, result.stderr)
    t.equal(#fs.list(folder), 3)
    local said = raw.json.decode(run({ "images", "mirror", folder, "mine-1", "--arch", "all", "--json" }).stdout)
    t.equal({ #said.images, said.failed, fs.exists(folder .. "/" .. said.images[1].file) }, { 2, 0, true })
    local index = raw.json.decode(fs.read(folder .. "/index.json", 10000))
    t.equal(index["mine-1@x86_64"].file, "sha256-" .. disks.x86_64)
    for _, name in ipairs { "disk-x86_64", "disk-aarch64" } do
        fs.unlink(server.root .. "/" .. name)
    end
    server:requests()
    good("pull mine-1 --arch x86_64", { VMATRIX_MIRROR = folder })
    t.equal(server:requests(), {})
    assert(fs.mkdir_p(server.root .. "/mirror"))
    assert(fs.copy(folder .. "/sha256-" .. disks.aarch64, server.root .. "/mirror/sha256-" .. disks.aarch64, 420))
    good("pull mine-1 --arch aarch64", { VMATRIX_MIRROR = server.url .. "/mirror/" })
    clean()
    for place, pattern in pairs {
        [work .. "/none"] = "[Cc]ouldn't open file",
        ["none"] = "an absolute path or a URL expected",
        [server.url .. "/none"] = "status 404",
    } do
        result = images("pull mine-1 --arch x86_64 --retries 0", { VMATRIX_MIRROR = place })
        t.equal(result.status, 1)
        t.match(result.stderr, pattern)
        t.check(not result.stderr:find("%-%-latest"), result.stderr)
    end
    -- One that lies is found out.
    assert(fs.write_atomic(folder .. "/sha256-" .. disks.x86_64, "something else"))
    result = images("pull mine-1 --arch x86_64 --retries 0", { VMATRIX_MIRROR = folder })
    t.match(result.stderr, "another digest than it should")
    -- And made good again.
    publish()
    result = run { "images", "mirror", folder, "mine-1", "--arch", "x86_64" }
    t.equal({ result.status, fs.sha256(folder .. "/sha256-" .. disks.x86_64) }, { 0, disks.x86_64 }, result.stderr)
end)

t.test("add takes a file in under a name of its own, decompressed, its digest checked", function()
    clean()
    fs.remove_tree(work .. "/.vmatrix/images/mine.lua")
    local plain = "plain" .. block:rep(20)
    assert(fs.write_atomic(work .. "/my disk.img", plain))
    local result = run { "images", "add", work .. "/my disk.img", "--name", "own-1", "--arch", "amd64", "--user", "me",
        "--reach", "ssh" }
    t.equal(result.status, 0, result.stderr)
    t.match(result.stdout, "^own%-1@x86_64  raw  sha256:")
    t.match(good "list own", "own%-1 +x86_64 +1.3 MiB +added here")
    local path = good("path own-1 --arch x86_64"):gsub("\n", "")
    t.equal(fs.read(path, 1 << 21) == plain, true)
    t.check(fs.exists(work .. "/my disk.img"), "it was moved")
    sshd.sh([[cd "$1" && cp 'my disk.img' packed.img && xz -f0 packed.img]], work)
    good("add packed.img.xz --name own-2 --arch x86_64 --digest sha256:" .. fs.sha256(work .. "/packed.img.xz"))
    t.equal(good "path own-2 --arch x86_64" == good "path own-1 --arch x86_64", true) -- the same bytes, kept once
    bad("add packed.img.xz --name own-3 --digest sha256:" .. ("0"):rep(64), "another digest than it should")
    bad("add none.img", "none.img: No such file")
    assert(fs.write_atomic(work .. "/bad.qcow2", "QFI\xfb" .. string.pack(">I4I8I4I4I8", 4, 512, 11, 16, 1 << 30)
        .. ("\0"):rep(100000)))
    bad("add bad.qcow2", "image bad: bad.qcow2: it is qcow2 version 4")
    for _, name in ipairs(fs.list(work .. "/cache/vmatrix/images")) do
        t.check(not name:find "%.new$", name .. " is left")
    end
end)

t.test("verify reads everything, says what is damaged, and removes it when told to", function()
    clean()
    publish()
    good "pull mine --arch all"
    t.match(good "verify", "^ok  mine%-1@%w+.*\nok  mine%-1@")
    local path = good("path mine-1@x86_64"):gsub("\n", "")
    local stat = fs.stat(path)
    assert(fs.chmod(path, 420))
    sshd.sh([[touch -r "$1" "$1.time"; printf damaged. | dd of="$1" bs=1 seek=5000 conv=notrunc status=none
        touch -r "$1.time" "$1"; rm "$1.time"]], path)
    t.equal(fs.stat(path).mtime_ns, stat.mtime_ns) -- as a disk that forgets would do it
    local result = images "verify"
    t.equal(result.status, 1)
    t.match(result.stdout, "BAD mine%-1@x86_64  sha256:%x+  disk.raw is damaged")
    do
        local user <close> = assert(fs.lock(path:match "^(.*)/" .. "/in-use", true, true)) -- luacheck: ignore 211
        local kept = raw.json.decode(images("verify --remove --json").stdout)
        t.equal(#kept.images, 2) -- the other one is read even so
        t.equal(kept.damaged, 1)
        t.match(images("verify --remove").stdout, "BAD mine%-1@x86_64 .*; not removed: image mine%-1 is in use")
    end
    t.match(images("verify --remove mine-1 --arch x86_64").stdout, "; removed")
    t.check(not fs.exists(path), "it is still there")
    t.equal(raw.json.decode(good "verify --json").damaged, 0)
end)

t.test("prune removes what was not used for long, and never what is in use", function()
    clean()
    publish()
    good "pull mine --arch all"
    t.match(good "prune", "^0.0 GiB are left")
    t.match(good "prune --all --dry-run", "mine%-1@%S+  520.0 KiB  would be removed\n.*would be removed")
    local user <close> = assert(raw.process.start { argv = { "env", "XDG_CACHE_HOME=" .. work .. "/cache",
        os.getenv "VMATRIX", "-e", ([[require("vm.script").set(%q); require("vm.images").get("mine-1", "x86_64",
            { offline = true }); print "used"; vm.sleep(30)]]):format(work .. "/x.lua") } })
    t.equal(select(2, user:read(20)), "used\n")
    local result = images "prune --all"
    t.match(result.stdout, "^mine%-1@aarch64 ")
    t.match(result.stderr, "mine%-1 is in use")
    user:kill(9)
    user:wait(10)
    t.match(good "prune --older 0s", "^mine%-1@x86_64 ")
    t.match(good "list --cached", "^$")
end)

t.finish()
