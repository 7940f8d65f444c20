-- The source of the programs in scripts/vm/reseed/code.lua: what a fork runs to get a random pool of
-- its own where nothing else can ask the kernel for it. Needs clang and llvm-objcopy.
-- Run: vmatrix scripts/dev/reseed.lua > scripts/vm/reseed/code.lua
--
-- Each does the same four calls: read up to 512 bytes from standard input, ioctl(1, RNDADDENTROPY)
-- with them, ioctl(1, RNDRESEEDCRNG), exit with 0, or 1 if one of the others failed. Its standard
-- output is /dev/urandom. The code names no address, so it needs no linker; vm.reseed puts the header
-- of an ELF file in front.
local fs = (require "vm.raw").fs
local host = require "vm.host"

local sources = {}

sources.x86_64 = { target = "x86_64-linux-gnu", text = [[
    sub $1024, %rsp
    xor %eax, %eax            # read
    xor %edi, %edi
    lea 8(%rsp), %rsi
    mov $512, %edx
    syscall
    test %eax, %eax
    jle 1f
    mov %eax, 4(%rsp)         # struct rand_pool_info: bits, bytes, the bytes
    shl $3, %eax
    mov %eax, (%rsp)
    mov $16, %eax             # ioctl
    mov $1, %edi
    mov $0x40085203, %esi     # RNDADDENTROPY
    mov %rsp, %rdx
    syscall
    test %eax, %eax
    js 1f
    mov $16, %eax
    mov $0x5207, %esi         # RNDRESEEDCRNG
    syscall
    test %eax, %eax
    js 1f
    xor %edi, %edi
    jmp 2f
1:  mov $1, %edi
2:  mov $60, %eax             # exit
    syscall
]] }

sources.i386 = { target = "i386-linux-gnu", text = [[
    sub $1024, %esp
    mov $3, %eax              # read
    xor %ebx, %ebx
    lea 8(%esp), %ecx
    mov $512, %edx
    int $0x80
    test %eax, %eax
    jle 1f
    mov %eax, 4(%esp)
    shl $3, %eax
    mov %eax, (%esp)
    mov $54, %eax             # ioctl
    mov $1, %ebx
    mov $0x40085203, %ecx
    mov %esp, %edx
    int $0x80
    test %eax, %eax
    js 1f
    mov $54, %eax
    mov $0x5207, %ecx
    int $0x80
    test %eax, %eax
    js 1f
    xor %ebx, %ebx
    jmp 2f
1:  mov $1, %ebx
2:  mov $1, %eax              # exit
    int $0x80
]] }

sources.aarch64 = { target = "aarch64-linux-gnu", text = [[
    sub sp, sp, #1024
    mov x8, #63               // read
    mov x0, #0
    add x1, sp, #8
    mov x2, #512
    svc #0
    cmp x0, #0
    ble 1f
    lsl w3, w0, #3
    stp w3, w0, [sp]
    mov x8, #29               // ioctl
    mov x0, #1
    movz x1, #0x5203
    movk x1, #0x4008, lsl #16
    mov x2, sp
    svc #0
    tbnz x0, #63, 1f
    mov x0, #1
    movz x1, #0x5207
    svc #0
    tbnz x0, #63, 1f
    mov x0, #0
    b 2f
1:  mov x0, #1
2:  mov x8, #93               // exit
    svc #0
]] }

sources.riscv64 = { target = "riscv64-linux-gnu", flags = { "-march=rv64i", "-mno-relax" }, text = [[
    addi sp, sp, -1024
    li a7, 63                 # read
    li a0, 0
    addi a1, sp, 8
    li a2, 512
    ecall
    blez a0, 1f
    slli a3, a0, 3
    sw a3, 0(sp)
    sw a0, 4(sp)
    li a7, 29                 # ioctl
    li a0, 1
    li a1, 0x40085203
    mv a2, sp
    ecall
    bltz a0, 1f
    li a0, 1
    li a1, 0x5207
    ecall
    bltz a0, 1f
    li a0, 0
    j 2f
1:  li a0, 1
2:  li a7, 93                 # exit
    ecall
]] }

