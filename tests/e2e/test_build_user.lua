-- Images that are built by an ordinary user, in a namespace of that user's. What is missing is said before anything
-- is downloaded; with VMATRIX_CHECK_ALL=1 one is built and booted.
-- timeout: 3600
local t = require "harness"
local vm = require "vm"
local host = require "vm.host"
local fs = vm.raw.fs

local USER <const> = "nobody"

-- Sees other files in the place of /etc/subuid and /etc/subgid, and goes on as that user.
local AS_USER <const> = [[
mount --bind "$1/ids" /etc/subuid && mount --bind "$1/ids" /etc/subgid || exit 70
home=$1 user=$2
shift 2
exec setpriv --reuid "$user" --regid nogroup --clear-groups --reset-env env HOME="$home" TMPDIR="$home" \
    XDG_CACHE_HOME="$home/cache" VMATRIX_DEBIAN_MIRROR="${VMATRIX_DEBIAN_MIRROR-}" "$home/vmatrix" "$@"
]]

-- A home with the program in it, where the user has these ids.
local function home(ids)
    if fs.uid() ~= 0 then
        t.skip "only root can become somebody else"
    elseif not host.which "mmdebstrap" or not host.which "newuidmap" then
        t.skip "mmdebstrap or newuidmap is not installed"
    end
    local path = assert(fs.mkdtemp "vmatrix-user-")
    assert(fs.chmod(path, 493)) -- 0755
    host.run { "cp", os.getenv "VMATRIX", path .. "/vmatrix" }
    assert(fs.write_atomic(path .. "/ids", ids))
    host.run { "chown", "-R", USER, path }
    return setmetatable({ path = path }, { __close = function() fs.remove_tree(path) end })
end

local function as_user(where, ...)
    return host.run({ "unshare", "--mount", "sh", "-c", AS_USER, "sh", where.path, USER, ... },
        { check = false, timeout = 3500, cwd = where.path })
end

t.test("a_user_without_further_ids_is_told_what_root_has_to_say", function()
    local where <close> = home ""
    local result = as_user(where, "images", "build", "debian-13")
    t.equal({ result.status, result.stdout }, { 1, "" })
    t.match(result.stderr, "images build debian%-13: as an ordinary user mmdebstrap needs ids of your own")
    t.match(result.stderr, "usermod %-%-add%-subuids 100000%-165535 %-%-add%-subgids 100000%-165535 " .. USER)
    t.equal(fs.exists(where.path .. "/cache"), false)
end)

t.test("with_these_ids_a_user_builds_an_image_and_boots_it_and_leaves_nothing", function()
    local where <close> = home(USER .. ":100000:65536\n")
    t.equal(as_user(where, "images", "build", "debian-13", "--check").stderr, "")
    if os.getenv "VMATRIX_CHECK_ALL" ~= "1" then
        return
    end
    local made = as_user(where, "images", "build", "debian-13", "--init", "none")
    t.equal(made.status, 0, made.stderr)
    t.match(made.stdout, "debian%-13%-none@" .. vm.raw.build.arch)
    t.equal(fs.glob(where.path .. "/vmatrix-build-*"), {})
    local booted = as_user(where, "-e", [[
        local guest <close> = vm.boot { image = "debian-13-none", memory = "512MiB" }
        print(guest:output "id -un; stat -c '%u %g %a' / /root /etc/shadow")]])
    t.equal({ booted.status, booted.stdout }, { 0, "root\n0 0 755\n0 0 700\n0 42 640\n" }, booted.stderr)
end)

t.finish()
