// Checkpoints of a training run: one safetensors file each with parameters, buffers, momentum and the
// training state. Written atomically, with a checksum over names, shapes, bytes and state; the newest
// complete one is taken on resume, else the one before. No random state is needed: draws are counted, not
// carried.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "models/weights/tensor_file.h"
#include "training/state.h"

namespace deda::training {

struct Checkpoint {
  TrainingState state;
  models::NamedTensors tensors;  // "model.NAME" and "momentum.NAME"
};

class CheckpointFolder {
 public:
  // `keep` newest files are kept, at least 1. The folder is made by the first save().
  CheckpointFolder(std::filesystem::path folder, std::int64_t keep);
  // checkpoint-EPOCH-STEP.safetensors, then drops what is older than the newest `keep` and what killed
  // writers left. IoError where the disk refuses;
  // older checkpoints are untouched then.
  void save(const Checkpoint& checkpoint) const;
  // The newest checkpoint that is complete and undamaged; each broken one is warned about by name and passed
  // over.
  std::optional<Checkpoint> newest() const;
  // Every checkpoint and what killed writers left. What cannot be removed stays: it costs space alone.
  void remove_all() const;
  // Checkpoint files, newest first.
  std::vector<std::filesystem::path> files() const;

 private:
  std::filesystem::path folder_;
  std::int64_t keep_;
};

}  // namespace deda::training
