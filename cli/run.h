#pragma once

#include <string>

#include "cli/arguments.h"
#include "cli/local/local_cluster.h"
#include "common/result.h"

namespace ringfs::cli {

// Does what the arguments ask for. What it prints goes through `print` as it comes, whole lines;
// what is for people although a program reads the output, through `print_aside`.
Result<void> Run(const Arguments& arguments, const Say& print, const Say& print_aside);

}  // namespace ringfs::cli
