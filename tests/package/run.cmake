# Installs the build in BUILD, and uses it from a project of its own: through find_package, through
# pkg-config, and by the names the installed library exports.
set(folder ${BUILD}/package)
set(prefix ${folder}/prefix)
set(consumer ${CMAKE_CURRENT_LIST_DIR}/consumer)
file(REMOVE_RECURSE ${folder})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
file(GLOB_RECURSE library ${prefix}/libclattn.so)
get_filename_component(library_folder ${library} DIRECTORY)

run(${CMAKE_COMMAND} -G ${GENERATOR} -S ${consumer} -B ${folder}/consumer -DCMAKE_C_COMPILER=${CC}
    -DCMAKE_PREFIX_PATH=${prefix})
run(${CMAKE_COMMAND} --build ${folder}/consumer)
run(${folder}/consumer/consumer)

set(ENV{PKG_CONFIG_PATH} ${library_folder}/pkgconfig)
execute_process(COMMAND pkg-config --cflags --libs clattn OUTPUT_VARIABLE flags
                COMMAND_ERROR_IS_FATAL ANY OUTPUT_STRIP_TRAILING_WHITESPACE)
separate_arguments(flags UNIX_COMMAND "${flags}")
run(${CC} -std=c11 ${consumer}/main.c -o ${folder}/by_pkgconfig ${flags} -Wl,-rpath,${library_folder})
run(${folder}/by_pkgconfig)
run(${prefix}/bin/clattn --version)

execute_process(COMMAND ${NM} -D --defined-only --format=posix ${library} OUTPUT_VARIABLE names
                COMMAND_ERROR_IS_FATAL ANY OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REPLACE "\n" ";" names "${names}")
list(FILTER names EXCLUDE REGEX "^clattn_[^_]")
if(names)
  message(FATAL_ERROR "${library} exports names that are not public: ${names}")
endif()
