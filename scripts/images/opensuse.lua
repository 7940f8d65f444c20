-- openSUSE's minimal VM images for clouds. They are rebuilt in place under one name and have no dated
-- location: each has a checksum beside it.
return {
    distro = "opensuse", title = "openSUSE", user = "opensuse", packages = "zypper", reach = "cloud-init",
    format = "qcow2",
    releases = {
        {
            name = "opensuse-leap-15.6", version = "15.6", aliases = { "leap-15.6", "opensuse-leap-15" }, eol = "2026-04-30",
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/opensuse-leap-15.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "bios",
                    { latest = true, url = "https://download.opensuse.org/distribution/leap/15.6/appliances/openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2",
                        checksums = "https://download.opensuse.org/distribution/leap/15.6/appliances/openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2.sha256" },
                },
                aarch64 = { firmware = "uefi",
                    { latest = true, url = "https://download.opensuse.org/distribution/leap/15.6/appliances/openSUSE-Leap-15.6-Minimal-VM.aarch64-Cloud.qcow2",
                        checksums = "https://download.opensuse.org/distribution/leap/15.6/appliances/openSUSE-Leap-15.6-Minimal-VM.aarch64-Cloud.qcow2.sha256" },
                },
            },
        },
        {
            name = "opensuse-leap-16.0", version = "16.0", aliases = { "leap-16.0", "opensuse-leap-16" }, eol = "2027-10-31",
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/_images/opensuse-leap-16.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "bios",
                    { latest = true, url = "https://download.opensuse.org/distribution/leap/16.0/appliances/Leap-16.0-Minimal-VM.x86_64-Cloud.qcow2",
                        checksums = "https://download.opensuse.org/distribution/leap/16.0/appliances/Leap-16.0-Minimal-VM.x86_64-Cloud.qcow2.sha256" },
                },
                aarch64 = { firmware = "uefi",
                    { latest = true, url = "https://download.opensuse.org/distribution/leap/16.0/appliances/Leap-16.0-Minimal-VM.aarch64-Cloud.qcow2",
                        checksums = "https://download.opensuse.org/distribution/leap/16.0/appliances/Leap-16.0-Minimal-VM.aarch64-Cloud.qcow2.sha256" },
                },
                s390x = { firmware = "bios",
                    { latest = true, url = "https://download.opensuse.org/distribution/leap/16.0/appliances/Leap-16.0-Minimal-VM.s390x-s390x-Cloud.qcow2",
                        checksums = "https://download.opensuse.org/distribution/leap/16.0/appliances/Leap-16.0-Minimal-VM.s390x-s390x-Cloud.qcow2.sha256" },
                },
            },
        },
        {
            name = "opensuse-tumbleweed", version = "tumbleweed", aliases = { "tumbleweed" },
            read = { where = "github.com/lima-vm/lima 183a60d721bf of 2026-08-21, templates/experimental/opensuse-tumbleweed.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "bios",
                    { latest = true, url = "https://download.opensuse.org/tumbleweed/appliances/openSUSE-Tumbleweed-Minimal-VM.x86_64-Cloud.qcow2",
                        checksums = "https://download.opensuse.org/tumbleweed/appliances/openSUSE-Tumbleweed-Minimal-VM.x86_64-Cloud.qcow2.sha256" },
                },
                aarch64 = { firmware = "uefi",
                    { latest = true, url = "https://download.opensuse.org/ports/aarch64/tumbleweed/appliances/openSUSE-Tumbleweed-Minimal-VM.aarch64-Cloud.qcow2",
                        checksums = "https://download.opensuse.org/ports/aarch64/tumbleweed/appliances/openSUSE-Tumbleweed-Minimal-VM.aarch64-Cloud.qcow2.sha256" },
                },
            },
        },
    },
}
