// What the program was built with and what it found when it started.
#pragma once

#include <string>

namespace deda::jobs {

// "0.1.0 (8a21743)": the release and the commit that it was built from, as results keep it.
std::string code_version();

// For `deda --version`: one line per part. Needs MPI to be running.
std::string version_text();

}  // namespace deda::jobs
