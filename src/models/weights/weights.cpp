#include "models/weights/weights.h"

#include <utility>
#include <vector>

#include "core/error.h"

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

void load_weights(Classifier& network, const std::filesystem::path& path, Head head) {
  load_state(network, read_tensors(path), path.string(),
             head == Head::fresh ? network.head_name() : std::string{});
}

void save_weights(const torch::nn::Module& network, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata) {
  write_tensors(path, state_of(network), metadata);
}

std::int64_t classes_in_file(const std::filesystem::path& path, const std::string& head_name) {
  const io::SafetensorsFile file(path);
  const std::string name = head_name + ".weight";
  const auto& head = file.at(name);
  if (head.shape.size() != 2 || head.shape[0] < 1) {
    throw DataError(
        "tensor " + name + " has shape " + shape_text(head.shape) + ", expected [classes, features]",
        path.string());
  }
  return head.shape[0];
}

}  // namespace deda::models
