#include "models/registry.h"

#include <array>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "models/classifiers/densenet.h"
#include "models/classifiers/facts.h"
#include "models/classifiers/forward_exported.h"
#include "models/classifiers/resnet.h"
#include "models/classifiers/vision_transformer.h"
#include "models/clip/forward.h"
#include "models/diffusion/forward.h"
#include "models/grounding_dino/forward.h"
#include "models/sam/forward.h"
#include "models/weights/weights.h"

namespace deda::models {
namespace {

struct Maker {
  std::string_view name;
  std::shared_ptr<Classifier> (*make)(const ClassifierOptions& options);
};

// One for each row of classifier_facts, in its order.
constexpr std::array<Maker, classifier_facts.size()> makers{{
    {"resnet18", [](const ClassifierOptions& options) { return make_resnet18(options.classes); }},
    {"resnet50", [](const ClassifierOptions& options) { return make_resnet50(options.classes); }},
    {"densenet121", make_densenet121},
    {"vit_b_16", make_vit_b_16},
}};

constexpr bool every_classifier_has_its_maker() {
  for (std::size_t i = 0; i < makers.size(); ++i) {
    if (makers[i].name != classifier_facts[i].name || makers[i].make == nullptr) return false;
  }
  return true;
}
static_assert(every_classifier_has_its_maker());

void check_pictures(const ClassifierFacts& facts, const ForwardRequest& request,
                    std::vector<Problem>& problems) {
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
  if (!problems.empty()) return;
  if (const auto problem = why_not_sides(facts, input.size(2), input.size(3)); !problem.empty())
    problems.push_back({problem, request.inputs_from, {}});
}

NamedTensors run_classifier(const ClassifierFacts& facts, const ForwardRequest& request) {
  std::vector<Problem> problems;
  check_pictures(facts, request, problems);
  std::shared_ptr<Classifier> network;
  try {
    const auto path = std::filesystem::is_directory(request.weights) ? request.weights / "model.safetensors"
                                                                     : request.weights;
    auto file = read_classifier_file(path);
    ClassifierOptions options;
    // A file of another network has its last layer elsewhere; loading says which it is.
    const std::string head{facts.head};
    if (file.tensors.count(head + ".weight") != 0)
      options.classes = classes_of_head(file.tensors, head, path.string());
    if (problems.empty()) options.side = request.inputs.at("input").size(2);
    network = make_classifier(std::string{facts.name}, options);
    const auto notes = load_classifier(*network, std::move(file), path.string());
    for (const auto& note : notes) {
      if (problems.empty()) log_info("{}: {}", path.string(), note);
    }
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

std::shared_ptr<Classifier> make_classifier(const std::string& name, const ClassifierOptions& options) {
  const auto& facts = facts_of_classifier(name);
  return makers[static_cast<std::size_t>(&facts - classifier_facts.data())].make(options);
}

std::shared_ptr<Classifier> make_classifier(const std::string& name, std::int64_t classes) {
  ClassifierOptions options;
  options.classes = classes;
  return make_classifier(name, options);
}

const std::vector<ForwardModel>& forward_models() {
  static const std::vector<ForwardModel> models = [] {
    std::vector<ForwardModel> list;
    for (const auto& facts : classifier_facts) {
      list.push_back({std::string{facts.name},
                      "`input` [B, 3, H, W] -> `output` [B, classes]; --mode train adds the running "
                      "statistics after the pass",
                      [&facts](const ForwardRequest& request) { return run_classifier(facts, request); }});
    }
    for (auto& model : diffusion_forward_models()) list.push_back(std::move(model));
    for (auto& model : exported_forward_models()) list.push_back(std::move(model));
    list.push_back(sam_forward_model());
    list.push_back(grounding_dino_forward_model());
    list.push_back(clip_forward_model());
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
  unknown_network(name, known);
}

}  // namespace deda::models
