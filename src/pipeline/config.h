// The whole configuration of a pipeline: one TOML file drives every subcommand, each uses its sections.
#pragma once

#include "augment/config.h"
#include "core/config.h"
#include "data/dataset.h"
#include "data/toy.h"
#include "decoupling/config.h"
#include "diffusion/config.h"
#include "diffusion/tuning/config.h"
#include "training/config.h"

namespace deda::pipeline {

struct RunConfig {
  std::string name = "run";
  std::filesystem::path output = "runs";
  std::int64_t seed = 1;
  std::int64_t threads = 0;  // worker threads per rank; 0: the cores of this rank's share of the node
  double time_limit_s = 0;   // stop well after that many seconds; 0: none but the scheduler's
  void describe(ConfigVisitor& v) {
    v.field({.key = "name", .help = "name for people, used in reports"}, name);
    v.field({.key = "output", .help = "folder under which every stage makes its own"}, output);
    v.field({.key = "seed", .help = "seed of every random number of the run"}, seed);
    v.field({.key = "threads",
             .help = "worker threads per rank; 0: this rank's share of the node's cores",
             .min = 0},
            threads);
    v.field({.key = "time_limit_s",
             .help = "stop well (exit 75) after that many seconds; 0: only the scheduler's limit",
             .min = 0},
            time_limit_s);
  }
};

struct PipelineConfig {
  RunConfig run;
  data::ToyConfig toy;
  data::DatasetConfig dataset;
  decoupling::DecoupleConfig decouple;
  diffusion::ModelsConfig models;
  diffusion::DiffusionConfig diffusion;
  diffusion::InvertConfig invert;
  diffusion::TuneConfig tune;
  diffusion::GenerateConfig generate;
  diffusion::PretrainConfig pretrain;
  augment::AugmentConfig augment;
  training::TrainConfig train;
  void describe(ConfigVisitor& v) {
    v.section("run", "What is common to all stages", run);
    v.section("toy", "The toy dataset that `deda toy` draws", toy);
    v.section("dataset", "Where the pictures are and how they are laid out", dataset);
    v.section("decouple", "Images into CDP and CIP records (paper section 3.1)", decouple);
    v.section("models", "The diffusion model's files", models);
    v.section("diffusion", "What identifiers and synthetic CDPs have in common (paper section 3.2)",
              diffusion);
    v.section("invert",
              "One identifier per class by truncated-timestep textual inversion (paper section 3.2.1)",
              invert);
    v.section("tune", "The model that Diff-Mix edits with: a LoRA and a word per class", tune);
    v.section("generate", "Synthetic CDPs by SDEdit (paper section 3.2.2), or the edits of a generative peer",
              generate);
    v.section("pretrain", "The toy dataset's tiny diffusion model", pretrain);
    v.section("augment", "Online randomized combination (paper section 3.3)", augment);
    v.section("train", "Classifier training (paper section 4.1)", train);
  }
};

}  // namespace deda::pipeline
