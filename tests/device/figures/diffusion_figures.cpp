// Stable Diffusion 1.5 with random weights, loaded as the program loads it. The order is that of importance:
// what does not fit into the time is at the end.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <fmt/format.h>

#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "device/figures/diffusion_parts.h"
#include "device/figures/model_folder.h"
#include "device/figures/subcommands.h"
#include "models/classifiers/classifier.h"
#include "models/layers.h"
#include "support/temporary_folder.h"
#include "training/device.h"

namespace deda::figures {
namespace {

struct Sizes {
  std::vector<std::int64_t> unet_rows, cdps;
  std::int64_t usual_rows, usual_cdps, inversion_batch, pictures;
};
Sizes sizes_of(bool small) {
  if (small)
    return {.unet_rows = {4, 2},
            .cdps = {1},
            .usual_rows = 4,
            .usual_cdps = 2,
            .inversion_batch = 4,
            .pictures = 2};
  return {.unet_rows = {24, 48, 8, 2},
          .cdps = {4, 16},
          .usual_rows = 24,
          .usual_cdps = 8,
          .inversion_batch = 32,
          .pictures = 4};
}

std::shared_ptr<diffusion::DiffusionModel> load_model(const Workbench& bench,
                                                      const std::filesystem::path& given) {
  std::optional<test::TemporaryFolder> made;
  diffusion::ModelsConfig config;
  config.base = given;
  config.precision = diffusion::Precision::bf16;
  if (given.empty()) {
    made.emplace();
    config.base = made->path();
    const double seconds = bench::seconds_of([&] {
      write_model_folder(config.base, bench.small() ? tiny_shape() : published_shape(), bench.device());
    });
    print({"diffusion.model.made", seconds, "s"});
  }
  std::shared_ptr<diffusion::DiffusionModel> model;
  const double seconds = bench::seconds_of([&] {
    model = std::make_shared<diffusion::DiffusionModel>(config, bench.device());
    bench.synchronize();
  });
  print({"diffusion.model.loaded", seconds, "s", {}, model->lines.back()});
  return model;
}

class DiffusionFigures {
 public:
  DiffusionFigures(const Workbench& bench, const Rates& rates,
                   std::shared_ptr<diffusion::DiffusionModel> model)
      : bench_{bench}, sizes_{sizes_of(bench.small())}, parts_{bench, std::move(model), rates} {}

  void print() {
    use_tf32(parts_, bench_.on_gpu());  // the autoencoder's products, as the program has them on a GPU
    // What takes the program's time, then whether its other ways of running are better.
    print_unet_step(parts_, sizes_.unet_rows.front());
    print_inversion(parts_, sizes_.inversion_batch);
    // What SDEdit is made of besides the UNet, before SDEdit itself, which takes seconds a call.
    print_autoencoder("");
    print_latent_edit(parts_, sizes_.usual_cdps);
    print_edit(parts_, sizes_.usual_cdps, 1);
    print_equal_bytes();
    print_edit(parts_, sizes_.usual_cdps, 2);
    if (bench_.on_gpu()) print_graphs();
    print_padded_heads();
    print_other_batches();
    print_finest_attention(bench_);
    print_other_autoencoders();
    print_other_order();
    print_autotuned();
    print_other_type();
    print_other_attention(bench_);
    print_with_branches();
    print_copy_rates(bench_, "diffusion");
  }

 private:
  // Kernels recorded as a graph.
  void print_graphs() {
    print_unet_graph(parts_, sizes_.usual_rows);
    auto& graphs = parts_.model->captured_graphs;
    const bool as_loaded = std::exchange(graphs, true);
    print_edit(parts_, sizes_.usual_cdps, 1, ".graph");
    graphs = as_loaded;
  }

  // Only on a GPU is anything padded.
  void print_padded_heads() {
    if (!bench_.on_gpu()) return;
    models::pad_attention_heads(true);
    print_unet_step(parts_, sizes_.usual_rows, ".padded_heads");
    print_inversion(parts_, sizes_.inversion_batch, ".padded_heads");
    models::pad_attention_heads(false);
  }

