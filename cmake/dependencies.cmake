# Everything here is a Debian 12 package; scripts/packages lists them.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Protobuf REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(leveldb REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(prometheus-cpp REQUIRED COMPONENTS core pull)
pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET fuse3)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(SYSTEMD REQUIRED IMPORTED_TARGET libsystemd)

# Asio has no package file of its own. Its sources are compiled once, in common/asio.cc.
find_path(ASIO_INCLUDE_DIR asio.hpp REQUIRED)
add_library(ringfs_asio INTERFACE)
target_include_directories(ringfs_asio SYSTEM INTERFACE ${ASIO_INCLUDE_DIR})
target_compile_definitions(ringfs_asio INTERFACE
  ASIO_STANDALONE ASIO_SEPARATE_COMPILATION ASIO_NO_DEPRECATED ASIO_HAS_CO_AWAIT
  ASIO_HAS_STD_COROUTINE)
# g++ 12 takes the frame allocator of asio::awaitable, once inlined, for a mismatch.
target_compile_options(ringfs_asio INTERFACE -fcoroutines -Wno-mismatched-new-delete)
target_link_libraries(ringfs_asio INTERFACE Threads::Threads)
