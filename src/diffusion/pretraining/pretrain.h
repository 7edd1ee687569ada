// `deda pretrain`: the tiny model of the toy dataset, from scratch. Same architectures, tensor names and
// folder layout as Stable Diffusion 1.5 with LayerDiffuse, small enough to train on two cores and to keep
// beside the code. Three stages, each frozen for the next: autoencoder; transparent encoder and decoder
// (LayerDiffuse section 3.1: the shifted latent must still decode to the same picture); text encoder and UNet
// together, on transparent latents.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/config.h"
#include "diffusion/pretraining/training_stage.h"
#include "io/pictures/image.h"

namespace deda::diffusion {

struct PretrainInput {
  std::vector<io::Image> cdps;  // framed, [resolution, resolution, 4]
  std::vector<std::int32_t> classes;
  std::vector<std::string> class_names;  // "striped beetle"
  std::string noun;                      // what all of them are: "beetle"
};

// The record of a model that is finished with these settings; nothing where there is none.
std::optional<std::vector<StageRecord>> finished_pretraining(const PretrainConfig& config,
                                                             const std::filesystem::path& folder);

// Trains the model in FOLDER.partial, with checkpoints, and moves it to `folder` when it is whole; a finished
// one is left as it is. A stopped or killed run (Stopped) continues when called again. DataError when the
// folder holds anything else. Deterministic: same losses and bytes on the same kind of processor, interrupted
// or not.
std::vector<StageRecord> pretrain(const PretrainInput& input, const PretrainConfig& config,
                                  const std::filesystem::path& folder);

// Repeats the first steps of every stage from the same draws (with the folder's frozen parts before them) and
// holds losses against training.json; checks that the files are those that the record names. Problems in
// words, none when all holds. `again`: a folder in which everything is trained once more, to compare the
// weights.
std::vector<std::string> verify_pretraining(const PretrainInput& input, const std::filesystem::path& folder,
                                            const std::optional<std::filesystem::path>& again);
// The configuration that a model folder was trained with.
PretrainConfig recorded_pretraining(const std::filesystem::path& folder);

}  // namespace deda::diffusion