  // Kernels that give the same bytes every time, as `deda invert` asks for.
  void print_equal_bytes() {
    ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    auto& context = at::globalContext();
    context.setDeterministicFillUninitializedMemory(false);
    context.setDeterministicCuDNN(true);
    context.setDeterministicAlgorithms(true, /*warn_only=*/true);
    print_gradients_twice(parts_, sizes_.inversion_batch, ".equal_bytes");
    print_inversion(parts_, sizes_.inversion_batch, ".equal_bytes");
    context.setDeterministicAlgorithms(false, /*warn_only=*/false);
    context.setDeterministicCuDNN(false);
  }

  void print_other_batches() {
    for (const auto rows : sizes_.unet_rows) {
      if (rows == sizes_.usual_rows) continue;
      print_unet_step(parts_, rows);
      if (bench_.on_gpu()) print_unet_graph(parts_, rows);
    }
    for (const auto cdps : sizes_.cdps) print_edit(parts_, cdps, 1);
  }

  void print_autoencoder(const std::string& variant) {
    print_encoding(parts_, sizes_.pictures, variant);
    print_decoding(parts_, sizes_.pictures, variant);
    print_transparent_decoding(parts_, sizes_.pictures, variant);
  }

  // Dearer and cheaper than the program's own choice.
  void print_other_autoencoders() {
    if (bench_.on_gpu()) {
      use_tf32(parts_, false);
      print_autoencoder("");
      use_tf32(parts_, true);
    }
    set_autoencoder_type(*parts_.model, at::kBFloat16);
    print_autoencoder("");
    print_edit(parts_, sizes_.usual_cdps, 1, ".autoencoder_bf16");
    print_edit(parts_, sizes_.usual_cdps, 2, ".autoencoder_bf16");
  }

  // The order in memory that the program does not choose.
  void print_other_order() {
    const auto& model = *parts_.model;
    const bool as_loaded = is_channels_last(*model.unet), other = !as_loaded;
    const std::vector<torch::nn::Module*> networks{model.unet.get(), model.autoencoder.get(),
                                                   model.transparent_encoder.get(),
                                                   model.transparent_decoder.get()};
    for (auto* network : networks) use_order(*network, other);
    const std::string variant = other ? ".channels_last" : ".plain_order";
    for (const auto rows : sizes_.unet_rows) print_unet_step(parts_, rows, variant);
    print_autoencoder(variant);
    print_inversion(parts_, sizes_.inversion_batch, variant);
    print_edit(parts_, sizes_.usual_cdps, 1, ".autoencoder_bf16" + variant);
    for (auto* network : networks) use_order(*network, as_loaded);
  }

  // Kernels chosen by trial.
  void print_autotuned() {
    at::globalContext().setBenchmarkCuDNN(true);
    print_unet_step(parts_, sizes_.usual_rows, ".autotuned");
    print_autoencoder(".autotuned");
    at::globalContext().setBenchmarkCuDNN(false);
  }

  void print_other_type() {
    // Convolutions in fp16 are a matter for GPUs.
    set_unet_type(*parts_.model, bench_.on_gpu() ? at::kHalf : at::kFloat);
    for (const auto rows : sizes_.unet_rows) print_unet_step(parts_, rows);
    print_inversion(parts_, sizes_.inversion_batch);
    print_latent_edit(parts_, sizes_.usual_cdps);
    set_unet_type(*parts_.model, at::kBFloat16);
  }

  void print_with_branches() {
    add_transparency_branches(parts_);
    print_unet_step(parts_, sizes_.usual_rows, ".branches");
    print_inversion(parts_, sizes_.inversion_batch, ".branches");
    print_latent_edit(parts_, sizes_.usual_cdps, ".branches");
  }

  const Workbench& bench_;
  Sizes sizes_;
  DiffusionBench parts_;
};

}  // namespace

int print_diffusion_figures(const Options& options) {
  const Workbench bench(options);
  training::apply_precision(training::Precision::fp32);  // as jobs/diffusion_run.cpp
  const auto rates = print_rates(bench, "diffusion");
  std::shared_ptr<diffusion::DiffusionModel> model;
  bench.attempt("diffusion.model.loaded", [&] { model = load_model(bench, options.model); });
  if (!model) return 1;
  DiffusionFigures(bench, rates, model).print();
  return 0;
}

}  // namespace deda::figures
