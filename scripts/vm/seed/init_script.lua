--- The first process of the seed guest: a script for busybox's shell.
-- Every fork costs an emulated guest about ten milliseconds, so it uses what the shell has built in
-- wherever it can, and leaves what nobody waits for until after the ready line.
--
-- Kernel command line: vmatrix.hostname=NAME; vmatrix.ethN=ADDRESS/PREFIX | none for each network
-- card (eth0 has the address of QEMU's user-mode network unless told otherwise);
-- vmatrix.gateway=ADDRESS; vmatrix.dns=ADDRESS.
local parts = require "vm.seed.init_parts"

return [==[
#!/bin/sh
export PATH=/usr/bin HOME=/root TERM=linux

mount -t devtmpfs -o mode=755 dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run

# What the kernel command line says.
host=seed gateway=10.0.2.2 dns=10.0.2.3
eth0=10.0.2.15/24
read -r line </proc/cmdline
for word in $line; do
    case $word in
    vmatrix.hostname=*) host=${word#*=} ;;
    vmatrix.gateway=*) gateway=${word#*=} ;;
    vmatrix.dns=*) dns=${word#*=} ;;
    vmatrix.eth[0-9]=*)
        word=${word#vmatrix.}
        eval "${word%%=*}=\${word#*=}"
        ;;
    esac
done
echo "$host" >/proc/sys/kernel/hostname
echo "nameserver $dns" >/etc/resolv.conf
echo "127.0.0.1 localhost $host" >/etc/hosts

# Only the modules of devices that are here: one run of modprobe for all of them.
set --
for file in /sys/bus/virtio/devices/*/modalias /sys/bus/pci/devices/*/modalias \
    /sys/bus/acpi/devices/QEMU*/modalias; do
    [ -r "$file" ] && read -r line <"$file" && set -- "$@" "$line"
done
modprobe -qa "$@" button gpio_keys evdev 2>/dev/null

# The guest agent, where there is one: its port gets a name a moment after its device.
if [ -x /usr/bin/qemu-ga ]; then
]==] .. parts.agent .. [==[
fi

]==] .. parts.cards .. [==[

# Polite ends: poweroff, halt and reboot send these to the first process.
finish() {
    trap '' USR1 USR2 TERM INT
    sync
    umount -a -r 2>/dev/null
    "$1" -f
}
trap 'finish halt' USR1
trap 'finish poweroff' USR2
trap 'finish reboot' TERM
# The console of an s390x asks for the end by what elsewhere is Ctrl-Alt-Del.
if [ -e /sys/bus/ccw ]; then
    echo 0 >/proc/sys/kernel/ctrl-alt-del
    trap 'finish poweroff' INT
fi

# The power button, where the machine has one that this kernel knows. Somebody must be listening before
# the ready line: a press that nobody hears is lost.
for name in /sys/class/input/event*/device/name; do
    [ -r "$name" ] && read -r line <"$name" || continue
    case $line in
    "Power Button" | gpio-keys)
        name=${name%/device/name}
        (head -c 24 "/dev/input/${name##*/}" >/dev/null && kill -USR2 1) &
        ;;
    esac
done

# Keys only (-s); a large window (-W), since copies are streams. It returns when it listens.
if [ -s /etc/dropbear/dropbear_ed25519_host_key ]; then
    dropbear -s -r /etc/dropbear/dropbear_ed25519_host_key -p 22 -W 1048576 -K 0
    echo "vmatrix: ready"
else
    echo "vmatrix: no host key was put in, so there is no SSH server"
fi

# A shell for whoever presses Enter on the console.
while :; do
    (
        read -r line </dev/console
        exec setsid -c sh -l </dev/console >/dev/console 2>&1
    ) &
    shell=$!
    # A signal ends wait early, and so does the shell's end.
    while kill -0 "$shell" 2>/dev/null; do
        wait "$shell"
    done
done
]==]
