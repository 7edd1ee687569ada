// What the program was built with and what it found when it started.
#pragma once

#include <string>

namespace deda::jobs {

// For `deda --version`: one line per part. Needs MPI to be running.
std::string version_text();

}  // namespace deda::jobs
