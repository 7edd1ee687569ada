#include "models/registry.h"

#include <utility>

#include "core/config.h"
#include "core/error.h"
#include "models/classifiers/forward_exported.h"
#include "models/classifiers/resnet.h"
#include "models/diffusion/forward.h"
#include "models/grounding_dino/forward.h"
#include "models/sam/forward.h"
#include "models/weights/weights.h"

namespace deda::models {
namespace {

struct Entry {
  std::string name;
  std::shared_ptr<Classifier> (*make)(std::int64_t classes);
  std::string head;  // as Classifier::head_name(), known before the class count is
};

const std::vector<Entry>& classifiers() {
  static const std::vector<Entry> entries = {{"resnet18", make_resnet18, "fc"},
                                             {"resnet50", make_resnet50, "fc"}};
  return entries;
}

[[noreturn]] void unknown_name(const std::string& name, const std::vector<std::string>& known) {
  std::string list;
  for (const auto& each : known) list += (list.empty() ? "" : ", ") + each;
  const auto near = nearest_name(name, known);
  throw ConfigError("unknown network \"" + name + "\"", {},
                    (near.empty() ? "" : "Did you mean \"" + near + "\"? ") + "Known: " + list + ".");
}

void check_pictures(const ForwardRequest& request, std::vector<Problem>& problems) {
  for (const auto& [name, tensor] : request.inputs) {
    if (name != "input")
      problems.push_back(
          {"unknown input tensor " + name, request.inputs_from, "This network takes only `input`."});
  }
  const auto found = request.inputs.find("input");
  if (found == request.inputs.end()) {
    problems.push_back({"input tensor `input` [B, 3, H, W] is missing", request.inputs_from, {}});
    return;
  }
  const auto& input = found->second;
  if (input.dim() != 4 || input.size(1) != 3 || input.numel() == 0) {
    problems.push_back({"input tensor `input` has shape " + c10::str(input.sizes()) +
                            ", expected [B, 3, H, W] with nothing zero",
                        request.inputs_from,
                        {}});
  }
  if (!input.is_floating_point())
    problems.push_back({"input tensor `input` must hold floating-point numbers", request.inputs_from, {}});
}

NamedTensors run_classifier(const Entry& entry, const ForwardRequest& request) {
  std::vector<Problem> problems;
  check_pictures(request, problems);
  std::shared_ptr<Classifier> network;
  try {
    const auto file = std::filesystem::is_directory(request.weights) ? request.weights / "model.safetensors"
                                                                     : request.weights;
    network = entry.make(classes_in_file(file, entry.head));
    load_weights(*network, file);
  } catch (const DataError& error) {
    problems.insert(problems.end(), error.problems().begin(), error.problems().end());
  }
  if (!problems.empty()) throw DataError(std::move(problems));

  torch::NoGradGuard no_gradients;
  network->to(request.device, request.dtype);
  network->train(request.train_mode);
  NamedTensors outputs;
  outputs["output"] =
      network->forward(request.inputs.at("input").to(request.device, request.dtype)).to(torch::kFloat);
  if (request.train_mode) {
    for (const auto& buffer : network->named_buffers()) outputs[buffer.key()] = buffer.value();
  }
  return outputs;
}

}  // namespace

std::shared_ptr<Classifier> make_classifier(const std::string& name, std::int64_t classes) {
  std::vector<std::string> known;
  for (const auto& entry : classifiers()) {
    if (entry.name == name) return entry.make(classes);
    known.push_back(entry.name);
  }
  unknown_name(name, known);
}

const std::vector<ForwardModel>& forward_models() {
  static const std::vector<ForwardModel> models = [] {
    std::vector<ForwardModel> list;
    for (const auto& entry : classifiers()) {
      list.push_back({entry.name,
                      "`input` [B, 3, H, W] -> `output` [B, classes]; --mode train adds the running "
                      "statistics after the pass",
                      [entry](const ForwardRequest& request) { return run_classifier(entry, request); }});
    }
    for (auto& model : diffusion_forward_models()) list.push_back(std::move(model));
    for (auto& model : exported_forward_models()) list.push_back(std::move(model));
    list.push_back(sam_forward_model());
    list.push_back(grounding_dino_forward_model());
    return list;
  }();
  return models;
}

const ForwardModel& forward_model(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& model : forward_models()) {
    if (model.name == name) return model;
    known.push_back(model.name);
  }
  unknown_name(name, known);
}

}  // namespace deda::models
