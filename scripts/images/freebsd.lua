-- FreeBSD's images with cloud-init (nuageinit) on ZFS, compressed; there are none for other architectures. The
-- archive of releases, where a release stays for ever, is served by http only: what vouches for them is the digest.
return {
    distro = "freebsd", title = "FreeBSD", user = "freebsd", packages = "pkg", reach = "cloud-init",
    format = "raw", compression = "xz", verified = "digest",
    releases = {
        {
            name = "freebsd-14.4", version = "14.4", aliases = { "freebsd-14" }, eol = "2026-12-31",
            read = { where = "github.com/freebsd/freebsd-doc 79d71bf19cf2, website/content/en/releases/14.4R: announce.adoc, checksums/CHECKSUM.SHA*-FreeBSD-14.4-RELEASE-*-vm.asc", when = "2026-11-26" },
            arches = {
                x86_64 = { firmware = "bios",
                    { dated = true, url = "https://download.freebsd.org/releases/VM-IMAGES/14.4-RELEASE/amd64/Latest/FreeBSD-14.4-RELEASE-amd64-BASIC-CLOUDINIT-zfs.raw.xz",
                        sha256 = "fa8bfb305cf4efe784c157d3fc6164a1ac36f347b1d3122fc98cca85caada59f" },
                    { dated = true, url = "http://ftp-archive.freebsd.org/pub/FreeBSD-Archive/old-releases/VM-IMAGES/14.4-RELEASE/amd64/Latest/FreeBSD-14.4-RELEASE-amd64-BASIC-CLOUDINIT-zfs.raw.xz",
                        sha256 = "fa8bfb305cf4efe784c157d3fc6164a1ac36f347b1d3122fc98cca85caada59f" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "https://download.freebsd.org/releases/VM-IMAGES/14.4-RELEASE/aarch64/Latest/FreeBSD-14.4-RELEASE-arm64-aarch64-BASIC-CLOUDINIT-zfs.raw.xz",
                        sha512 = "0cea3643e8132ca38166d9d71abc3fb5ed1781c6424ee3a71aab52ee1c561c81442f664658aed759472d8057c50714b6494a5bc4a49423190e0fbfcbbb297bc0" },
                    { dated = true, url = "http://ftp-archive.freebsd.org/pub/FreeBSD-Archive/old-releases/VM-IMAGES/14.4-RELEASE/aarch64/Latest/FreeBSD-14.4-RELEASE-arm64-aarch64-BASIC-CLOUDINIT-zfs.raw.xz",
                        sha512 = "0cea3643e8132ca38166d9d71abc3fb5ed1781c6424ee3a71aab52ee1c561c81442f664658aed759472d8057c50714b6494a5bc4a49423190e0fbfcbbb297bc0" },
                },
            },
        },
        {
            name = "freebsd-15.1", version = "15.1", aliases = { "freebsd-15" }, eol = "2027-03-31",
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/freebsd-15.yaml; compared with github.com/freebsd/freebsd-doc 5335533e4a8f, website/content/en/releases/15.1R/checksums", when = "2026-11-26" },
            arches = {
                x86_64 = { firmware = "bios",
                    { dated = true, url = "https://download.freebsd.org/releases/VM-IMAGES/15.1-RELEASE/amd64/Latest/FreeBSD-15.1-RELEASE-amd64-BASIC-CLOUDINIT-zfs.raw.xz",
                        sha256 = "93011721f334015ce203d43c4d204e7cddc73dc6e3e757532fe67b740dc916b4" },
                    { dated = true, url = "http://ftp-archive.freebsd.org/pub/FreeBSD-Archive/old-releases/VM-IMAGES/15.1-RELEASE/amd64/Latest/FreeBSD-15.1-RELEASE-amd64-BASIC-CLOUDINIT-zfs.raw.xz",
                        sha256 = "93011721f334015ce203d43c4d204e7cddc73dc6e3e757532fe67b740dc916b4" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "https://download.freebsd.org/releases/VM-IMAGES/15.1-RELEASE/aarch64/Latest/FreeBSD-15.1-RELEASE-arm64-aarch64-BASIC-CLOUDINIT-zfs.raw.xz",
                        sha256 = "907ca57e12503124cc48da5d698da139459c60afa023aa12e82729d655e8e15b" },
                    { dated = true, url = "http://ftp-archive.freebsd.org/pub/FreeBSD-Archive/old-releases/VM-IMAGES/15.1-RELEASE/aarch64/Latest/FreeBSD-15.1-RELEASE-arm64-aarch64-BASIC-CLOUDINIT-zfs.raw.xz",
                        sha256 = "907ca57e12503124cc48da5d698da139459c60afa023aa12e82729d655e8e15b" },
                },
            },
        },
    },
}
