# What `find_package(Wardian)` gives: the targets Wardian::wardian, the shared library, and Wardian::static.

get_filename_component(_wardian_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET Wardian::wardian)
  add_library(Wardian::wardian SHARED IMPORTED)
  set_target_properties(Wardian::wardian PROPERTIES
    IMPORTED_LOCATION "${_wardian_prefix}/lib/libwardian_c.so"
    IMPORTED_NO_SONAME TRUE
    INTERFACE_INCLUDE_DIRECTORIES "${_wardian_prefix}/include")

  add_library(Wardian::static STATIC IMPORTED)
  set_target_properties(Wardian::static PROPERTIES
    IMPORTED_LOCATION "${_wardian_prefix}/lib/libwardian_c.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_wardian_prefix}/include"
    INTERFACE_LINK_LIBRARIES "pthread;dl;m")
endif()

unset(_wardian_prefix)
