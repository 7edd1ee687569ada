// `deda train --trace`: one safetensors file per step with all that another program needs to replay it
// (analysis/replay_train_trace.py does). Names follow the project's trace convention: input, label, output,
// loss, lr, epoch, grad.NAME, updated.NAME, draw.*; the first file also has initial.NAME and
// initial_momentum.NAME. Of image-mixing methods also composed, composed_label and mix.*.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "augment/batch.h"
#include "models/classifiers/classifier.h"
#include "models/weights/tensor_file.h"

namespace deda::training {

// Draws of a batch under their names: integers as int64, real numbers as float64, each [B]. With
// augment.policy also draw.POLICY [B, operations] int64 (numbers of augment/picture_operations.h) and
// draw.POLICY_magnitude float32, signed as handed to the operation.
models::NamedTensors draw_tensors(const std::vector<augment::Draws>& draws);
// One JSON object with the same names, without the prefix `draw.`, and `label` [classes].
std::string draw_json(const augment::Draws& draws, const std::vector<float>& label);

class StepTracer {
 public:
  // Rank 0 writes step-000012.safetensors; rank r its own share (input, label, output, draws) to
  // step-000012.rank-r.safetensors. `constants` go into every file's metadata. `before_policy`: as in
  // TrainingSamples; its pictures are traced as before_POLICY [B, H, W, 3] uint8.
  using BeforePolicy = std::function<void(const augment::Draws& sample, std::uint8_t* pixels)>;
  // A sample as it was composed, before anything mixed it: TrainingSamples::compose.
  using Compose =
      std::function<void(std::int64_t sample, std::int64_t epoch, std::uint8_t* pixels, float* label)>;
  StepTracer(std::filesystem::path folder, std::int64_t steps, int rank,
             std::map<std::string, std::string> constants, BeforePolicy before_policy = {},
             Compose compose = {});
  bool wants_more() const { return written_ < steps_; }
  // Before the first step: what the step starts from.
  void start(const models::Classifier& network, const std::vector<at::Tensor>& momentum);
  // Before the forward pass of a batch that is mixed on the device: this rank's share before that,
  // normalised, and what the method tells ("mix.NAME").
  void mixed(const at::Tensor& composed, const at::Tensor& composed_label, const models::NamedTensors& mix);
  // After the forward pass: the batch as the network saw it.
  void saw(const at::Tensor& input, const at::Tensor& label, const at::Tensor& output,
           const augment::Batch& batch);
  // After the optimizer: writes the file. `loss` is the mean over the global batch.
  void finish(const models::Classifier& network, std::int64_t global_step, std::int64_t epoch,
              double learning_rate, double loss);

 private:
  void add_mix(const augment::Batch& batch, std::int64_t side);
  std::filesystem::path folder_;
  std::int64_t steps_, written_ = 0;
  int rank_;
  std::map<std::string, std::string> constants_;
  BeforePolicy before_policy_;
  Compose compose_;
  models::NamedTensors tensors_;
};

}  // namespace deda::training
