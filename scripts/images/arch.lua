-- Arch Linux's cloud image for x86_64. For aarch64 Arch publishes none; that one is another project's.
return {
    distro = "arch", title = "Arch Linux", user = "arch", packages = "pacman", reach = "cloud-init",
    format = "qcow2",
    releases = {
        {
            name = "arch", version = "rolling", aliases = { "archlinux" },
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/archlinux.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "bios",
                    { dated = true, url = "https://geo.mirror.pkgbuild.com/images/v20260715.556894/Arch-Linux-x86_64-cloudimg-20260715.556894.qcow2",
                        sha256 = "f419d4e29aebfc017ad4c9de330a3be0d7eefba710b269108b116aaca1122926" },
                    { latest = true, url = "https://geo.mirror.pkgbuild.com/images/latest/Arch-Linux-x86_64-cloudimg.qcow2",
                        checksums = "https://geo.mirror.pkgbuild.com/images/latest/Arch-Linux-x86_64-cloudimg.qcow2.SHA256" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "https://github.com/mcginty/arch-boxes-arm/releases/download/v20220323/Arch-Linux-aarch64-cloudimg-20220323.0.qcow2",
                        sha512 = "27524910bf41cb9b3223c8749c6e67fd2f2fdb8b70d40648708e64d6b03c0b4a01b3c5e72d51fefd3e0c3f58487dbb400a79ca378cde2da341a3a19873612be8" },
                },
            },
        },
    },
}
