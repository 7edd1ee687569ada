// The stage `deda tune`: a LoRA of the UNet's attention and one word per class, learnt together from whole
// pictures (Diff-Mix, train_lora.py). Data-parallel over ranks; continued after stops and kills with the same
// bytes at the same number of ranks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "core/provenance.h"
#include "diffusion/model.h"
#include "diffusion/tuning/picture_source.h"
#include "diffusion/tuning/tuner.h"
#include "diffusion/tuning/tuning_record.h"

namespace deda::diffusion {

struct TuneRequest {
  const PictureSource& pictures;
  TuneSettings settings;
  std::filesystem::path folder;
  Provenance made_of;          // with the stage's key (src/pipeline)
  std::string model_identity;  // of the model that load_model gives
  int workers = 1;             // on CPUs: passes of this rank at a time, each in a thread on one core
  // Called once, if there is work. Nobody else may use the model's UNet while the stage runs.
  std::function<std::shared_ptr<const DiffusionModel>()> load_model;
  std::function<void(std::int64_t step)> on_step{};  // after every step; may be empty
};

// Collective. True when all was there already; the record tells the outcome, which may be failed (numbers
// that were not finite in every try). Throws Stopped after a signal or deadline, with the state saved;
// ModelError for bad numbers when tune.nan = "fail"; ConfigError and DataError for settings and pictures.
//
// Leaves unet_lora.safetensors (models.lora takes it, and diffusers), CLASS.safetensors and identifiers.json
// (Identifiers reads them), tuning.csv, events-<rank>.jsonl, and last tuning.json.
bool tune(const comm::Communicator& ranks, const TuneRequest& request);

// Writes the first `steps` steps as step-NNNNNN.safetensors, from the beginning, on this rank alone and
// without touching the stage's folder.
void trace_tuning(const DiffusionModel& model, const PictureSource& pictures, const TuneSettings& settings,
                  const std::filesystem::path& folder, std::int64_t steps);

}  // namespace deda::diffusion
