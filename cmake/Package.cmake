# cpack makes a .deb and a tarball of what `cmake --install` installs.
set(CPACK_GENERATOR "DEB;TGZ")
set(CPACK_PACKAGE_NAME vmatrix)
set(CPACK_PACKAGE_VENDOR "vmatrix")
set(CPACK_PACKAGE_CONTACT "vmatrix authors <vmatrix@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "virtual machines for Lua scripts")
set(CPACK_PACKAGE_DESCRIPTION "vmatrix runs Lua scripts that create, boot, snapshot, fork and destroy virtual
machines, run commands in them and copy files in and out, many at once, of
seven architectures; and it runs test matrices over them. It needs no daemon,
no root and no set-up.")
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_SYSTEM_NAME "${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}")
set(CPACK_ARCHIVE_THREADS 0)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libvirt-daemon-driver-qemu, qemu-utils")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS
    "qemu-system-x86, qemu-system-arm, debian-archive-keyring, gpgv, openssh-client, xz-utils, ca-certificates")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "qemu-system-misc, qemu-system-ppc, mmdebstrap")
include(CPack)
