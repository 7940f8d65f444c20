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
