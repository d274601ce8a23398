# ringfs_options: the warnings and the include root that every target of ours has. They are errors in
# every preset but release: there, with -O2, g++ 12 warns of std::string and std::regex themselves. In
# the sanitizer presets it takes an empty std::optional for an uninitialized one: not asked for there.
add_library(ringfs_options INTERFACE)
target_include_directories(ringfs_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
target_compile_options(ringfs_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wunused
  -Woverloaded-virtual -Wimplicit-fallthrough
  # In a unity build g++ 12 takes the frame of a coroutine for a type of a header.
  -Wno-subobject-linkage
  $<$<BOOL:${RINGFS_WERROR}>:-Werror>)
target_compile_definitions(ringfs_options INTERFACE RINGFS_VERSION="${PROJECT_VERSION}"
  _FILE_OFFSET_BITS=64)

# Every preset joins the sources of a target into a few (unity builds): parsing headers, not our code,
# is what a build costs. Names in anonymous namespaces are therefore distinct within a component.

# ringfs_library(name sources...): a component; ringfs_common's precompiled header is reused, since
# seven tenths of the time of a build without it went into parsing Asio and Protocol Buffers.
function(ringfs_library name)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PRIVATE ringfs_options)
  if(NOT name STREQUAL "ringfs_common")
    target_precompile_headers(${name} REUSE_FROM ringfs_common)
    target_link_libraries(${name} PUBLIC ringfs_common)
  endif()
endfunction()

# ringfs_program(name main.cc libs...)
function(ringfs_program name main)
  add_executable(${name} ${main})
  target_precompile_headers(${name} REUSE_FROM ringfs_common)
  target_link_libraries(${name} PRIVATE ringfs_options ringfs_common ${ARGN})
endfunction()