sources.armhf = { target = "armv7-linux-gnueabihf", flags = { "-marm" }, text = [[
    sub sp, sp, #1024
    mov r7, #3                @ read
    mov r0, #0
    add r1, sp, #8
    mov r2, #512
    svc #0
    cmp r0, #0
    ble 1f
    str r0, [sp, #4]
    lsl r3, r0, #3
    str r3, [sp]
    mov r7, #54               @ ioctl
    mov r0, #1
    movw r1, #0x5203
    movt r1, #0x4008
    mov r2, sp
    svc #0
    cmp r0, #0
    blt 1f
    mov r0, #1
    movw r1, #0x5207
    svc #0
    cmp r0, #0
    blt 1f
    mov r0, #0
    b 2f
1:  mov r0, #1
2:  mov r7, #1                @ exit
    svc #0
]] }

-- Here the directions of an ioctl are numbered otherwise, and a call that failed sets cr0.so.
sources.ppc64le = { target = "powerpc64le-linux-gnu", text = [[
    addi 1, 1, -1024
    li 0, 3                   # read
    li 3, 0
    addi 4, 1, 8
    li 5, 512
    sc
    bso 1f
    cmpdi 3, 0
    ble 1f
    stw 3, 4(1)
    slwi 6, 3, 3
    stw 6, 0(1)
    li 0, 54                  # ioctl
    li 3, 1
    lis 4, -0x7ff8
    ori 4, 4, 0x5203          # 0x80085203
    mr 5, 1
    sc
    bso 1f
    li 0, 54
    li 3, 1
    lis 4, 0x2000
    ori 4, 4, 0x5207
    sc
    bso 1f
    li 3, 0
    b 2f
1:  li 3, 1
2:  li 0, 1                   # exit
    sc
]] }

sources.s390x = { target = "s390x-linux-gnu", text = [[
    aghi %r15, -1024
    lghi %r2, 0
    la %r3, 168(%r15)
    lghi %r4, 512
    svc 3                     # read
    ltgr %r2, %r2
    jnp 1f
    st %r2, 164(%r15)
    sll %r2, 3
    st %r2, 160(%r15)
    lghi %r2, 1
    llilf %r3, 0x40085203
    la %r4, 160(%r15)
    svc 54                    # ioctl
    ltgr %r2, %r2
    jm 1f
    lghi %r2, 1
    llilf %r3, 0x5207
    svc 54
    ltgr %r2, %r2
    jm 1f
    lghi %r2, 0
    j 2f
1:  lghi %r2, 1
2:  svc 1                     # exit
]] }

-- The machine code of one architecture, as hexadecimal digits.
local function assemble(folder, arch)
    local source = sources[arch]
    local name = folder .. "/" .. arch
    assert(fs.write_atomic(name .. ".s", source.text))
    local argv = { "clang", "--target=" .. source.target, "-c", name .. ".s", "-o", name .. ".o" }
    for _, flag in ipairs(source.flags or {}) do
        argv[#argv + 1] = flag
    end
    host.run(argv)
    host.run { "llvm-objcopy", "-O", "binary", "-j", ".text", name .. ".o", name .. ".bin" }
    return (assert(fs.read(name .. ".bin")):gsub(".", function(c)
        return ("%02x"):format(c:byte())
    end))
end

local folder <close> = setmetatable({ path = assert(fs.mkdtemp()) }, {
    __close = function(self)
        fs.remove_tree(self.path)
    end,
})
local arches = {}
for arch in pairs(sources) do
    arches[#arches + 1] = arch
end
table.sort(arches)
print [[
-- Made by scripts/dev/reseed.lua, which has the source: the machine code of a program that reseeds the
-- kernel's random pool, by architecture.
return {]]
for _, arch in ipairs(arches) do
    local code = assemble(folder.path, arch)
    print(("    %s = \""):format(arch) .. code:sub(1, 64) .. (#code > 64 and "\" .." or "\","))
    for at = 65, #code, 80 do
        print(("        \"%s\"%s"):format(code:sub(at, at + 79), at + 80 > #code and "," or " .."))
    end
end
print "}"
