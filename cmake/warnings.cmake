# The interface target clattn_warnings carries the warnings that all C code of the project answers to.
add_library(clattn_warnings INTERFACE)
target_compile_options(clattn_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wdouble-promotion
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
  $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
  $<$<BOOL:${CLATTN_WERROR}>:-Werror>)
