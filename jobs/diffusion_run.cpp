#include "jobs/diffusion_run.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "device/kernels.h"
#include "diffusion/model.h"
#include "pipeline/settings.h"
#include "training/device.h"

namespace deda::jobs {
DiffusionRun plan_diffusion_run(const JobContext& context, pipeline::Stage target) {
  using pipeline::Stage;
  const auto config = pipeline::effective(context.config);
  DiffusionRun run;
  run.plan = make_plan(context, target);
  if (const auto* parts = run.plan.find(Stage::decouple)) run.store = parts->folder;
  if (const auto* identifiers = run.plan.find(Stage::invert)) run.identifiers = identifiers->folder;
  if (const auto* synthetic = run.plan.find(Stage::generate)) run.synthetic = synthetic->folder;
  run.model_identity = run.plan.at(target).inputs.at("model");
  if (pipeline::uses_edits(config)) {  // neither transparency nor a store
    run.transparency = {0, false, "whole pictures have none"};
    for (const auto& setting : run.plan.at(target).settings) {
      if (setting.key == "diffusion.resolution")
        run.resolution = nlohmann::json::parse(setting.json).get<std::int64_t>();
    }
    return run;
  }
  std::string settled;  // rank 0 alone reads what belongs to the weights
  context.ranks.agree("settling the model's switches", [&] {
    if (!context.ranks.is_root()) return;
    run.is_sdxl = diffusion::has_two_text_encoders(config.models);
    run.resolution = config.diffusion.resolution > 0 ? config.diffusion.resolution
                                                     : diffusion::model_resolution(config.models);
    run.transparency = diffusion::choose_transparency(config.models, config.diffusion, config.generate,
                                                      run.is_sdxl, diffusion::model_identity(config.models));
    settled = nlohmann::json{{"is_sdxl", run.is_sdxl},
                             {"resolution", run.resolution},
                             {"offset_gain", run.transparency.offset_gain},
                             {"scaled_latent", run.transparency.scaled_latent},
                             {"reason", run.transparency.reason}}
                  .dump();
  });
  const auto known = nlohmann::json::parse(context.ranks.broadcast(std::move(settled)));
  run.is_sdxl = known.at("is_sdxl");
  run.resolution = known.at("resolution");
  run.transparency = {known.at("offset_gain"), known.at("scaled_latent"), known.at("reason")};
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
