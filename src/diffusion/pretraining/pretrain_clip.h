// `deda pretrain --clip`: a tiny CLIP of the toy dataset, from scratch, in the folder layout and with the
// tensor names of the published ones. What it is for: the filters of the generative peers run for real where
// no weights are to be had. One stage, stopped, continued and proven as those of the diffusion model
// (pretrain.h).
//
// Trained on whole pictures whose ground says nothing about the kind, and on pictures without an object,
// against all captions: "... of a NAME" over the classes, and "a photo with(out) a NOUN on it". That is
// CLIP's loss from picture to text; the other direction has no meaning where dozens of pictures share six
// texts. The logit scale stays where CLIP starts it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"
#include "diffusion/pretraining/training_stage.h"
#include "io/pictures/image.h"

namespace deda::diffusion {

struct ClipPretrainConfig {
  std::int64_t seed = 11;
  std::int64_t per_class = 200;  // toy pictures to draw per class; half as many again show no object
  std::int64_t toy_seed = 9002;  // another than toy.seed and pretrain.toy_seed: pictures that nobody has seen
  std::int64_t resolution = 64;  // pixels a side, a multiple of the patch
  std::int64_t steps = 1500, batch = 32;
  double rate = 1.5e-3;
  void describe(ConfigVisitor& v);
};

struct ClipPretrainInput {
  std::vector<io::Image> pictures;       // RGB, of any size
  std::vector<std::int32_t> classes;     // of the same pictures; no_object where there is none
  std::vector<std::string> class_names;  // "striped beetle"
  std::string noun;                      // what all of them are: "beetle"
};
inline constexpr std::int32_t no_object = -1;

// The record of a CLIP that is finished with these settings; nothing where there is none.
std::optional<std::vector<StageRecord>> finished_clip_pretraining(const ClipPretrainConfig& config,
                                                                  const std::filesystem::path& folder);

// Trains it in FOLDER.partial and moves it to `folder` when it is whole, as pretrain() does with the
// diffusion model: a finished one is left as it is, a stopped or killed run (Stopped) continues when called
// again, DataError when the folder holds anything else, same bytes on the same kind of processor, interrupted
// or not.
std::vector<StageRecord> pretrain_clip(const ClipPretrainInput& input, const ClipPretrainConfig& config,
                                       const std::filesystem::path& folder);

// Repeats the first steps and holds losses and files against the record; `again`: a folder in which
// everything is trained once more, to compare the weights. Problems in words, none when all holds.
std::vector<std::string> verify_clip_pretraining(const ClipPretrainInput& input,
                                                 const std::filesystem::path& folder,
                                                 const std::optional<std::filesystem::path>& again);
// The configuration that a folder was trained with.
ClipPretrainConfig recorded_clip_pretraining(const std::filesystem::path& folder);

}  // namespace deda::diffusion
