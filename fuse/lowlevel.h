#pragma once

// libfuse's low-level API, at the version that Debian 12 has. Included by .cc files of this folder
// only, so that the rest of the program does not see the macros of <fuse_lowlevel.h>.
#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
