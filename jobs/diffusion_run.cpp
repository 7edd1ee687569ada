#include "jobs/diffusion_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "decoupling/decouple.h"
#include "device/kernels.h"
#include "diffusion/model.h"
#include "models/autoencoder.h"
#include "models/unet.h"
#include "training/device.h"

namespace deda::jobs {
namespace {

namespace fs = std::filesystem;

// Raised when the meaning of the results changes.
constexpr int invert_schema = 1, generate_schema = 1;

std::int64_t model_resolution(const diffusion::ModelsConfig& models) {
  return models::read_unet_config(models.base / "unet" / "config.json").sample_size *
         models::read_autoencoder_config(models.base / "vae" / "config.json").factor();
}

}  // namespace

DiffusionRun plan_diffusion_run(const PipelineConfig& config, const data::Dataset& dataset) {
  DiffusionRun run;
  const std::string real = decoupling::decouple_identity(dataset, config.decouple);
  run.store =
      config.train.store.empty() ? stage_folder(config.run.output, "decouple", real) : config.train.store;
  run.model_identity = diffusion::model_identity(config.models);
  run.is_sdxl = diffusion::has_two_text_encoders(config.models);
  run.transparency = diffusion::choose_transparency(config.models, config.diffusion, config.generate,
                                                    run.is_sdxl, run.model_identity);
  run.resolution =
      config.diffusion.resolution > 0 ? config.diffusion.resolution : model_resolution(config.models);
  const std::string store =
      config.train.store.empty() ? real : fs::weakly_canonical(config.train.store).string();
  const std::string common =
      fmt::format("{}\n{}\n{}\n{}\n", canonical_config(config, {"models", "diffusion"}), store,
                  data::dataset_identity(dataset), run.resolution);
  const std::string inverted_model =
      config.invert.unet == diffusion::InvertUNet::merged
          ? run.model_identity
          : diffusion::model_identity(config.models, diffusion::UNetWeights::plain);
  run.invert_identity =
      fmt::format("schema {}\n{}{}\n{}\ngain {}\ntmax {}", invert_schema, common,
                  canonical_config(config, {"invert"}), inverted_model, run.transparency.offset_gain,
                  diffusion::most_timestep(config.diffusion, config.invert));
  const std::string identifiers = config.generate.identifier == diffusion::IdentifierChoice::learned
                                      ? run.invert_identity
                                      : fmt::format("{}\ngain {}", common, run.transparency.offset_gain);
  run.generate_identity = fmt::format("schema {}\n{}\n{}\n{}\nscaled {}\nstrength {}", generate_schema,
                                      identifiers, canonical_config(config, {"generate"}), run.model_identity,
                                      run.transparency.scaled_latent, config.diffusion.strength);
  run.identifiers = stage_folder(config.run.output, "invert", run.invert_identity);
  run.synthetic = stage_folder(config.run.output, "generate", run.generate_identity);
  return run;
}

DiffusionMachine plan_diffusion_machine(const JobContext& context) {
  DiffusionMachine machine;
  machine.place = device::choose(context.ranks, context.config.models.device, "models.device");
  training::apply_torch_threads(1);
  training::apply_precision(training::Precision::fp32);
  if (machine.place.plugin != nullptr) {
    diffusion::allow_tf32(context.config.models, machine.place.device);
    device::use_reproducible_kernels();
    return machine;
  }
  const auto threads = context.config.run.threads;
  machine.workers = std::max(1, threads > 0 ? static_cast<int>(threads) : machine.place.cores);
  return machine;
}

}  // namespace deda::jobs
