#pragma once

#include <cstdio>
#include <cstdlib>

// Ends the program when an invariant of our own code does not hold. Always on. Data that comes from
// a disk, a peer or a user is never checked with it: that is an Error.
#define RINGFS_CHECK(condition)                                                              \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition);     \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)
