# The three kinds of in-tree targets.

# d2c_library(NAME SOURCES ... [LINK public libs] [PRIVATE private libs]): a small static library. Its headers are
# included by their path from the repository root: "libs/json/json.hpp".
function(d2c_library NAME)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;LINK;PRIVATE")
  add_library(${NAME} STATIC ${ARG_SOURCES})
  target_include_directories(${NAME} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${NAME} PUBLIC d2c::sdk ${ARG_LINK} PRIVATE ${ARG_PRIVATE} d2c_warnings)
endfunction()

# d2c_bundled_plugin(NAME SOURCES ... [LINK ...]): a plugin that ships with the program. Everything but plugin.cpp goes
# into the static library NAME_core, so that unit tests reach it; plugin.cpp holds D2C_PLUGIN.
function(d2c_bundled_plugin NAME)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;LINK")
  d2c_library(${NAME}_core SOURCES ${ARG_SOURCES} LINK ${ARG_LINK})
  set_target_properties(${NAME}_core PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  d2c_add_plugin(${NAME} SOURCES plugin.cpp LINK ${NAME}_core d2c_warnings)
  set_target_properties(${NAME} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/${D2C_PLUGIN_DIR}")
  install(TARGETS ${NAME} LIBRARY DESTINATION "${D2C_PLUGIN_DIR}" COMPONENT program)
  add_dependencies(dolphin2coreml ${NAME}) # building the program alone builds what it loads
endfunction()

# d2c_test(NAME SOURCES ... [LINK ...] [LABELS unit|abi|plugin|golden|hostile|e2e]): a GoogleTest program, one ctest entry.
# It runs in the repository's root, with tests/data below it. LABELS ... threaded: under the thread sanitizer too.
function(d2c_test NAME)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;LINK;LABELS")
  add_executable(${NAME} ${ARG_SOURCES})
  target_include_directories(${NAME} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${NAME} PRIVATE ${ARG_LINK} d2c::sdk d2c_warnings GTest::gmock GTest::gtest_main)
  target_compile_definitions(${NAME} PRIVATE D2C_BUILD_DIR="${CMAKE_BINARY_DIR}" D2C_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    D2C_PLUGIN_DIR="${CMAKE_BINARY_DIR}/${D2C_PLUGIN_DIR}")
  add_test(NAME ${NAME} COMMAND ${NAME} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(${NAME} PROPERTIES LABELS "${ARG_LABELS}")
  if("threaded" IN_LIST ARG_LABELS)
    add_dependencies(threaded_tests ${NAME})
  endif()
endfunction()
