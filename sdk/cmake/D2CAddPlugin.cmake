# d2c_add_plugin(NAME SOURCES a.cpp ... [LINK lib ...])
#
# Builds lib NAME as a plugin: a module named like the plugin, hidden symbols, one exported symbol, no undefined ones.

set(D2C_PLUGIN_CMAKE_DIR "${CMAKE_CURRENT_LIST_DIR}")

function(d2c_add_plugin NAME)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SOURCES;LINK")
  add_library(${NAME} MODULE ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE d2c::sdk ${ARG_LINK})
  set_target_properties(${NAME} PROPERTIES
    PREFIX "" SUFFIX "${CMAKE_SHARED_LIBRARY_SUFFIX}"
    CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  if(APPLE)
    target_link_options(${NAME} PRIVATE "LINKER:-exported_symbols_list,${D2C_PLUGIN_CMAKE_DIR}/d2c_plugin.exports")
    set_target_properties(${NAME} PROPERTIES LINK_DEPENDS "${D2C_PLUGIN_CMAKE_DIR}/d2c_plugin.exports")
  else()
    target_link_options(${NAME} PRIVATE "LINKER:--version-script,${D2C_PLUGIN_CMAKE_DIR}/d2c_plugin.map")
    set_target_properties(${NAME} PROPERTIES LINK_DEPENDS "${D2C_PLUGIN_CMAKE_DIR}/d2c_plugin.map")
    if(NOT D2C_SANITIZE) # a sanitizer's runtime is in the program, not in the plugin
      target_link_options(${NAME} PRIVATE "LINKER:-z,defs")
    endif()
  endif()
endfunction()
