// Genuine files that are too large, or not ours, to keep beside the code: $DEDA_TEST_DATA, else
// ../shared/data. Tests that need them skip where they are not.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace deda::test {

inline std::filesystem::path test_data() {
  const char* named = std::getenv("DEDA_TEST_DATA");
  return named != nullptr ? std::filesystem::path{named}
                          : std::filesystem::path{DEDA_SOURCE_DIR} / ".." / "shared" / "data";
}

}  // namespace deda::test
