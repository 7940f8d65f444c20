# The libraries we stand on, each as Vx::NAME with the oldest version that will do.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# Homebrew keeps some libraries out of the default search path.
if(APPLE)
    foreach(keg libarchive openssl@3 curl libedit)
        set(dir "/opt/homebrew/opt/${keg}/lib/pkgconfig")
        if(EXISTS "${dir}")
            set(ENV{PKG_CONFIG_PATH} "${dir}:$ENV{PKG_CONFIG_PATH}")
        endif()
    endforeach()
endif()

# vx_library(NAME module>=version [other spelling ...]): the first spelling that is found.
function(vx_library name)
    foreach(module IN LISTS ARGN)
        pkg_check_modules(VX_${name} QUIET IMPORTED_TARGET GLOBAL "${module}")
        if(VX_${name}_FOUND)
            add_library(Vx::${name} ALIAS PkgConfig::VX_${name})
            return()
        endif()
    endforeach()
    list(GET ARGN 0 wanted)
    message(FATAL_ERROR "${wanted} was not found; scripts/dev/deps installs what a build needs")
endfunction()

vx_library(lua "lua5.4>=5.4.0" "lua-5.4>=5.4.0" "lua>=5.4.0")
vx_library(uv "libuv>=1.40")
vx_library(jansson "jansson>=2.11")
vx_library(xml2 "libxml-2.0>=2.9")
vx_library(archive "libarchive>=3.4")
vx_library(crypto "libcrypto>=1.1.1")
vx_library(ssh2 "libssh2>=1.10")

pkg_check_modules(VX_libvirt REQUIRED QUIET IMPORTED_TARGET GLOBAL "libvirt>=9.0" "libvirt-qemu>=9.0")
add_library(Vx::libvirt ALIAS PkgConfig::VX_libvirt)
