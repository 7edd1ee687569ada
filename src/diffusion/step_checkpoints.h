// Where a long optimisation stands, on disk: one safetensors file with a checksum over everything in it,
// written atomically. The newest undamaged one counts; the one before it is kept. Of a unit of `deda invert`,
// and of a stage of `deda pretrain`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/weights/tensor_file.h"

namespace deda::diffusion {

// Fields of a safetensors file: tensors, and texts as metadata.
struct SavedState {
  models::NamedTensors tensors;
  std::map<std::string, std::string> texts;
};

class StepCheckpoints {
 public:
  // Files NAME-STEPS.safetensors in `folder`; checkpoints of another `identity` (the stage's key) are
  // passed over.
  StepCheckpoints(std::filesystem::path folder, std::string name, std::string identity);
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
