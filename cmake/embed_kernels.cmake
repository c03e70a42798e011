# Turns the files of kernels/ into one C file that holds them as arrays (declared in src/kernels.h).
#
# Included, it offers embed_kernels(OUT FOLDER), which sets OUT to the C file's path. As a script
# (cmake -P), which the build runs whenever a kernel file changed, came or went, it writes that file.
# The text becomes bytes, not string literals: ISO C promises only 4095 characters in a literal.

function(embed_kernels out folder)
  file(GLOB kernels CONFIGURE_DEPENDS ${folder}/*.cl ${folder}/*.clh ${folder}/*.h)
  # The names stand in the command, so that the build also notices a file that went.
  set(names)
  foreach(kernel IN LISTS kernels)
    get_filename_component(name ${kernel} NAME)
    list(APPEND names ${name})
  endforeach()
  list(JOIN names ":" names)
  set(script ${CMAKE_CURRENT_FUNCTION_LIST_FILE})
  set(output ${PROJECT_BINARY_DIR}/kernels.c)
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DFOLDER=${folder} -DNAMES=${names} -DOUTPUT=${output} -P ${script}
    DEPENDS ${kernels} ${script} COMMENT "Embedding the kernels" VERBATIM)
  set(${out} ${output} PARENT_SCOPE)
endfunction()

if(NOT CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  return()
endif()

string(REPLACE ":" ";" NAMES "${NAMES}")
set(arrays "")
set(rows "")
set(count 0)
foreach(name IN LISTS NAMES)
  file(READ ${FOLDER}/${name} bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n    " bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "/* ${name} */\nstatic const unsigned char text_${count}[] = {\n    ${bytes}0};\n\n")
  string(APPEND rows "    {\"${name}\", (const char *)text_${count}, sizeof text_${count} - 1},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUTPUT} "/* Generated from kernels/ by cmake/embed_kernels.cmake. */
#include \"kernels.h\"

${arrays}const clattn__kernel_source clattn__kernel_sources[] = {
${rows}    {NULL, NULL, 0},
};
const size_t clattn__kernel_source_count = ${count};
")
