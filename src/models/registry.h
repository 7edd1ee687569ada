// Networks by name: for `train.network`, and for `deda forward`, which runs one network on tensors from a
// file so that anybody can hold it against the original program.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "models/classifiers/classifier.h"
#include "models/weights/tensor_file.h"

namespace deda::models {

// By a name of classifiers/facts.h; ConfigError naming the known networks for any other, and for a side that
// the network cannot be made for. Parameters hold no numbers to rely on: call initialise() or load_weights().
std::shared_ptr<Classifier> make_classifier(const std::string& name, const ClassifierOptions& options);
std::shared_ptr<Classifier> make_classifier(const std::string& name, std::int64_t classes);

struct ForwardRequest {
  std::filesystem::path weights;
  NamedTensors inputs;                  // as read from the file
  std::string inputs_from;              // names the inputs in errors
  std::filesystem::path layer_diffuse;  // unet: LayerDiffuse's weights to merge; may be empty
  std::filesystem::path lora;           // unet: a LoRA file to merge, at scale 1; may be empty
  bool train_mode = false;  // batch statistics, and the running statistics after the pass among the outputs
  torch::Device device = torch::kCPU;
  torch::ScalarType dtype = torch::kFloat;
};

struct ForwardModel {
  std::string name;
  std::string description;  // inputs and outputs in a sentence
  std::function<NamedTensors(const ForwardRequest&)>
      run;  // DataError lists all that is wrong with weights and inputs
};

const std::vector<ForwardModel>& forward_models();
const ForwardModel& forward_model(const std::string& name);  // ConfigError naming the known ones

}  // namespace deda::models
