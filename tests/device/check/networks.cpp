// Every network of `deda forward` on the CPU or a GPU, in four precisions, against what the CPU computed in
// float32.
#include <fmt/format.h>

#include <algorithm>

#include "check.h"
#include "comm/c10d/cuda_plugin.h"
#include "core/error.h"
#include "core/files.h"
#include "distance.h"
#include "made_up_networks.h"
#include "models/registry.h"
#include "training/device.h"

namespace deda::check {
namespace {

namespace fs = std::filesystem;

struct Way {
  std::string name;
  at::ScalarType dtype;
  training::Precision precision;
  double limit;  // of ||a - b|| / ||b||, for every output
};

// float32: sums in another order, over up to 53 layers. The others round 2^-11 (TF32, fp16) or 2^-9 (bf16) in
// every layer.
constexpr double cpu_limit = 1e-5;
const std::vector<Way>& ways_on_a_gpu() {
  static const std::vector<Way> ways{{"fp32", at::kFloat, training::Precision::fp32, 5e-5},
                                     {"tf32", at::kFloat, training::Precision::tf32, 1e-2},
                                     {"bf16", at::kBFloat16, training::Precision::fp32, 5e-2},
                                     {"fp16", at::kHalf, training::Precision::fp32, 1e-2}};
  return ways;
}
const std::vector<Way>& ways_on_a_cpu() {
  static const std::vector<Way> ways{{"fp32", at::kFloat, training::Precision::fp32, cpu_limit}};
  return ways;
}

models::NamedTensors run_case(const NetworkCase& one, const Way& way, at::Device device) {
  models::ForwardRequest request;
  request.weights = one.weights;
  request.inputs = one.inputs;
  request.inputs_from = one.name;
  request.device = device;
  request.dtype = way.dtype;
  training::apply_precision(way.precision);
  return models::forward_model(one.model).run(request);
}

bool check_case(const NetworkCase& one, const Way& way, at::Device device,
                const models::NamedTensors& record) {
  const std::string figure = fmt::format("{}, {}", one.name, way.name);
  const std::string goal = fmt::format("at most {:g}", way.limit);
  try {
    const auto outputs = run_case(one, way, device);
    double worst = 0;
    std::string worst_name, others;
    for (const auto& [name, expected] : record) {
      const double error = distance(outputs.at(name), expected).relative;
      const bool counts =
          one.before_choices.empty() || way.name == "fp32" ||
          std::find(one.before_choices.begin(), one.before_choices.end(), name) != one.before_choices.end();
      if (!counts) {
        others += fmt::format("; after the choice, not judged: {} {:.2g}", name, error);
      } else if (worst_name.empty() || !(error <= worst)) {
        worst = error;
        worst_name = name;
      }
    }
    const bool passed = worst <= way.limit;
    print({figure, worst, "relative error", goal, passed, worst_name + others});
    return passed;
  } catch (const std::exception& error) {
    const std::string text = error.what();
    print({figure, "error", {}, goal, false, text.substr(0, text.find('\n'))});
    return false;
  }
}

}  // namespace

Outcome networks(const Arguments& arguments) {
  const fs::path record = arguments.get("record");
  if (record.empty()) throw ConfigError("--record is missing on the command line");
  at::Device device = at::kCPU;
  if (arguments.get("device", "cpu") == "cuda") {
    const auto& cuda = comm::load_cuda_plugin();
    if (cuda.plugin == nullptr) {
      print({"CUDA/NCCL plugin", "not usable", {}, {}, true, cuda.reason});
      return Outcome::no_gpu;
    }
    cuda.plugin->set_device(0);
    device = at::Device(at::kCUDA, 0);
  }
  const auto cases = made_up_networks(
      {arguments.get("golden"), arguments.get("toy"), arguments.get("deeplab"), arguments.get("work")});
  if (arguments.has("write")) {
    make_folder(record);
    // Beside the outputs, so that `deda forward` itself can be called on them.
    const fs::path inputs = arguments.get("inputs");
    if (!inputs.empty()) {
      make_folder(inputs);
      for (const auto& one : cases) models::write_tensors(inputs / (one.name + ".safetensors"), one.inputs);
    }
    for (const auto& one : cases)
      models::write_tensors(record / (one.name + ".safetensors"),
                            run_case(one, ways_on_a_cpu().front(), at::kCPU));
    return Outcome::passed;
  }
  bool passed = true;
  // On a CPU "all" shows what the lower precisions cost there, which the limits on a GPU were chosen by.
  const bool all = !device.is_cpu() || arguments.get("precisions") == "all";
  // All, or those that were named, comma-separated.
  const std::string chosen = "," + arguments.get("only") + ",";
  for (const auto& one : cases) {
    if (chosen != ",," && chosen.find("," + one.name + ",") == std::string::npos) continue;
    const auto expected = models::read_tensors(record / (one.name + ".safetensors"));
    for (const auto& way : all ? ways_on_a_gpu() : ways_on_a_cpu())
      passed = check_case(one, way, device, expected) && passed;
  }
  return passed ? Outcome::passed : Outcome::failed;
}

}  // namespace deda::check
