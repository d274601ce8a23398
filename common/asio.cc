// Asio's own sources, compiled here once for every program (ASIO_SEPARATE_COMPILATION).
#include <asio/impl/src.hpp>
