-- A machine that stays: the first run makes it, later runs find it as it was left.
--   vmatrix scripts/examples/kept.lua
--   vmatrix list; vmatrix shell example; vmatrix delete example-kept
local vm = require "vm"

local guest = vm.get "example-kept"
if guest then
    print(("found %s, which is %s"):format(guest.name, guest:state()))
    if guest:state() == "stopped" then
        guest:start()
    end
else
    guest = vm.boot { image = "seed", memory = "256MiB", name = "example-kept", keep = true }
    print(("made %s"):format(guest.name))
end

guest:run "date >> /root/visits"
print(("this is visit %s"):format(guest:output "wc -l < /root/visits"))

-- Here it is deleted when a word is given; without, it is there for the next run.
if arg[1] then
    guest:delete()
    print "deleted"
else
    print "`vmatrix shell example` opens a shell in it, `vmatrix delete example-kept` deletes it"
end
