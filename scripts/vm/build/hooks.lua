-- The shell scripts that mmdebstrap runs while it makes an image. They get the new system's folder as
-- $1, with its /proc, /sys and /dev mounted, and in a namespace of an ordinary user they see nothing of
-- that user's folders: what comes out goes through descriptors, 3 for the disk and 4 for the kernel.
local M = {}

local HEAD <const> = "set -eu\nPATH=$PATH:/usr/sbin:/sbin\nroot=$1\n"

-- Host keys that are there already are not made: on an emulated processor that takes minutes.
local SETUP <const> = [==[
mkdir -p "$root/var/cache/apt/archives/partial" "$root/etc/ssh"
for name in rsa ecdsa ed25519; do
    : >"$root/etc/ssh/ssh_host_${name}_key"
    : >"$root/etc/ssh/ssh_host_${name}_key.pub"
done
date +%s >"$root/var/cache/vmatrix-start"
]==]

-- The kernel's package is unpacked, not installed: with it would come what makes a first file system in
-- the guest, and ours is made outside. apt in the guest knows nothing of it.
local KERNEL <const> = [==[
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
out=$root/var/cache/vmatrix-out
mkdir "$out" "$out/debs"
cd "$root/var/cache/apt/archives"
package=$(apt-cache depends @KERNEL@ | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1)
[ -n "$package" ] || { echo "@KERNEL@ names no kernel package" >&2; exit 1; }
apt-get download -qq -o APT::Sandbox::User= "$package" busybox-static
for name in "$package" busybox-static; do
    for deb in "${name}"_*.deb; do newest=$deb; done
    dpkg-deb --fsys-tarfile "$newest" | tar -C "$out" -x
    echo "$newest" >>"$out/packages"
done
for folder in lib bin; do
    if [ -d "$out/$folder" ]; then
        mkdir -p "$out/usr/$folder"
        cp -al "$out/$folder/." "$out/usr/$folder/"
        rm -r "$out/$folder"
    fi
done
mkdir -p "$root/lib/modules"
cp -al "$out/usr/lib/modules/." "$root/lib/modules/"
version=$(ls "$out/usr/lib/modules")
cp "$out/boot/config-$version" "$root/boot/"
if command -v depmod >/dev/null; then
    depmod -b "$root" "$version"
else
    chroot "$root" depmod "$version"
fi
tar -C "$out" -cf - packages boot usr/lib/modules usr/bin/busybox >&4
rm -r "$out"
]==]

