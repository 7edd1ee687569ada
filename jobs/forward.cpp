// `deda forward`: one named network on tensors from a file, to hold it against the original program.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "comm/c10d/cuda_plugin.h"
#include "jobs/job.h"
#include "models/registry.h"
#include "training/device.h"

namespace deda::jobs {
namespace {

namespace fs = std::filesystem;

struct ForwardOptions {
  std::string model;
  fs::path weights, input, output, layer_diffuse, lora;
  std::string mode = "eval", device = "cpu", dtype = "float32";
  bool tf32 = false;
};

const std::vector<std::pair<std::string, torch::ScalarType>> dtypes = {{"float32", torch::kFloat},
                                                                       {"float64", torch::kDouble},
                                                                       {"bfloat16", torch::kBFloat16},
                                                                       {"float16", torch::kHalf}};

void add_options(CLI::App& app, const std::shared_ptr<ForwardOptions>& options) {
  std::string models;
  for (const auto& model : models::forward_models())
    models += fmt::format("\n  {}: {}", model.name, model.description);
  std::vector<std::string> dtype_names;
  for (const auto& [name, type] : dtypes) dtype_names.push_back(name);
  app.add_option("MODEL", options->model, "network by name:" + models)->required();
  app.add_option(
         "WEIGHTS", options->weights,
         "safetensors file under the original's tensor names, or its folder (diffusers, transformers)")
      ->required();
  app.add_option("--in", options->input, "safetensors file with the input tensors")->required();
  app.add_option("--out", options->output, "safetensors file to write the outputs to")->required();
  app.add_option("--layerdiffuse", options->layer_diffuse,
                 "unet: merge LayerDiffuse's attention weights from this file");
  app.add_option("--lora", options->lora, "unet: merge this LoRA file, at scale 1");
  app.add_option("--mode", options->mode,
                 "eval, or train: batch statistics, and running statistics among the outputs")
      ->check(CLI::IsMember({"eval", "train"}));
  app.add_option("--device", options->device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_option("--dtype", options->dtype, "precision of weights and inputs; outputs are float32")
      ->check(CLI::IsMember(dtype_names));
  app.add_flag("--tf32", options->tf32,
               "with float32 on a GPU: products of matrices and convolutions round their inputs to 11 bits");
}

torch::Device device_named(const std::string& name) {
  if (name == "cpu") return torch::kCPU;
  const auto& cuda = comm::load_cuda_plugin();
  if (cuda.plugin == nullptr || cuda.plugin->device_count() == 0) {
    throw ConfigError(
        "--device cuda cannot be had: " + (cuda.plugin == nullptr ? cuda.reason : "no GPU is visible"),
        "--device", "Run `deda doctor`.");
  }
  return torch::Device(cuda.plugin->device_type(), 0);
}

ExitCode run(JobContext& context, const ForwardOptions& options) {
  context.ranks.agree("the forward pass", [&] {
    if (!context.ranks.is_root()) return;
    const auto& model = models::forward_model(options.model);
    models::ForwardRequest request;
    request.weights = options.weights;
    request.layer_diffuse = options.layer_diffuse;
    request.lora = options.lora;
    request.inputs = models::read_tensors(options.input);
    request.inputs_from = options.input.string();
    request.train_mode = options.mode == "train";
    request.device = device_named(options.device);
    for (const auto& [name, type] : dtypes) {
      if (name == options.dtype) request.dtype = type;
    }
    training::apply_precision(options.tf32 ? training::Precision::tf32 : training::Precision::fp32);
    const auto outputs = model.run(request);
    if (context.options.dry_run) return;
    models::write_tensors(options.output, outputs,
                          {{"model", model.name},
                           {"mode", options.mode},
                           {"device", options.device},
                           {"dtype", options.tf32 ? "tf32" : options.dtype}});
    for (const auto& [name, tensor] : outputs) {
      if (outputs.size() == 1 || tensor.dim() > 1) fmt::print("{} {}\n", name, c10::str(tensor.sizes()));
    }
  });
  return ExitCode::done;
}

}  // namespace

Job make_forward_job() {
  const auto options = std::make_shared<ForwardOptions>();
  return {.name = "forward",
          .summary = "Run one named network on tensors from a file",
          .example = "deda forward resnet18 best.safetensors --in input.safetensors --out output.safetensors",
          .add_options = [options](CLI::App& app) { add_options(app, options); },
          .run = [options](JobContext& context) { return run(context, *options); },
          .takes_config = false};
}

}  // namespace deda::jobs
