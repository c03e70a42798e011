# What a Python wheel holds: the library and the program in the package's own lib/ and bin/, with the
# libraries that they link, so that a wheel asks for an OpenCL loader only. The C and C++ runtimes stay
# the system's, as drivers share them with us.
set_target_properties(clattn PROPERTIES INSTALL_RPATH $ORIGIN)
set_target_properties(clattn_cli PROPERTIES INSTALL_RPATH $ORIGIN/../lib)
install(TARGETS clattn clattn_cli LIBRARY DESTINATION lib COMPONENT wheel
        RUNTIME DESTINATION bin COMPONENT wheel)
# A wheel has no symbolic links: each library is copied under the name by which it is asked for.
install(CODE [[
  file(GET_RUNTIME_DEPENDENCIES RESOLVED_DEPENDENCIES_VAR needed
       LIBRARIES "$<TARGET_FILE:clattn>" EXECUTABLES "$<TARGET_FILE:clattn_cli>"
       PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|dl|rt|pthread|stdc\\+\\+|gcc_s|OpenCL|clattn)\\.so")
  foreach(library IN LISTS needed)
    get_filename_component(name "${library}" NAME)
    file(REAL_PATH "${library}" library)
    file(COPY_FILE "${library}" "${CMAKE_INSTALL_PREFIX}/lib/${name}")
  endforeach()
]] COMPONENT wheel)
