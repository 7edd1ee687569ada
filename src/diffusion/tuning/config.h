// Section [tune]: a LoRA of the UNet's attention and one word per class, learnt together from whole pictures.
// Header only and without Torch, as diffusion/config.h. Defaults are Diff-Mix's (scripts/finetune.sh,
// train_lora.py), whose eight pictures per step are two on each of four GPUs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"

namespace deda::diffusion {

// Where the square of a picture that is not square comes from.
enum class TuneCrop : std::uint8_t { random, center, squash };
enum class TuneNan : std::uint8_t { retry_lower_rate, fail };

struct TuneConfig {
  std::int64_t rank = 10;
  double alpha = 0;
  std::int64_t steps = 35000, batch = 8, micro_batch = 2;
  double learning_rate = 5e-5, token_learning_rate = 5e-5, weight_decay = 1e-2, max_grad_norm = 1.0;
  std::string super_class = "auto", init_word = "ktn";
  std::int64_t resolution = 224;
  TuneCrop crop = TuneCrop::random;
  std::int64_t crop_positions = 0;
  double flip = 0.5;
  TuneNan nan = TuneNan::retry_lower_rate;
  std::int64_t nan_retries = 2;
  std::int64_t checkpoint_every = 500, report_every = 50, cache_megabytes = 2048;
  void describe(ConfigVisitor& v) {
    v.field({.key = "rank", .help = "of the LoRA matrices (Diff-Mix: 10)", .min = 1, .max = 1024}, rank);
    v.field({.key = "alpha",
             .help = "alpha / rank is the factor of what the LoRA adds; 0: the rank, which is factor 1",
             .min = 0,
             .max = 1e6},
            alpha);
    v.field({.key = "steps", .help = "optimiser steps (Diff-Mix: 35000)", .min = 1, .max = 1e7}, steps);
    v.field({.key = "batch",
             .help = "pictures per step over all ranks (Diff-Mix: 2 on each of 4 GPUs)",
             .min = 1,
             .max = 4096},
            batch);
    v.field({.key = "micro_batch",
             .help = "pictures per forward pass; ranks share the passes of a step, so that results do not "
                     "depend on their number",
             .min = 1,
             .max = 4096},
            micro_batch);
    v.field({.key = "learning_rate", .help = "of the LoRA's AdamW", .min = 0, .max = 1}, learning_rate);
    v.field({.key = "token_learning_rate", .help = "of the words' AdamW", .min = 0, .max = 1},
            token_learning_rate);
    v.field({.key = "weight_decay", .help = "of both", .min = 0, .max = 1}, weight_decay);
    v.field({.key = "max_grad_norm",
             .help = "largest norm of the LoRA's gradient, to which it is scaled down; words are not "
                     "clipped; 0: nothing is",
             .min = 0,
             .max = 1e6},
            max_grad_norm);
    v.field({.key = "super_class",
             .help = "word behind a class's own in captions (bird, aircraft, car); auto: as in the "
                     "prompts of generation (generate.diff-mix.noun); empty: none"},
            super_class);
    v.field({.key = "init_word", .help = "word whose embedding every class's word starts from"}, init_word);
    v.field({.key = "resolution",
             .help = "pixels a side, a multiple of the pixels of one latent",
             .min = 8,
             .max = 2048},
            resolution);
    v.choice({.key = "crop",
              .help = "random: the shorter side to the resolution, then a square at a random place; center: "
                      "in the middle; squash: the whole picture, aspect ratio not kept"},
             crop,
             {{"random", TuneCrop::random}, {"center", TuneCrop::center}, {"squash", TuneCrop::squash}});
    v.field({.key = "crop_positions",
             .help = "places that a random square may have, evenly spread, so that latents can be kept; 0: "
                     "every pixel",
             .min = 0,
             .max = 2048},
            crop_positions);
    v.field({.key = "flip", .help = "probability that a picture is mirrored", .min = 0, .max = 1}, flip);
    v.choice(
        {.key = "nan", .help = "when a loss is not a number: begin again at a tenth of the rates, or end"},
        nan, {{"retry_lower_rate", TuneNan::retry_lower_rate}, {"fail", TuneNan::fail}});
    v.field({.key = "nan_retries", .help = "how often is begun again", .min = 0, .max = 10}, nan_retries);
    v.field({.key = "checkpoint_every", .help = "steps between checkpoints", .min = 1, .max = 1e7},
            checkpoint_every);
    v.field({.key = "report_every", .help = "steps between points of the loss curve", .min = 1, .max = 1e7},
            report_every);
    v.field({.key = "cache_megabytes",
             .help = "memory for kept latents per rank; what does not fit is encoded whenever it is wanted",
             .min = 0,
             .max = 1 << 20},
            cache_megabytes);
  }
};

}  // namespace deda::diffusion
