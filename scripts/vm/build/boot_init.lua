--- The first process of the first file system of an image that was built here: a script for busybox.
-- It loads what the devices need, makes the disk's file system as large as the disk, puts the guest's
-- identity in, sets the network cards up, and goes on to the disk's own /sbin/init.
--
-- Kernel command line: vmatrix.hostname=NAME; vmatrix.ethN=ADDRESS/PREFIX | none for each network
-- card (eth0 has the address of QEMU's user-mode network unless told otherwise);
-- vmatrix.gateway=ADDRESS; vmatrix.dns=ADDRESS; vmatrix.user=NAME who logs in; vmatrix.cdrom: a drive
-- is waited for.
local parts = require "vm.seed.init_parts"

return [==[
#!/bin/sh
export PATH=/usr/bin
mount -t devtmpfs -o mode=755 dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys

give_up() {
    echo "vmatrix: $*"
    echo "vmatrix: a shell, to look around"
    exec setsid -c sh </dev/console >/dev/console 2>&1
}

cdrom=no
host=guest gateway=10.0.2.2 dns=10.0.2.3 user=root
eth0=10.0.2.15/24
read -r line </proc/cmdline
for word in $line; do
    case $word in
    vmatrix.hostname=*) host=${word#*=} ;;
    vmatrix.gateway=*) gateway=${word#*=} ;;
    vmatrix.dns=*) dns=${word#*=} ;;
    vmatrix.user=*) user=${word#*=} ;;
    vmatrix.cdrom) cdrom=yes ;;
    vmatrix.eth[0-9]=*)
        word=${word#vmatrix.}
        eval "${word%%=*}=\${word#*=}"
        ;;
    esac
done
echo "$host" >/proc/sys/kernel/hostname

# Modules of the devices that are here: of the PCI cards first, then of what is behind these.
probe() {
    set -- "$@"
    for file in /sys/bus/virtio/devices/*/modalias /sys/bus/pci/devices/*/modalias; do
        [ -r "$file" ] && read -r line <"$file" && set -- "$@" "$line"
    done
    modprobe -qa "$@" 2>/dev/null
}
modprobe -qa virtio_pci virtio_mmio 2>/dev/null
probe ext4
count=0
while [ ! -b /dev/vda ]; do
    count=$((count + 1))
    [ $count -lt 200 ] || give_up "there is no disk /dev/vda"
    [ $((count % 20)) != 0 ] || probe
    sleep 0.05
done
mkdir -p /root
mount -t ext4 -o noinit_itable /dev/vda /root || give_up "the disk's file system cannot be mounted"

# What looks for a drive before the disk's own system has loaded its modules.
if [ $cdrom = yes ]; then
    probe ahci sr_mod isofs
    count=0
    while [ ! -b /dev/sr0 ] && [ $count -lt 100 ]; do
        count=$((count + 1))
        sleep 0.1
    done
fi

]==] .. parts.cards .. [==[

# Who it is. Whatever the disk says of itself after the first time is left alone.
if [ ! -e /root/etc/vmatrix/hostname ]; then
    mkdir -p /root/etc/vmatrix
    echo "$host" >/root/etc/vmatrix/hostname
    echo "$host" >/root/etc/hostname
    printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n::1\tlocalhost ip6-localhost\n' "$host" >/root/etc/hosts
    echo "nameserver $dns" >/root/etc/resolv.conf
    [ ! -e /vmatrix/machine-id ] || cp /vmatrix/machine-id /root/etc/machine-id
    for key in /vmatrix/ssh_host_*; do
        [ -e "$key" ] && cp -p "$key" /root/etc/ssh/
    done
fi

mount -o move /dev /root/dev
mount -o move /proc /root/proc
mount -o move /sys /root/sys

# A disk that was made larger than its image: blocks of the file system (of 4096 bytes) and sectors.
blocks=$(dd if=/root/dev/vda bs=1 skip=1028 count=4 2>/dev/null | hexdump -v -e '1/1 "%u "')
set -- $blocks
read -r sectors </root/sys/class/block/vda/size
if [ $(((sectors / 8) >> 8)) -gt $((($1 + $2 * 256 + $3 * 65536 + $4 * 16777216) >> 8)) ]; then
    chroot /root /sbin/resize2fs /dev/vda >/dev/null 2>/root/dev/console || echo "vmatrix: the disk could not grow"
fi

home=/root/root
if [ "$user" != root ]; then
    if ! grep -q "^$user:" /root/etc/passwd; then
        chroot /root /usr/sbin/useradd -m -s /bin/bash "$user" || echo "vmatrix: no user $user could be made"
        printf '%s ALL=(ALL) NOPASSWD:ALL\n' "$user" >"/root/etc/sudoers.d/vmatrix"
        chmod 440 /root/etc/sudoers.d/vmatrix
    fi
    home=/root$(grep "^$user:" /root/etc/passwd | cut -d : -f 6)
fi
if [ -e /vmatrix/authorized_keys ] && [ ! -e "$home/.ssh/authorized_keys" ]; then
    mkdir -p "$home/.ssh"
    cp /vmatrix/authorized_keys "$home/.ssh/authorized_keys"
    chmod 700 "$home/.ssh"
    chmod 600 "$home/.ssh/authorized_keys"
    [ "$user" = root ] || chroot /root /bin/chown -R "$user": "${home#/root}/.ssh"
fi
exec switch_root /root /sbin/init
]==]
