// `deda pretrain`: the tiny model of the toy dataset, from scratch. Same architectures, tensor names and
// folder layout as Stable Diffusion 1.5 with LayerDiffuse, small enough to train on two cores and to keep
// beside the code. Three stages, each frozen for the next: autoencoder; transparent encoder and decoder
// (LayerDiffuse section 3.1: the shifted latent must still decode to the same picture); text encoder and UNet
// together, on transparent latents.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "diffusion/config.h"
#include "io/pictures/image.h"

namespace deda::diffusion {

struct PretrainInput {
  std::vector<io::Image> cdps;  // framed, [resolution, resolution, 4]
  std::vector<std::int32_t> classes;
  std::vector<std::string> class_names;  // "striped beetle"
  std::string noun;                      // what all of them are: "beetle"
};

struct StageRecord {
  std::string name;
  std::int64_t parameters = 0, steps = 0;
  double seconds = 0;
  std::vector<double> losses;        // mean over each report_every steps
  std::vector<double> first_losses;  // of the first steps, one by one: what --verify repeats
  double held_out = 0;               // loss on CDPs that were not trained on
};

// Steps between two entries of StageRecord::losses.
inline constexpr std::int64_t report_every = 50;
inline constexpr std::int64_t first_steps = 10;

// Trains and writes the model folder with training.json. Continues nothing: a stopped run starts anew
// (Stopped). Deterministic: same losses and bytes on the same kind of processor.
std::vector<StageRecord> pretrain(const PretrainInput& input, const PretrainConfig& config,
                                  const std::filesystem::path& folder);

// Repeats the first steps of every stage from the same draws (with the folder's frozen parts before them) and
// holds losses against training.json; checks that the files are those that the record names. Problems in
// words, none when all holds. `whole`: trains everything again and compares the weights.
std::vector<std::string> verify_pretraining(const PretrainInput& input, const std::filesystem::path& folder,
                                            bool whole);
// The configuration that a model folder was trained with.
PretrainConfig recorded_pretraining(const std::filesystem::path& folder);

}  // namespace deda::diffusion
