# vx_embed(VAR ROOT FOLDER...): puts every ROOT/FOLDER/**.lua into one C file and its path into VAR.
# The require name is the path below ROOT with dots: vm/guest.lua is vm.guest, vm/init.lua is vm.
# A .css or .js file is a module that returns its text: vm/report/html.css is vm.report.html.css. So is a
# chapter of the manual: docs/manual/copy.md is vm.manual.copy.
function(vx_embed var root)
    set(out "${PROJECT_BINARY_DIR}/embedded_scripts.c")
    set(scripts "")
    foreach(folder IN LISTS ARGN)
        file(GLOB_RECURSE found CONFIGURE_DEPENDS "${root}/${folder}/*.lua"
            "${root}/${folder}/*.css" "${root}/${folder}/*.js")
        list(APPEND scripts ${found})
    endforeach()
    file(GLOB found CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/manual/*.md")
    list(APPEND scripts ${found})
    add_custom_command(OUTPUT "${out}"
        COMMAND "${CMAKE_COMMAND}" "-DOUT=${out}" "-DROOT=${root}" "-DSCRIPTS=${scripts}"
                -P "${PROJECT_SOURCE_DIR}/cmake/EmbedRun.cmake"
        DEPENDS ${scripts} "${PROJECT_SOURCE_DIR}/cmake/EmbedRun.cmake"
        COMMENT "Embedding the Lua library" VERBATIM)
    set(${var} "${out}" PARENT_SCOPE)
endfunction()
