# find_package(strata) defines two targets to link a program with:
#
#   strata::strata   libstrata.so
#   strata::static   libstrata.a
#
# Whichever is linked, it serves all of the program.
get_filename_component(_strata_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
foreach(_strata_kind strata static)
    if(NOT TARGET strata::${_strata_kind})
        if(_strata_kind STREQUAL "strata")
            add_library(strata::strata SHARED IMPORTED)
            set(_strata_file libstrata.so)
        else()
            add_library(strata::static STATIC IMPORTED)
            set(_strata_file libstrata.a)
        endif()
        set_target_properties(strata::${_strata_kind} PROPERTIES
            IMPORTED_LOCATION "${_strata_prefix}/lib/${_strata_file}"
            INTERFACE_INCLUDE_DIRECTORIES "${_strata_prefix}/include"
        )
    endif()
endforeach()
unset(_strata_prefix)
unset(_strata_file)
