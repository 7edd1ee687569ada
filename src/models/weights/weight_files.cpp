#include "models/weights/weight_files.h"

#include <algorithm>

#include "core/parallel.h"
#include "models/weights/tensor_file.h"
#include "models/weights/weight_paths.h"
#include "models/weights/weights.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;

// More do not make the memory faster, and other ranks of the host load too.
constexpr int most_threads = 8;

// Where a tensor of the network lies: the part-th of equal parts of a file's tensor.
struct Source {
  const io::TensorView* view = nullptr;
  std::int64_t part = 0;
};

std::vector<std::int64_t> packed_shape(at::IntArrayRef shape, std::int64_t parts) {
  auto packed = shape.vec();
  if (!packed.empty()) packed[0] *= parts;
  return packed;
}

bool fits(at::IntArrayRef wanted, const std::vector<std::int64_t>& found) {
  if (wanted == at::IntArrayRef(found)) return true;
  return wanted.size() == 2 && found.size() == 4 && found[2] == 1 && found[3] == 1 && wanted[0] == found[0] &&
         wanted[1] == found[1];
}

void note_overflow(const std::string& name, const at::Tensor& tensor, const std::string& where,
                   std::vector<Problem>& problems) {
  if (!tensor.is_floating_point() || at::isfinite(tensor).all().item<bool>()) return;
  problems.push_back({"tensor " + name + " holds numbers that " + c10::toString(tensor.scalar_type()) +
                          " cannot (infinite or not a number)",
                      where,
                      tensor.scalar_type() == at::kHalf
                          ? "Use bf16 or fp32 for this part, or the fixed fp16 weights."
                          : "The file is damaged."});
}

}  // namespace

WeightFiles open_weight_files(const fs::path& folder_or_file, const std::string& stem) {
  WeightFiles opened;
  opened.where = folder_or_file.string();
  std::vector<Problem> problems;
  for (const auto& path : weight_paths(folder_or_file, stem)) {
    try {
      opened.files.emplace_back(path);
    } catch (const Error& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  }
  if (!problems.empty()) throw DataError(std::move(problems));
  return opened;
}

void load_weight_files(torch::nn::Module& network, const WeightFiles& files, const Rename& rename) {
  load_packed_weight_files(network, files, [&](const std::string& name) -> std::vector<std::string> {
    auto ours = rename ? rename(name) : name;
    if (ours.empty()) return {};
    return {std::move(ours)};
  });
}

void load_packed_weight_files(torch::nn::Module& network, const WeightFiles& files, const Spread& spread) {
  std::vector<Problem> problems;
  const auto state = state_of(network);
  std::map<std::string, Source> sources;
  for (const auto& file : files.files) {
    for (const auto& [name, view] : file.tensors()) {
      const auto targets = spread(name);
      const auto parts = static_cast<std::int64_t>(targets.size());
      for (std::int64_t part = 0; part < parts; ++part) {
        const auto& ours = targets[static_cast<std::size_t>(part)];
        const auto target = state.find(ours);
        const auto wanted =
            target == state.end() ? std::vector<std::int64_t>{} : packed_shape(target->second.sizes(), parts);
        if (target == state.end()) {
          problems.push_back({"tensor " + name + " " + shape_text(view.shape) + " is not part of the network",
                              file.path().string(),
                              {}});
        } else if (!fits(wanted, view.shape)) {
          problems.push_back({"tensor " + name + " has shape " + shape_text(view.shape) +
                                  ", the network needs " + shape_text(wanted),
                              file.path().string(),
                              {}});
        } else if (!sources.emplace(ours, Source{&view, part}).second) {
          problems.push_back({"tensor " + name + " is there twice", file.path().string(), {}});
        } else {
          continue;
        }
        for (const auto& each : targets) sources[each] = {};  // told once: not missing as well
        break;
      }
    }
  }
  for (const auto& [name, target] : state) {
    if (sources.count(name) == 0)
      problems.push_back(
          {"tensor " + name + " " + shape_text(target.sizes()) + " is missing", files.where, {}});
  }
  if (!problems.empty()) throw DataError(std::move(problems));
  // Tensor by tensor on several threads: one alone takes seconds to read, convert and check gigabytes.
  struct Filled {
    const std::string* name;
    const Source* source;
    std::vector<Problem> problems;
  };
  std::vector<Filled> all;
  for (const auto& [name, source] : sources) all.push_back({&name, &source, {}});
  const auto threads = std::min(usable_cores(), most_threads);
  parallel_for(threads, 0, all.size(), 1, [&](std::size_t i) {
    const torch::NoGradGuard no_gradients;  // a setting of the thread
    auto& each = all[i];
    auto target = state.at(*each.name);
    const auto whole = to_tensor(*each.source->view).flatten();
    target.copy_(whole.narrow(0, each.source->part * target.numel(), target.numel()).reshape(target.sizes()));
    note_overflow(*each.name, target, files.where, each.problems);
  });
  for (auto& each : all)  // in the order of the names, whoever was first
    problems.insert(problems.end(), each.problems.begin(), each.problems.end());
  if (!problems.empty()) throw DataError(std::move(problems));
}

void convert_weights(torch::nn::Module& network, at::ScalarType type, const std::string& where) {
  network.to(type);
  std::vector<Problem> problems;
  for (const auto& [name, tensor] : state_of(network)) note_overflow(name, tensor, where, problems);
  if (!problems.empty()) throw DataError(std::move(problems));
}

std::vector<std::int64_t> shape_in(const WeightFiles& files, const std::string& name) {
  for (const auto& file : files.files) {
    if (file.contains(name)) return file.at(name).shape;
  }
  return {};
}

}  // namespace deda::models
