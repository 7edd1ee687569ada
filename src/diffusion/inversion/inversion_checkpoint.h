// Where a unit of `deda invert` stands, on disk: one safetensors file with a checksum over everything in it,
// written atomically. The newest undamaged one counts; the one before it is kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "diffusion/inversion/class_learning.h"

namespace deda::diffusion {

class InversionCheckpoints {
 public:
  // Files NAME-STEPS.safetensors in `folder`; `identity` is the stage's key: checkpoints of another are
  // passed over.
  InversionCheckpoints(std::filesystem::path folder, std::string name, std::string identity);
  void save(const SavedState& state, std::int64_t steps) const;
  // Nothing when there is none; damaged ones are warned about and passed over.
  std::optional<SavedState> newest() const;
  void remove_all() const;

 private:
  std::vector<std::filesystem::path> files() const;  // newest first
  std::filesystem::path folder_;
  std::string name_, identity_;
};

}  // namespace deda::diffusion
