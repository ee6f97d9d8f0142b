# d2c_add_plugin(NAME SOURCES a.cpp ... [LINK lib ...])
#
# Builds NAME as a plugin: a module named like the plugin, hidden symbols, one exported symbol, no undefined ones.

function(d2c_add_plugin NAME)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;LINK")
  add_library(${NAME} MODULE ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE d2c::sdk ${ARG_LINK})
  set_target_properties(${NAME} PROPERTIES
    PREFIX "" SUFFIX "${CMAKE_SHARED_LIBRARY_SUFFIX}"
    CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  if(APPLE)
    set(exports "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/d2c_plugin.exports")
    target_link_options(${NAME} PRIVATE "LINKER:-exported_symbols_list,${exports}")
  else()
    set(exports "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/d2c_plugin.map")
    target_link_options(${NAME} PRIVATE "LINKER:--version-script,${exports}")
    if(NOT D2C_SANITIZE) # a sanitizer's runtime is in the program, not in the plugin
      target_link_options(${NAME} PRIVATE "LINKER:-z,defs")
    endif()
  endif()
  set_target_properties(${NAME} PROPERTIES LINK_DEPENDS "${exports}")
endfunction()