local TIDY <const> = [==[
start=$(cat "$root/var/cache/vmatrix-start")
@FILES@
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/cache/vmatrix-start" "$root/etc/apt/apt.conf.d/99mmdebstrap" \
    "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$root/etc/resolv.conf" "$root/etc/hostname" \
    "$root/var/lib/systemd/random-seed" "$root/var/lib/dbus/machine-id" "$root/etc/machine-id" \
    "$root/var/cache/ldconfig/aux-cache" "$root/etc/.pwd.lock" "$root/var/lib/systemd/catalog/database"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/apt "$root"/var/cache/debconf/*-old \
    "$root"/var/lib/dpkg/*-old "$root"/tmp/* "$root"/var/tmp/*
for log in "$root"/var/log/*.log "$root"/var/log/btmp "$root"/var/log/wtmp "$root"/var/log/lastlog \
    "$root"/var/log/faillog; do
    [ ! -e "$log" ] || : >"$log"
done
: >"$root/etc/machine-id"
chmod 644 "$root/etc/machine-id"

# Days since 1970 when a password was set: of accounts that packages have made.
sed -i 's/^\([^:]*:[^:]*:\)[0-9]*:/\1@DAYS@:/' "$root/etc/shadow"
rm -f "$root"/etc/passwd- "$root"/etc/group- "$root"/etc/shadow- "$root"/etc/gshadow- "$root"/etc/subuid- \
    "$root"/etc/subgid-
]==]

-- The disk: of the system alone, without what is mounted in it. What an installation has made is as old
-- as the newest file of its packages; what no program can set on a mounted file system is set on the
-- disk itself.
local DISK <const> = [==[
epoch=@EPOCH@
view=$root
if mount --bind "$root" "$root/mnt" 2>/dev/null; then
    view=$root/mnt
    trap 'umount "$root/mnt"' EXIT
fi
newest=$(find "$view" -xdev -type f ! -newermt "@$((start - 2))" -printf '%T@\n' | sort -n | tail -n 1)
newest=${newest%.*}
[ "@FIXED@" = 1 ] || [ "$newest" -le "$epoch" ] || epoch=$newest
find "$view" -xdev -newermt "@$epoch" -print0 | xargs -0r touch --no-dereference --date="@$epoch"
E2FSPROGS_FAKE_TIME=$epoch
export E2FSPROGS_FAKE_TIME
disk=/proc/self/fd/3
mke2fs -q -F -t ext4 -L vmatrix -U @UUID@ -m 1 -J size=32 -d "$view" \
    -E hash_seed=@UUID@,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 "$disk"
used=$(dumpe2fs -h "$disk" 2>/dev/null | awk '/^Inode count:/ { n = $3 } /^Free inodes:/ { n -= $3 } END { print n }')
awk -v n="$used" -v epoch="$epoch" 'BEGIN {
    split("atime ctime crtime", fields)
    for (i = 2; i <= n; i++) {
        if (i > 2 && i < 11) continue
        for (k = 1; k <= 3; k++) {
            print "sif <" i "> " fields[k] " @" epoch
            print "sif <" i "> " fields[k] "_extra 0"
        }
    }
}' >"$root/tmp/times"
debugfs -w -f "$root/tmp/times" "$disk" >/dev/null 2>&1
rm "$root/tmp/times"
]==]

local READY <const> = [==[
[Unit]
Description=Says on the console that commands can be run
After=ssh.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo "vmatrix: ready" >/dev/console'

[Install]
WantedBy=multi-user.target
]==]

-- Many commands share one session; and probes of a guest that boots must not lock its user out.
local SSHD <const> = [==[
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
MaxSessions 100
MaxStartups 100
PrintLastLog no
]==]

-- Units that do nothing for a guest of minutes; those of apt would also hold its lock.
local MASKED = { "apt-daily-upgrade.timer", "apt-daily.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
    "e2scrub_reap.service", "fstrim.timer", "getty@tty1.service" }

-- With these files systemd takes the packages' own set-up for done. Otherwise each guest's first boot makes the
-- linker's cache and some databases again, which takes an emulated processor seconds.
local UPDATED <const> = "# /usr has not changed since the packages were set up.\n"

local function here(path, text, mode)
    return ("mkdir -p \"$root%s\"\ncat >\"$root%s\" <<'END_OF_FILE'\n%sEND_OF_FILE\nchmod %s \"$root%s\"\n")
        :format(path:match "^(.*)/", path, text, mode or "644", path)
end

-- A text of Lua's in place of @NAME@.
local function fill(text, values)
    return (text:gsub("@(%u+)@", function(name)
        return values[name]
    end))
end

local function files(recipe, sources)
    local parts = {
        here("/etc/apt/sources.list", sources),
        here("/etc/fstab", "/dev/vda / ext4 defaults,noinit_itable 0 0\n"),
    }
    local penalties = tonumber(recipe.version) and tonumber(recipe.version) < 13 and "" or "PerSourcePenalties no\n"
    parts[#parts + 1] = here("/etc/ssh/sshd_config.d/vmatrix.conf", SSHD .. penalties)
    if recipe.init == "none" then
        parts[#parts + 1] = here("/sbin/init", require "vm.build.plain_init", "755")
        for name, signal in pairs { halt = "USR1", poweroff = "USR2", reboot = "TERM" } do
            parts[#parts + 1] = here("/sbin/" .. name, ("#!/bin/sh\nkill -%s 1\n"):format(signal), "755")
        end
    else
        parts[#parts + 1] = here("/etc/systemd/system/vmatrix-ready.service", READY)
        parts[#parts + 1] = "mkdir -p \"$root/etc/systemd/system/multi-user.target.wants\"\n"
            .. "ln -sf ../vmatrix-ready.service \"$root/etc/systemd/system/multi-user.target.wants/\"\n"
        for _, folder in ipairs { "/etc", "/var" } do
            parts[#parts + 1] = here(folder .. "/.updated", UPDATED)
        end
        for _, unit in ipairs(MASKED) do
            parts[#parts + 1] = ("ln -sf /dev/null \"$root/etc/systemd/system/%s\"\n"):format(unit)
        end
    end
    table.sort(parts)
    return table.concat(parts)
end

---The scripts of the build of an image.
---@param recipe vm.BuildRecipe
---@param opts { sources: string, uuid: string, epoch?: integer } epoch: SOURCE_DATE_EPOCH, where it is given
---@return { setup: string, kernel: string, finish: string }
function M.scripts(recipe, opts)
    local epoch = opts.epoch or recipe.epoch
    local values = {
        KERNEL = recipe.kernel,
        FILES = files(recipe, opts.sources),
        EPOCH = ("%d"):format(epoch),
        DAYS = ("%d"):format(epoch // 86400),
        FIXED = opts.epoch and "1" or "0",
        UUID = opts.uuid,
    }
    return {
        setup = HEAD .. SETUP,
        kernel = HEAD .. fill(KERNEL, values),
        finish = HEAD .. fill(TIDY, values) .. fill(DISK, values),
    }
end

return M
