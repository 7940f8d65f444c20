-- Alpine's images for NoCloud with cloud-init, for UEFI.
return {
    distro = "alpine", title = "Alpine Linux", user = "alpine", packages = "apk", reach = "cloud-init",
    format = "qcow2",
    releases = {
        {
            name = "alpine-3.21", version = "3.21", eol = "2026-11-01",
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/alpine-3.21.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "uefi",
                    { dated = true, url = "https://dl-cdn.alpinelinux.org/alpine/v3.21/releases/cloud/nocloud_alpine-3.21.7-x86_64-uefi-cloudinit-r0.qcow2",
                        sha512 = "779afcc0bfdd4074ca620bb67c2f70f3d6cad4cdaf4fd91a9fd8a127feb159d9407be18cd8f778ed1adf950799cd93b2692d49ad7ee2221ed6a52d8e895d4c37" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "https://dl-cdn.alpinelinux.org/alpine/v3.21/releases/cloud/nocloud_alpine-3.21.7-aarch64-uefi-cloudinit-r0.qcow2",
                        sha512 = "9837b968763c2f620aa81cab3dc26b7f914ffa935245c9e929e339559f0f2fecdfd281e5cf82457ecfd6a9b6726a8a8ec40fb35d99dd8fd9b27d3b76c304dac7" },
                },
            },
        },
        {
            name = "alpine-3.22", version = "3.22", eol = "2027-05-01",
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/alpine-3.22.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "uefi",
                    { dated = true, url = "https://dl-cdn.alpinelinux.org/alpine/v3.22/releases/cloud/nocloud_alpine-3.22.4-x86_64-uefi-cloudinit-r0.qcow2",
                        sha512 = "1b8743fccfd92d8b690e5a75972bebe5d6826b2ea94bc7c71ede3a2a39a5535cbb4e49a6a3f42852d1e05d63076c6f1fbc29ddbb63d766101eaa9dadcaebbb1f" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "https://dl-cdn.alpinelinux.org/alpine/v3.22/releases/cloud/nocloud_alpine-3.22.4-aarch64-uefi-cloudinit-r0.qcow2",
                        sha512 = "a53620902f99b1fd4591125d348e4385f036d590607f4fa90d6f85fea0248007ec763cc81d025f347ede5bd746b3726cf5eddd461b6c94c35376f71cb7558317" },
                },
            },
        },
        {
            name = "alpine-3.23", version = "3.23", eol = "2027-11-01",
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/alpine-3.23.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "uefi",
                    { dated = true, url = "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-x86_64-uefi-cloudinit-r0.qcow2",
                        sha512 = "849196e26640b33fb1f106d46cebdf341c715f7f49363564eacece8097464b6af7041618e94c4eb1a006394663252a86c0fb3158fee5d0ffb094899730679a71" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-aarch64-uefi-cloudinit-r0.qcow2",
                        sha512 = "737b0eb365944ffcf6da477c059c105bbde222942fd5a8380c07db088365b18dbc60a0f2824ea9a3904d57e194e0d05a7074302c3ebc104d0aecb6ddc6ffd91c" },
                },
            },
        },
    },
}
