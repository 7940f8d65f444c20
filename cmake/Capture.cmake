# Runs COMMAND and puts what it prints into OUT.
set(ENV{LC_ALL} C.UTF-8)
execute_process(COMMAND ${COMMAND} OUTPUT_VARIABLE text RESULT_VARIABLE status ERROR_VARIABLE complaint)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "${COMMAND}: ${complaint}")
endif()
file(WRITE "${OUT}" "${text}")
