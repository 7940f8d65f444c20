-- timeout: 400
-- Kept guests as people use them: commands of the program, several processes at once, and OpenSSH's clients.
local vm = require "vm"
local t = require "harness"
local host = require "vm.host"
local cli = require "cli.cli"

local fs = vm.raw.fs

if not host.which "qemu-system-x86_64" or not host.which "qemu-img" then
    t.test("kept_guests", function() t.skip "QEMU for x86_64 is not installed" end)
    cli.clean()
    t.finish()
end

-- The seed is the user's own; everything else is this file's.
local OPTS <const> = { env = { "XDG_CACHE_HOME=" .. require("vm.host.paths").cache():match "^(.*)/" }, timeout = 200 }
local home = cli.folder .. "/state/vmatrix/kept"

local function run(args, stdin)
    return cli.run(args, { env = OPTS.env, timeout = OPTS.timeout, stdin = stdin })
end

local function ok(...)
    local result = run { ... }
    t.equal(result.status, 0, table.concat({ ... }, " ") .. ": " .. result.stderr)
    return result
end

local function ssh(program, ...)
    local path = host.which(program)
    if not path then
        t.skip(program .. " is not installed")
    end
    return host.run({ path, "-F", cli.folder .. "/ssh_config", ... }, { check = false, timeout = 60 })
end

local function write_config()
    assert(fs.write_atomic(cli.folder .. "/ssh_config", ok("ssh-config").stdout))
end

