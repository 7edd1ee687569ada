#include "models/weights/weights.h"

#include <utility>
#include <vector>

#include "core/error.h"
#include "models/classifiers/vision_transformer.h"

namespace deda::models {
namespace {

constexpr std::string_view optional_buffer = "num_batches_tracked";

bool is_optional(const std::string& name) {
  return name.size() >= optional_buffer.size() &&
         name.compare(name.size() - optional_buffer.size(), optional_buffer.size(), optional_buffer) == 0;
}

bool starts_with(const std::string& name, const std::string& prefix) {
  return !prefix.empty() && name.rfind(prefix + ".", 0) == 0;
}

// `own`: of the network, whose tensors are called like `example`.
void require_network(const RenamedTensors& file, const ClassifierLook& own, const std::string& example,
                     const std::string& where) {
  if (own.network.empty() || own.network == file.look.network) return;
  if (!file.look.network.empty()) {
    const std::string whose = file.look.names + (file.look.names.back() == 's' ? "'" : "'s");
    throw DataError(
        "holds " + file.look.network + " under " + whose + " names, the network is " + own.network, where,
        "Set train.network to what the file holds, or name another file.");
  }
  constexpr std::size_t most_named = 3;
  std::string names;
  std::size_t count = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (++count > most_named) break;
    names += (count > 1 ? ", " : "") + name;
  }
  throw DataError(
      "holds no classifier that is known here: its tensors are called " + names +
          (file.tensors.size() > most_named ? ", ..." : "") + "; those of " + own.network +
          " would be called like " + example,
      where, "Files of torchvision's networks, and timm's and transformers' Vision Transformers, are read.");
}

// Positions for as many places as the network has.
void fit_positions(RenamedTensors& file, const NamedTensors& own) {
  constexpr const char* name = "encoder.pos_embedding";
  const auto target = own.find(name);
  const auto found = file.tensors.find(name);
  if (target == own.end() || found == file.tensors.end()) return;
  const auto from = places_a_side(found->second), to = places_a_side(target->second);
  if (from == 0 || from == to || found->second.size(2) != target->second.size(2)) return;
  found->second = resized_positions(found->second, to);
  file.notes.push_back("its positions, for " + std::to_string(from) + " x " + std::to_string(from) +
                       " patches, are resized to " + std::to_string(to) + " x " + std::to_string(to));
}

}  // namespace

NamedTensors state_of(const torch::nn::Module& network) {
  NamedTensors state;
  for (const auto& entry : network.named_parameters()) state.emplace(entry.key(), entry.value());
  for (const auto& entry : network.named_buffers()) state.emplace(entry.key(), entry.value());
  return state;
}

void load_state(torch::nn::Module& network, const NamedTensors& tensors, const std::string& where,
                const std::string& skipped_prefix) {
  std::vector<Problem> problems;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;
  const auto state = state_of(network);
  for (const auto& [name, target] : state) {
    if (starts_with(name, skipped_prefix)) continue;
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      if (!is_optional(name))
        problems.push_back({"tensor " + name + " " + shape_text(target.sizes()) + " is missing", where, {}});
      continue;
    }
    const bool head_differs =
        found->second.dim() == target.dim() && target.dim() >= 1 && found->second.size(0) != target.size(0);
    if (found->second.sizes() != target.sizes()) {
      problems.push_back({"tensor " + name + " has shape " + shape_text(found->second.sizes()) +
                              ", the network needs " + shape_text(target.sizes()),
                          where,
                          head_differs ? "If this is the last layer of another class count, ask for a fresh "
                                         "head (train.weights_head = \"fresh\")."
                                       : ""});
      continue;
    }
    copies.emplace_back(target, found->second);
  }
  for (const auto& [name, tensor] : tensors) {
    if (state.count(name) == 0 && !starts_with(name, skipped_prefix)) {
      problems.push_back(
          {"tensor " + name + " " + shape_text(tensor.sizes()) + " is not part of the network", where, {}});
    }
  }
  if (!problems.empty()) throw DataError(std::move(problems));
  torch::NoGradGuard no_gradients;
  for (auto& [target, source] : copies) target.copy_(source);
}

RenamedTensors read_classifier_file(const std::filesystem::path& path) {
  return in_torchvisions_names(read_tensors(path), path.string());
}

std::vector<std::string> load_weights(Classifier& network, const std::filesystem::path& path, Head head) {
  return load_classifier(network, read_classifier_file(path), path.string(), head);
}

std::vector<std::string> load_classifier(Classifier& network, RenamedTensors file, const std::string& where,
                                         Head head) {
  const auto own = state_of(network);
  require_network(file, look_of(own), own.begin()->first, where);
  fit_positions(file, own);
  load_state(network, file.tensors, where, head == Head::fresh ? network.head_name() : std::string{});
  return std::move(file.notes);
}

void save_weights(const torch::nn::Module& network, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata) {
  write_tensors(path, state_of(network), metadata);
}

std::int64_t classes_of_head(const NamedTensors& tensors, const std::string& head_name,
                             const std::string& where) {
  const std::string name = head_name + ".weight";
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw DataError("tensor " + name + " [classes, features] is missing", where);
  const auto& head = found->second;
  if (head.dim() != 2 || head.size(0) < 1)
    throw DataError(
        "tensor " + name + " has shape " + shape_text(head.sizes()) + ", expected [classes, features]",
        where);
  return head.size(0);
}

}  // namespace deda::models
