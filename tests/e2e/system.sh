#!/bin/sh
# Runs a command with a libvirtd of its own behind qemu:///system: in new network, mount and process
# namespaces, so that no daemon of the host is met and everything ends with this script. Needs root.
# usage: system.sh COMMAND [ARG...]
set -eu
if [ "${VMATRIX_INSIDE:-}" != 1 ]; then
    VMATRIX_INSIDE=1 exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$@"
fi
ip link set lo up
for folder in /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt/qemu; do
    mkdir -p "$folder"
    mount -t tmpfs tmpfs "$folder"
done
mkdir -p /var/lib/libvirt/qemu /var/cache/libvirt/qemu /run/libvirt/qemu
# A /dev/kvm that QEMU's user may not open makes libvirtd ask QEMU what it can before each call (0.8 s):
# then there is a /dev without it.
user=$(id -un libvirt-qemu 2>/dev/null || id -un qemu 2>/dev/null || echo nobody)
if [ -e /dev/kvm ] && ! runuser -u "$user" -- test -w /dev/kvm; then
    dev=/run/libvirt/dev
    mkdir "$dev"
    for name in null zero full random urandom tty ptmx net fd stdin stdout stderr; do
        [ ! -e "/dev/$name" ] || cp -a "/dev/$name" "$dev"
    done
    for name in pts shm; do
        mkdir "$dev/$name"
        mount --move "/dev/$name" "$dev/$name"
    done
    awk '$2 ~ "^/dev/" { print $2 }' /proc/self/mounts | xargs -r umount
    mount --rbind "$dev" /dev
fi
/usr/sbin/virtlogd --pid-file /run/libvirt/virtlogd.pid >/var/log/libvirt/virtlogd.log 2>&1 &
/usr/sbin/libvirtd --timeout 600 --pid-file /run/libvirt/test.pid >/var/log/libvirt/libvirtd.log 2>&1 &
tries=0
until [ -S /run/libvirt/libvirt-sock ] && [ -S /run/libvirt/virtlogd-sock ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ]; then
        cat /var/log/libvirt/*.log >&2
        exit 99
    fi
    sleep 0.1
done
"$@"
