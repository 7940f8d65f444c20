# The manual pages and the shells' completions, made by the program itself from its own help. A build
# with sanitizers, or for another machine, leaves them out.
if(VX_SANITIZE OR VX_GC_EAGER OR VX_COVERAGE OR CMAKE_CROSSCOMPILING)
    return()
endif()
include(GNUInstallDirs)

set(docs "")
function(vx_made file)
    set(out "${PROJECT_BINARY_DIR}/docs/${file}")
    add_custom_command(OUTPUT "${out}"
        COMMAND "${CMAKE_COMMAND}" "-DOUT=${out}" "-DCOMMAND=$<TARGET_FILE:vmatrix>;${ARGN}"
                -P "${PROJECT_SOURCE_DIR}/cmake/Capture.cmake"
        DEPENDS vmatrix "${PROJECT_SOURCE_DIR}/cmake/Capture.cmake" ${chapters}
        COMMENT "Making ${file}" VERBATIM)
    set(docs "${docs};${out}" PARENT_SCOPE)
endfunction()

file(GLOB chapters CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/manual/*.md")
list(APPEND chapters "${PROJECT_SOURCE_DIR}/scripts/dev/man.lua")
foreach(page vmatrix.1 vmatrix-test.1 vmatrix.lua.3)
    vx_made(${page} "${PROJECT_SOURCE_DIR}/scripts/dev/man.lua" ${page})
    string(REGEX MATCH ".$" section "${page}")
    install(FILES "${PROJECT_BINARY_DIR}/docs/${page}" DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}")
endforeach()
set(chapters "")
vx_made(vmatrix.bash completion bash)
vx_made(_vmatrix completion zsh)
vx_made(vmatrix.fish completion fish)
install(FILES "${PROJECT_BINARY_DIR}/docs/vmatrix.bash" RENAME vmatrix
    DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
install(FILES "${PROJECT_BINARY_DIR}/docs/vmatrix.fish"
    DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
# Debian's zsh looks elsewhere for what packages bring.
set(VX_ZSH_DIR "${CMAKE_INSTALL_DATADIR}/zsh/site-functions" CACHE STRING "Where zsh finds completions")
install(CODE "
    set(folder \"${VX_ZSH_DIR}\")
    if(CMAKE_INSTALL_PREFIX STREQUAL \"/usr\" AND EXISTS /etc/debian_version)
        set(folder \"${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions\")
    endif()
    file(INSTALL \"${PROJECT_BINARY_DIR}/docs/_vmatrix\" DESTINATION \"\${CMAKE_INSTALL_PREFIX}/\${folder}\")")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" RENAME copyright DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/vmatrix")
add_custom_target(docs ALL DEPENDS ${docs})