t.test("boot_makes_a_guest_that_stays_says_its_name_and_what_may_be_next", function()
    local result = ok("boot", "seed@x86_64", "--name", "dev", "-m", "256MiB", "-p", "8088")
    t.equal(result.stdout, "dev\n")
    t.match(result.stderr, "`vmatrix shell dev` opens a shell")
    local entry = assert(vm.raw.json.decode(ok("list", "--json").stdout))[1]
    t.equal({ entry.name, entry.state, entry.image, entry.arch, entry.memory, entry.kept },
        { "dev", "running", "seed", "x86_64", 256 * 2 ^ 20 // 1, true })
    t.match(entry.address, "^127%.0%.0%.1:%d+$")
    t.equal(#entry.ports, 2)
end)

t.test("exec_passes_input_output_and_status", function()
    local result = run({ "exec", "dev", "--", "sh", "-c", "cat; echo oops >&2; exit 7" }, "one\ntwo\n")
    t.equal({ result.status, result.stdout, result.stderr }, { 7, "one\ntwo\n", "oops\n" })
    t.equal(run({ "exec", "d", "echo $((6 * 7))" }).stdout, "42\n")
    t.equal(run({ "exec", "dev", "--env", "A=b c", "--cwd", "/tmp", "--", "sh", "-c", 'echo "$A"; pwd' }).stdout,
        "b c\n/tmp\n")
    t.equal(run({ "exec", "dev", "kill -9 $$" }).status, 137)
end)

t.test("exec_needs_no_end_of_its_input_to_see_the_end_of_the_command", function()
    local process <close> = cli.start({ "exec", "dev", "--", "uname", "-m" }, OPTS) -- its input stays open
    t.equal(process:finish(30), 0)
    t.equal(process.text[1], "x86_64\n")
end)

t.test("exec_carries_megabytes_both_ways_from_a_file_and_from_a_pipe", function()
    local data = ("0123456789abcde\n"):rep(2 ^ 15 // 1)
    t.equal(run({ "exec", "dev", "--", "wc", "-c" }, data).stdout:match "%d+", tostring(#data))
    t.equal(#run({ "exec", "dev", "head -c 1000000 /dev/zero" }).stdout, 1000000)
    local file = cli.script("data", data)
    local line = ("'%s' exec dev -- wc -c < '%s'"):format(cli.binary, file)
    t.equal(host.run(table.move({ "sh", "-c", line }, 1, 3, #cli.argv({}, OPTS),
        table.move(cli.argv({}, OPTS), 1, #cli.argv({}, OPTS) - 1, 1, {})), { timeout = 60 }).stdout:match "%d+",
        tostring(#data))
end)

t.test("what_cannot_be_run_is_125_and_a_name_that_is_none_says_the_nearest", function()
    t.equal(run({ "exec", "dev", "--cwd", "/nowhere", "--", "true" }).status, 125)
    local result = run { "exec", "dve", "--", "true" }
    t.equal(result.status, 125)
    t.match(result.stderr, "there is no guest and no image \"dve\"; did you mean 'dev'%?")
    t.match(run({ "exec", "dev", "-m", "1GiB", "--", "true" }).stderr, "'%-%-memory' is for a new guest of an image")
    result = run { "info", "nobody" }
    t.equal(result.status, 3)
    t.match(result.stderr, "`vmatrix list` shows those there are")
end)

t.test("two_processes_use_one_guest_at_once_and_need_no_owner", function()
    local pid = host.run({ "sh", "-c", "ps -eo pid=,args= | grep -F -e '--own " .. home .. "' | grep -v grep" },
        { check = false }).stdout:match "%d+"
    if pid then
        os.execute("kill -9 " .. pid)
    end
    local begun = vm.now()
    local slow <close> = cli.start({ "exec", "dev", "--", "sh", "-c", "echo begun; sleep 30" }, OPTS)
    slow:expect(1, "begun")
    t.equal(run({ "exec", "dev", "--", "echo", "me too" }).stdout, "me too\n")
    t.check(vm.now() - begun < 25)
    slow:kill(2)
    t.equal(slow:finish(20), 130)
    t.equal(run({ "exec", "dev", "pgrep -f 'sleep 3[0]' || echo gone" }).stdout, "gone\n")
end)

t.test("scripts_find_it_by_a_prefix_and_leave_it", function()
    local script = cli.script("get.lua", [[
        local vm = require "vm"
        local guest = vm.get "de"
        print(guest)
        guest:write("/tmp/note", "from a script\n")
        print(guest:output "cat /tmp/note", #vm.list(), vm.list()[1].name)
        guest:wait_port(22)
        print(vm.get "none")
        print(pcall(guest.template, guest))
    ]])
    local out = ok(script).stdout
    t.match(out, "^guest dev %(x86_64, running, kept%)\nfrom a script\t1\tdev\nnil\t")
    t.equal(run({ "exec", "dev", "cat /tmp/note" }).stdout, "from a script\n")
end)

t.test("ssh_config_is_all_that_openssh_needs", function()
    write_config()
    local result = ssh("ssh", "dev", "hostname")
    t.equal({ result.status, result.stdout }, { 0, "dev\n" }, result.stderr)
    assert(fs.write_atomic(cli.folder .. "/sent", "by scp\n"))
    result = ssh("scp", "-q", cli.folder .. "/sent", "dev:/tmp/sent")
    t.equal(result.status, 0, result.stderr)
    t.equal(run({ "exec", "dev", "cat /tmp/sent" }).stdout, "by scp\n")
    result = ssh("sftp", "-q", "dev:/tmp/sent", cli.folder .. "/by-sftp")
    t.equal({ result.status, fs.read(cli.folder .. "/by-sftp", 100) }, { 0, "by scp\n" }, result.stderr)
    local way = assert(vm.raw.json.decode(ok("ssh-config", "dev", "--json").stdout))[1]
    t.equal({ way.name, way.host, way.user, way.host_key_alias, fs.exists(way.key), fs.exists(way.known_hosts) },
        { "dev", "127.0.0.1", "root", "vmatrix-dev", true, true })
    t.match(fs.read(cli.folder .. "/ssh_config", 65536), "\n  Port " .. way.port .. "\n")
end)

-- The seed has no rsync: this host's own goes there, with its loader and libraries.
local function take_rsync_in()
    local path = host.which "rsync"
    if not path then
        t.skip "rsync is not installed"
    elseif host.run({ "uname", "-sm" }).stdout ~= "Linux x86_64\n" then
        t.skip "this host's rsync does not run in the guest"
    end
    local folder = cli.folder .. "/rsync"
    assert(fs.mkdir_p(folder))
    local loader
    host.run { "cp", path, folder .. "/rsync" }
    for library in host.run({ "ldd", path }).stdout:gmatch "(/%S+)" do
        host.run { "cp", "-L", library, folder }
        loader = library:match "/(ld%-[^/]*)$" or loader
    end
    ok("copy", folder, "dev:/tmp/rsync")
    return ("--rsync-path=/tmp/rsync/%s --library-path /tmp/rsync /tmp/rsync/rsync"):format(loader)
end

t.test("rsync_goes_both_ways_by_the_guests_name", function()
    local there = take_rsync_in()
    local how = ("ssh -F '%s/ssh_config'"):format(cli.folder)
    local tree = cli.folder .. "/tree"
    assert(fs.mkdir_p(tree .. "/sub"))
    assert(fs.write_atomic(tree .. "/sub/a b", ("line\n"):rep(1000)))
    assert(fs.symlink("sub/a b", tree .. "/link"))
    local result = host.run({ "rsync", "-a", "-e", how, there, tree, "dev:/tmp/by-rsync/" },
        { check = false, timeout = 60 })
    t.equal(result.status, 0, result.stderr)
    t.equal(run({ "exec", "dev", "cd /tmp/by-rsync/tree && wc -l < link && readlink link && echo more > new" }).stdout,
        "1000\nsub/a b\n")
    result = host.run({ "rsync", "-a", "--delete", "-e", how, there, "dev:/tmp/by-rsync/tree/", tree },
        { check = false, timeout = 60 })
    t.equal(result.status, 0, result.stderr)
    t.equal(fs.read(tree .. "/new", 10), "more\n")
end)

t.test("another_host_key_is_refused_by_openssh", function()
    local other = assert(vm.raw.data.ed25519 "other").public
    local config = fs.read(cli.folder .. "/ssh_config", 65536)
    assert(fs.write_atomic(cli.folder .. "/other_hosts", "vmatrix-dev " .. other .. "\n"))
    assert(fs.write_atomic(cli.folder .. "/ssh_config",
        (config:gsub('UserKnownHostsFile "[^"]*"', ('UserKnownHostsFile "%s/other_hosts"'):format(cli.folder)))))
    local result = ssh("ssh", "dev", "true")
    t.equal(result.status, 255)
    t.match(result.stderr, "[Hh]ost key")
    write_config()
end)

t.test("copy_goes_in_and_out_and_refuses_what_is_neither", function()
    assert(fs.mkdir_p(cli.folder .. "/src/sub"))
    assert(fs.write_atomic(cli.folder .. "/src/sub/a", "aaa"))
    ok("copy", cli.folder .. "/src", "dev:/tmp/tree")
    ok("copy", "dev:/tmp/tree/sub/a", cli.folder .. "/back")
    t.equal(fs.read(cli.folder .. "/back", 100), "aaa")
    t.equal(run({ "copy", "a", "b" }).status, 2)
    t.match(run({ "copy", "dev:/a", "dev:/b" }).stderr, "not between guests")
end)

t.test("a_port_is_forwarded_and_listed", function()
    local port = ok("forward", "dev", "9099").stdout:match "^(%d+)\n$"
    t.match(ok("forward", "dev").stdout, ("127%%.0%%.0%%.1:%s %%-> 9099\n"):format(port))
    t.equal(run({ "forward", "dev", "x" }).status, 2)
end)

t.test("a_snapshot_brings_its_memory_and_files_back", function()
    t.equal(ok("snapshot", "dev", "clean").stdout, "clean\n")
    ok("exec", "dev", "touch /tmp/later")
    ok("revert", "dev", "clean")
    t.equal(run({ "exec", "dev", "ls /tmp/later" }).status, 1)
    t.match(run({ "revert", "dev", "claen" }).stderr, "did you mean 'clean'")
    local snapshots = assert(vm.raw.json.decode(ok("info", "dev", "--json").stdout)).snapshots
    t.equal({ #snapshots, snapshots[1].name }, { 1, "clean" })
    local took = assert(vm.raw.json.decode(fs.read(home .. "/guests/dev/guest.json", 1 << 20))).took
    t.check(took.snapshot > 0 and took.revert > 0, "how long they took is not known the next time")
    ok("delete", "dev", "--snapshot", "clean")
    t.equal(ok("snapshot", "dev", "--list", "--json").stdout, "[]\n")
end)

t.test("a_fork_is_a_guest_of_its_own_and_the_first_goes_on", function()
    ok("exec", "dev", "(sleep 500 & echo $! > /tmp/pid) >/dev/null 2>&1; touch /tmp/both")
    t.equal(ok("fork", "dev", "try").stdout, "try\n")
    t.equal(ok("exec", "try", "hostname; ls /tmp/both; kill -0 $(cat /tmp/pid) && echo runs").stdout,
        "try\n/tmp/both\nruns\n")
    ok("exec", "try", "rm /tmp/both")
    t.equal(ok("exec", "dev", "hostname; ls /tmp/both").stdout, "dev\n/tmp/both\n")
    local before = tonumber(ok("exec", "try", "date +%s").stdout)
    t.check(math.abs(before - os.time()) < 60)
    ok("delete", "try")
    t.equal(ok("list", "--names").stdout, "dev\n")
end)

t.test("the_console_is_shown_also_of_a_stopped_guest", function()
    local process <close> = cli.start({ "console", "dev", "--follow", "--boot" }, OPTS)
    process:expect(1, "vmatrix: ready")
    ok("exec", "dev", "echo to the console > /dev/console")
    process:expect(1, "to the console")
    local busy <close> = cli.start({ "exec", "dev", "echo begun; sleep 100" }, OPTS)
    busy:expect(1, "begun")
    t.match(ok("stop", "dev").stderr, "is off; `vmatrix start dev` starts it again")
    t.equal(process:finish(10), 0)
    t.equal(busy:finish(20), 125) -- stopped from another terminal
    t.match(busy.text[2], "guest")
    t.match(ok("console", "dev").stdout, "to the console")
    t.equal(#(ok("console", "dev", "-n", "2").stdout:gsub("[^\n]", "")), 2)
end)

t.test("a_stopped_guest_says_how_it_is_started", function()
    local result = run { "exec", "dev", "--", "true" }
    t.equal(result.status, 125)
    t.match(result.stderr, "`vmatrix start dev` starts it")
end)

t.test("it_starts_again_on_the_same_port_so_that_ssh_goes_on_knowing_it", function()
    t.match(ok("start", "--no-wait", "dev").stderr, "boots; `vmatrix console dev %-%-follow` shows")
    t.equal(ok("exec", "dev", "--", "uname", "-n").stdout, "dev\n") -- waits for the boot that is under way
    local result = ssh("ssh", "dev", "hostname")
    t.equal({ result.status, result.stdout }, { 0, "dev\n" }, result.stderr)
end)

-- A machine like those of distributions: the seed, with a cloud-init that takes its time and says so.
local function with_cloud_init()
    local seed = assert(require("vm.seed").image "x86_64")
    local keyed, initrd = cli.folder .. "/keyed", cli.folder .. "/initrd"
    require("vm.seed").keys(keyed, seed, { public = fs.read(home .. "/id_ed25519.pub", 4096):gsub("%s+$", ""),
        host_key = assert(vm.raw.data.ed25519 "cloud").dropbear })
    assert(vm.raw.data.cpio(initrd, { { path = "usr/bin/cloud-init", mode = 33261,
        data = "#!/bin/sh\nsleep 1\necho \"$@\" > /tmp/told\n" } }, { after = keyed, mode = 384, scratch = true }))
    assert(fs.write_atomic(cli.folder .. "/disk.raw", ("\0"):rep(65536)))
    assert(fs.write_atomic(cli.folder .. "/user-data", "#cloud-config\n"))
    return ([[vm.boot { name = "cloud", keep = true, arch = "x86_64", image = "%s/disk.raw", memory = "256MiB",
        kernel = "%s", initrd = "%s", append = "%s", ready = "%s", user = "root",
        cloud = { plain = true, user_data = "%s/user-data" } }]]):format(cli.folder, seed.kernel, initrd, seed.append,
        seed.ready, cli.folder)
end

t.test("cloud_init_is_waited_for_and_what_it_was_told_by_is_taken_out", function()
    ok("-e", with_cloud_init())
    t.equal(ok("exec", "cloud", "cat /tmp/told").stdout, "status --wait\n")
    t.check(not fs.exists(home .. "/guests/cloud/cidata.iso"), "the medium is still there")
    ok("delete", "cloud")
end)

-- The program on a terminal of its own.
local function terminal(...)
    if not host.which "script" or vm.raw.build.system == "macos" then
        t.skip "script of util-linux is not installed"
    end
    local argv = cli.argv({ ... }, OPTS)
    for i, word in ipairs(argv) do
        argv[i] = "'" .. word .. "'"
    end
    return setmetatable({ raw = assert(vm.raw.process.start {
        argv = { "script", "-qec", table.concat(argv, " "), "/dev/null" }, stdin = true }), text = { "", "" } },
        cli.Process)
end

t.test("a_shell_and_the_console_take_the_terminal_until_a_tilde_and_a_dot", function()
    local shell <close> = terminal("shell", "dev")
    shell:expect(1, "# ")
    shell.raw:queue "echo it is $((40 + 2))\n"
    shell:expect(1, "it is 42")
    shell.raw:queue "~."
    t.equal(shell:finish(30), 0)
    local console <close> = terminal("console", "dev", "--attach")
    console:expect(1, "the console of dev")
    ok("exec", "dev", "echo from inside > /dev/console")
    console:expect(1, "from inside")
    console.raw:queue "~."
    t.equal(console:finish(30), 0)
end)

t.test("a_shell_with_a_command_runs_it_exactly_however_long_it_is", function()
    local shell <close> = terminal("shell", "dev", "--", "printf", "<%s>", ("x"):rep(150), "a b", "$HOME")
    shell:expect(1, "<" .. ("x"):rep(150) .. "><a b><%$HOME>")
    t.equal(shell:finish(30), 0)
end)

t.test("a_shell_of_an_image_is_a_throwaway_guest_that_goes_with_ctrl_d", function()
    local shell <close> = terminal("shell", "seed@x86_64", "-m", "256MiB")
    shell:expect(1, "is gone when its shell ends", 120)
    shell:expect(1, "# ")
    shell.raw:queue "echo it is $((40 + 2))\n"
    shell:expect(1, "it is 42%s+[^\n]*# ") -- before the prompt is there its terminal takes whole lines
    shell.raw:queue "\4"
    t.equal(shell:finish(30), 0)
    t.equal(ok("list", "--names").stdout, "dev\n")
    t.equal(fs.glob(cli.folder .. "/state/vmatrix/runs/*"), {})
end)

t.test("exec_of_an_image_runs_in_a_throwaway_guest", function()
    local result = run({ "exec", "seed@x86_64", "-m", "256MiB", "--", "sh", "-c", "uname -m; cat; exit 5" }, "in\n")
    t.equal({ result.status, result.stdout }, { 5, "x86_64\nin\n" }, result.stderr)
    t.equal(ok("list", "--names").stdout, "dev\n")
end)

t.test("delete_leaves_no_process_and_no_file", function()
    ok("delete", "dev")
    t.equal(fs.list(home .. "/guests"), {})
    t.equal(fs.glob(cli.folder .. "/vmatrix-*/kept-*/*"), {})
    for _, process in ipairs(vm.raw.run.processes { home }) do
        t.match(process.name, "^vmatrix")
    end
    t.match(ok("list").stderr, "`vmatrix boot seed %-%-name dev` makes one")
end)

cli.clean()
t.finish()
