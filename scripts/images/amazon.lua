-- Amazon Linux's images for KVM.
return {
    distro = "amazon", title = "Amazon Linux", user = "ec2-user", packages = "dnf", reach = "cloud-init",
    format = "qcow2",
    releases = {
        {
            name = "amazonlinux-2023", version = "2023", aliases = { "al2023", "amazon-2023" }, eol = "2029-06-30",
            read = { where = "github.com/lima-vm/lima 25688a5a120c, templates/_images/amazonlinux-2023.yaml", when = "2026-11-25" },
            arches = {
                x86_64 = { firmware = "bios",
                    { dated = true, url = "https://cdn.amazonlinux.com/al2023/os-images/2023.11.20260406.2/kvm/al2023-kvm-2023.11.20260406.2-kernel-6.1-x86_64.xfs.gpt.qcow2",
                        sha256 = "72e10d974e832d9b56b84e71fe6f2e22589c9c539cc38e6d00cd84177839e2e8" },
                },
                aarch64 = { firmware = "uefi",
                    { dated = true, url = "https://cdn.amazonlinux.com/al2023/os-images/2023.11.20260406.2/kvm-arm64/al2023-kvm-2023.11.20260406.2-kernel-6.1-arm64.xfs.gpt.qcow2",
                        sha256 = "c012f9ecb88f377c49e4338c2c6f5702ca885a37e96118119ce67266d0a7524d" },
                },
            },
        },
    },
}
