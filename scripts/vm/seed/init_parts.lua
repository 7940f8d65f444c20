-- What the first processes of guests have in common, whatever they are made of: pieces of shell.
local M = {}

-- Gives each network card the address in $eth0, $eth1, ..., which the kernel command line says; none for none.
M.cards = [==[
ip link set lo up
for path in /sys/class/net/eth*; do
    [ -e "$path" ] || continue # a guest without a card
    card=${path##*/}
    eval "address=\${$card:-none}"
    [ "$address" != none ] || continue
    ip address add "$address" dev "$card"
    ip link set "$card" up
    [ "$card" = eth0 ] && ip route add default via "$gateway" 2>/dev/null
done
]==]

-- Runs the guest agent, behind an `if` that knows it is there: its port gets a name a moment after its device.
M.agent = [==[
    (
        count=0
        while [ $count -lt 100 ]; do
            for port in /sys/class/virtio-ports/*; do
                read -r line 2>/dev/null <"$port/name" || continue
                [ "$line" = org.qemu.guest_agent.0 ] || continue
                exec qemu-ga -p "/dev/${port##*/}" -t /run -f /run/qemu-ga.pid
            done
            count=$((count + 1))
            sleep 0.05
        done
    ) >/dev/null 2>&1 </dev/null &
]==]

return M
