# Flags for everything that is built here: sanitizers where CLATTN_SANITIZE names them, else hardening.
if(CLATTN_SANITIZE)
  add_compile_options(-fsanitize=${CLATTN_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CLATTN_SANITIZE})
  if(CLATTN_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
else()
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY>:-Wl,--no-undefined>)
  if(CLATTN_HARDEN)
    # Undefined first, because some distributions' compilers define it at another level.
    set(optimised $<CONFIG:Release,RelWithDebInfo,MinSizeRel>)
    add_compile_options($<${optimised}:-U_FORTIFY_SOURCE> $<${optimised}:-D_FORTIFY_SOURCE=2>
                        -fstack-protector-strong)
    add_link_options(-Wl,-z,relro,-z,now)
  endif()
endif()
