# clattn_test(NAME LABEL COMMAND...): one CTest test with the environment that all tests share.
#
# Drivers and clattn keep what they compiled in one folder, which several builds may share: a warm
# cache is much faster, and the sanitizers then see none of the driver's own compiler.
set(CLATTN_TEST_CACHE ${PROJECT_BINARY_DIR}/cache CACHE PATH "Folder of the tests' binary caches")
file(MAKE_DIRECTORY ${CLATTN_TEST_CACHE}/clattn ${CLATTN_TEST_CACHE}/pocl)

set(test_environment
  CLATTN_REQUIRE_DEVICE=1
  CLATTN_CACHE_DIR=${CLATTN_TEST_CACHE}/clattn
  POCL_CACHE_DIR=${CLATTN_TEST_CACHE}/pocl
  CLATTN_DATA=${PROJECT_SOURCE_DIR}/examples/data
  CLATTN_TEST_DATA=${PROJECT_SOURCE_DIR}/tests/data)
if(CLATTN_CLI)
  list(APPEND test_environment CLATTN_PROGRAM=$<TARGET_FILE:clattn_cli>)
endif()
if(CLATTN_SANITIZE MATCHES "address")
  # A driver that compiles a kernel leaves some of its compiler's memory behind; telling it from ours
  # takes the slow, complete stack traces. Where thread-local memory of a loaded library lies 16 bytes
  # past a page, one run in a few hundred, the runtime takes what is before it for a header with its
  # size, and the leak check then reads wild: it need not look, the heap leads it there.
  list(APPEND test_environment ASAN_OPTIONS=fast_unwind_on_malloc=0:intercept_tls_get_addr=0
       LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/lsan.supp:print_suppressions=0)
endif()

function(clattn_test name label)
  add_test(NAME ${name} COMMAND ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT 600
                       ENVIRONMENT "${test_environment}")
endfunction()

# The same test under valgrind, for `ctest -C memory -L memory` only, and with it the program that the
# test runs. It shares the warm cache, which helps where valgrind shows a driver the same processor.
# HWLOC_COMPONENTS keeps a library of PoCL's from saying on stderr what it cannot do there.
set(valgrind valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite
    --show-leak-kinds=definite --suppressions=${PROJECT_SOURCE_DIR}/tests/support/valgrind.supp)
if(CLATTN_CLI)
  list(JOIN valgrind " " words)
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/valgrind-clattn
       CONTENT "#!/bin/sh\nexec ${words} '$<TARGET_FILE:clattn_cli>' \"$@\"\n"
       FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endif()
function(clattn_memory_test name)
  add_test(NAME memory/${name} CONFIGURATIONS memory COMMAND ${valgrind} ${ARGN})
  set_tests_properties(memory/${name} PROPERTIES LABELS memory TIMEOUT 1800
                       ENVIRONMENT "${test_environment}"
                       ENVIRONMENT_MODIFICATION
                       "CLATTN_PROGRAM=set:${PROJECT_BINARY_DIR}/valgrind-clattn;HWLOC_COMPONENTS=set:-x86")
endfunction()
