-- Oracle Linux's templates for KVM.
return {
    distro = "oracle", title = "Oracle Linux", user = "cloud-user", packages = "dnf", reach = "cloud-init",
    format = "qcow2",
    releases = {
        {
            name = "oraclelinux-8", version = "8", aliases = { "oracle-8" }, eol = "2029-07-31",
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/oraclelinux-8.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "bios",
                    { dated = true, url = "https://yum.oracle.com/templates/OracleLinux/OL8/u10/x86_64/OL8U10_x86_64-kvm-b287.qcow2",
                        sha256 = "cf9eb243b7390311f1e2896e3e6849241e521e6592c8be9907956e3a6cee1f0c" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "https://yum.oracle.com/templates/OracleLinux/OL8/u10/aarch64/OL8U10_aarch64-kvm-cloud-b170.qcow2",
                        sha256 = "729114abf775e4dcc811b3bb4b0d85647c0db0dc2e4c700f09f59e2aea806533" },
                },
            },
        },
        {
            name = "oraclelinux-9", version = "9", aliases = { "oracle-9" }, eol = "2032-06-30",
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/oraclelinux-9.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "bios",
                    { dated = true, url = "https://yum.oracle.com/templates/OracleLinux/OL9/u8/x86_64/OL9U8_x86_64-kvm-b293.qcow2",
                        sha256 = "b12103391327abee8090686759c0d62dac9a7af2bf0f45fdf6b0d085a0fbb52b" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "https://yum.oracle.com/templates/OracleLinux/OL9/u8/aarch64/OL9U8_aarch64-kvm-cloud-b182.qcow2",
                        sha256 = "4793c3ec49d9f8b27a932d3bd88ec45d08249c5195faa3b0fac876ab0d5f5856" },
                },
            },
        },
        {
            name = "oraclelinux-10", version = "10", aliases = { "oracle-10" },
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/oraclelinux-10.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "bios",
                    { dated = true, url = "https://yum.oracle.com/templates/OracleLinux/OL10/u1/x86_64/OL10U1_x86_64-kvm-b291.qcow2",
                        sha256 = "8e59326c4bf7cfa58a6cac404db8ed583fe3a5f4c460e2b73c64988785bb4f0f" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "https://yum.oracle.com/templates/OracleLinux/OL10/u1/aarch64/OL10U1_aarch64-kvm-cloud-b178.qcow2",
                        sha256 = "e203063e0e8b2752a896787ecc44fc506527055ec819b1422a297d60ad968b20" },
                },
            },
        },
    },
}
