# Installs the library with a CMake package and a pkg-config file, so that other projects find it.
include(CMakePackageConfigHelpers)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/clattn)
configure_package_config_file(cmake/clattnConfig.cmake.in clattnConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(clattnConfigVersion.cmake COMPATIBILITY SameMinorVersion)

# Paths relative to the file itself let the installed tree be moved.
file(RELATIVE_PATH pkgconfig_to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
set(pkgconfig_requires "")
set(pkgconfig_cflags "")
if(NOT BUILD_SHARED_LIBS)
  set(pkgconfig_requires "OpenCL libxxhash")
  set(pkgconfig_cflags "-DCLATTN_STATIC")
  set(pkgconfig_libs "-lpthread -lm ${OpenMP_C_FLAGS}")
  if(CLBlast_FOUND)
    string(APPEND pkgconfig_libs " -lclblast")
  endif()
endif()
configure_file(cmake/clattn.pc.in clattn.pc @ONLY)

install(TARGETS clattn EXPORT clattn)
if(CLATTN_CLI)
  install(TARGETS clattn_cli)
endif()
install(EXPORT clattn NAMESPACE clattn:: FILE clattnTargets.cmake DESTINATION ${package_folder})
install(FILES ${PROJECT_BINARY_DIR}/clattnConfig.cmake ${PROJECT_BINARY_DIR}/clattnConfigVersion.cmake
        DESTINATION ${package_folder})
install(FILES ${PROJECT_BINARY_DIR}/clattn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${public_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/clattn)
