# Warnings and sanitizers for our own targets; d2c_warnings is linked by the functions of Targets.cmake.
add_library(d2c_warnings INTERFACE)
target_compile_options(d2c_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees overlapping copies in std::string's operator+ (GCC bug 105651).
  target_compile_options(d2c_warnings INTERFACE -Wno-restrict)
  if(D2C_SANITIZE)
    # Instrumented code hides from its flow analysis what std::variant has initialized.
    target_compile_options(d2c_warnings INTERFACE -Wno-maybe-uninitialized)
  endif()
endif()

if(D2C_SANITIZE)
  add_compile_options(-fsanitize=${D2C_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${D2C_SANITIZE})
endif()
