-- FreeBSD's images with cloud-init (nuageinit) on ZFS, compressed. The archive of releases is served by http
-- only: what vouches for them is the digest.
return {
    distro = "freebsd", title = "FreeBSD", user = "freebsd", packages = "pkg", reach = "cloud-init",
    format = "raw", compression = "xz",
    releases = {
        {
            name = "freebsd-15.1", version = "15.1", aliases = { "freebsd-15" }, eol = "2027-03-31",
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/freebsd-15.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "bios",
                    { dated = true, url = "http://ftp-archive.freebsd.org/pub/FreeBSD-Archive/old-releases/VM-IMAGES/15.1-RELEASE/amd64/Latest/FreeBSD-15.1-RELEASE-amd64-BASIC-CLOUDINIT-zfs.raw.xz",
                        sha256 = "93011721f334015ce203d43c4d204e7cddc73dc6e3e757532fe67b740dc916b4" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "http://ftp-archive.freebsd.org/pub/FreeBSD-Archive/old-releases/VM-IMAGES/15.1-RELEASE/aarch64/Latest/FreeBSD-15.1-RELEASE-arm64-aarch64-BASIC-CLOUDINIT-zfs.raw.xz",
                        sha256 = "907ca57e12503124cc48da5d698da139459c60afa023aa12e82729d655e8e15b" },
                },
            },
        },
    },
}
