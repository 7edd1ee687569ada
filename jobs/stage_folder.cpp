#include <fmt/format.h>

#include "core/hash.h"
#include "jobs/job.h"

namespace deda::jobs {

namespace {

// Raised when the meaning of a stage's files changes: old results are then made anew instead of misread.
constexpr int stage_schema_version = 1;
constexpr std::size_t stage_digits = 16;

}  // namespace

std::filesystem::path stage_folder(const std::filesystem::path& output, const std::string& stage,
                                   const std::string& identity) {
  const std::string hash = xxhash128_hex(fmt::format("{}\n{}\n{}", stage, stage_schema_version, identity));
  return output / fmt::format("{}-{}", stage, hash.substr(0, stage_digits));
}

}  // namespace deda::jobs
