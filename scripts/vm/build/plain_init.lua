--- /sbin/init of an image without systemd: what a guest needs to answer commands, and a polite end.
local parts = require "vm.seed.init_parts"

return [==[
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/sshd /run/lock

set --
for file in /sys/bus/virtio/devices/*/modalias; do
    [ -r "$file" ] && read -r line <"$file" && set -- "$@" "$line"
done
modprobe -qa "$@" 2>/dev/null

if [ -x /usr/sbin/qemu-ga ]; then
]==] .. parts.agent .. [==[
fi

finish() {
    trap '' USR1 USR2 TERM
    kill -TERM -1
    sync
    mount -o remount,ro / 2>/dev/null
    echo "$1" >/proc/sysrq-trigger
}
trap 'finish o' USR1 USR2
trap 'finish b' TERM

/usr/sbin/sshd
echo "vmatrix: ready" >/dev/console
while :; do
    sleep 86400 &
    wait $!
done
]==]
