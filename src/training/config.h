// Section [train] of the configuration. Defaults are Recipe A of the paper (section 4.1, Table 7): ResNet-18
// from scratch, 300 epochs, batch 16, SGD with Nesterov momentum, learning rate 0.01 cut to a tenth at epochs
// 150 and 225. No Torch here, so that builds without it still read, print and hash the whole configuration.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/device_choice.h"
#include "models/classifiers/facts.h"

namespace deda::training {

enum class ScheduleKind : std::uint8_t { step, cosine };
enum class MemoryOrder : std::uint8_t { automatic, plain, channels_last };
enum class Precision : std::uint8_t { fp32, tf32, bf16 };
enum class Kernels : std::uint8_t { reproducible, fastest };
enum class WeightsHead : std::uint8_t { keep, fresh };
// automatic: what the dataset's layout says (pipeline::effective decides); alone it is single_label.
enum class ObjectiveChoice : std::uint8_t { automatic, single_label, multi_label };

struct TrainConfig {
  std::string network = "resnet18";
  std::filesystem::path weights;  // empty: from scratch
  WeightsHead weights_head = WeightsHead::keep;
  std::filesystem::path store;  // empty: the store that `deda decouple` makes from the same configuration
  std::string synthetic_store;  // empty: the store that `deda generate` makes; "none": no synthetic CDPs

  std::int64_t epochs = 300;
  std::int64_t batch_size = 16;  // over all ranks together
  double learning_rate = 0.01;
  double momentum = 0.9;
  bool nesterov = true;
  double weight_decay = 5e-4;
  ScheduleKind schedule = ScheduleKind::step;
  std::vector<std::int64_t> milestones = {150, 225};
  double decay = 0.1;
  double minimum_learning_rate = 1e-9;
  double label_smoothing = 0.0;
  ObjectiveChoice objective = ObjectiveChoice::automatic;

  double held_out = 0;
  std::int64_t held_out_seed = 1;

  std::int64_t evaluate_every = 1;
  std::int64_t evaluation_batch = 16;
  std::int64_t checkpoint_every = 1;
  std::int64_t keep_checkpoints = 2;
  bool keep_finished_checkpoints = false;

  DeviceChoice device = DeviceChoice::automatic;
  Precision precision = Precision::fp32;
  MemoryOrder memory_order = MemoryOrder::automatic;
  Kernels kernels = Kernels::reproducible;
  bool recompute_concatenations = false;
  bool captured_graphs = false;
  std::int64_t torch_threads = 0;
  std::int64_t composer_threads = 0;
  double bucket_mb = 25.0;

  // weights and stores count by content, not by path: src/pipeline puts the file's digest and the stores'
  // keys into the run's key.
  void describe(ConfigVisitor& v) {
    describe_network(v);
    v.field({.key = "weights",
             .help = "safetensors file with torchvision's names to start from (vit_b_16: timm's and "
                     "transformers' too); empty: from scratch"},
            weights);
    v.choice(
        {.key = "weights_head",
         .help =
             "last layer of the weights file: keep it, or draw a fresh one for this dataset's classes, as "
             "PyTorch's linear layers start"},
        weights_head, {{"keep", WeightsHead::keep}, {"fresh", WeightsHead::fresh}});
    v.field(
        {.key = "store",
         .help =
             "folder of a decouple store; empty: the one `deda decouple` makes from the same configuration"},
        store);
    v.field({.key = "synthetic_store",
             .help = "folder of a store of synthetic CDPs, used with augment.p_syn > 0; empty: the one `deda "
                     "generate` makes from the same configuration; none: real CDPs alone"},
            synthetic_store);

    v.field(
        {.key = "epochs", .help = "passes over the training images (paper: 300)", .min = 1, .max = 100000},
        epochs);
    v.field({.key = "batch_size",
             .help = "images per step over all ranks together (paper: 16)",
             .min = 1,
             .max = 65536},
            batch_size);
    v.field({.key = "learning_rate",
             .help = "learning rate of the first epoch; never scaled with the number of ranks",
             .min = 0},
            learning_rate);
    v.field({.key = "momentum", .help = "SGD momentum", .min = 0, .max = 1}, momentum);
    v.field({.key = "nesterov", .help = "Nesterov's form of the momentum"}, nesterov);
    v.field({.key = "weight_decay",
             .help = "coupled L2 decay of all parameters, batch norm and biases included",
             .min = 0},
            weight_decay);
    v.choice({.key = "schedule",
              .help = "step: multiply by decay at the milestones; cosine: fall to minimum_learning_rate"},
             schedule, {{"step", ScheduleKind::step}, {"cosine", ScheduleKind::cosine}});
    v.field({.key = "milestones",
             .help = "epochs (from 1) at whose start the learning rate is multiplied by decay",
             .min = 1},
            milestones);
    v.field({.key = "decay", .help = "factor of the step schedule", .min = 0, .max = 1}, decay);
    v.field({.key = "minimum_learning_rate", .help = "end of the cosine schedule", .min = 0},
            minimum_learning_rate);
    v.field({.key = "label_smoothing",
             .help = "s: label y becomes (1-s)*y + s/(classes-1) (dense rule of Diff-Mix)",
             .min = 0,
             .max = 0.999},
            label_smoothing);
    v.choice(
        {.key = "objective",
         .help = "single_label: cross entropy, top-1; multi_label: binary cross entropy over all classes, "
                 "exact match, mAP and F1 (paper figure 5a); auto: multi_label for Pascal VOC"},
        objective,
        {{"auto", ObjectiveChoice::automatic},
         {"single_label", ObjectiveChoice::single_label},
         {"multi_label", ObjectiveChoice::multi_label}});

    v.field({.key = "held_out",
             .help = "share of each class's training pictures to choose settings by: kept out of training, "
                     "identifiers and synthetic CDPs, evaluated whenever the test pictures are",
             .min = 0,
             .max = 0.999},
            held_out);
    v.field({.key = "held_out_seed",
             .help = "seed of that choice; apart from run.seed, so that runs of several seeds have the same "
                     "pictures, identifiers and synthetic CDPs",
             .min = 0},
            held_out_seed);

    v.field({.key = "evaluate_every",
             .help = "epochs between evaluations; the last epoch is always evaluated",
             .min = 1},
            evaluate_every);
    v.field({.key = "evaluation_batch",
             .help = "images per rank and step while evaluating",
             .min = 1,
             .max = 65536},
            evaluation_batch);
    v.field({.key = "checkpoint_every",
             .help = "epochs between checkpoints; the last epoch always makes one",
             .min = 1},
            checkpoint_every);
    v.field({.key = "keep_checkpoints",
             .help = "newest checkpoints kept (best.safetensors, of the best epoch, stays besides)",
             .min = 2,
             .max = 1000},
            keep_checkpoints);
    v.field({.key = "keep_finished_checkpoints",
             .help = "whether checkpoints stay when the run has finished; false: best.safetensors and "
                     "last.safetensors alone"},
            keep_finished_checkpoints);

    describe_device(v, device);
    v.choice(
        {.key = "precision",
         .help = "fp32; tf32: faster fp32 matrix products on GPUs; bf16: autocast, parameters stay fp32"},
        precision, {{"fp32", Precision::fp32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}});
    v.choice({.key = "memory_order",
              .help = "of pictures inside the network; auto: channels_last on GPUs (faster), plain on CPUs "
                      "(exacter batch norm, as fast)"},
             memory_order,
             {{"auto", MemoryOrder::automatic},
              {"plain", MemoryOrder::plain},
              {"channels_last", MemoryOrder::channels_last}});
    v.choice({.key = "kernels",
              .help = "on GPUs; reproducible: equal runs give equal bytes; fastest: convolutions are chosen "
                      "by the clock and gradients added in any order"},
             kernels, {{"reproducible", Kernels::reproducible}, {"fastest", Kernels::fastest}});
    v.field({.key = "recompute_concatenations",
             .help = "densenet121: the inputs of each layer's first convolution are not kept but computed "
                     "again in the backward pass: same numbers, less memory, more time"},
            recompute_concatenations);
    v.field({.key = "captured_graphs",
             .help = "on one GPU: the whole step is recorded once and started as one graph; with several "
                     "ranks, and for the smaller last batch of an epoch, it runs kernel by kernel"},
            captured_graphs);
    v.field({.key = "torch_threads",
             .help = "threads of the network per rank; 0: the rank's share of the cores, with a GPU one",
             .min = 0,
             .max = 1024},
            torch_threads);
    v.field(
        {.key = "composer_threads",
         .help =
             "threads per rank that compose samples; 0: one to four, an eighth of the rank's share of the "
             "cores; with a GPU all of them but one",
         .min = 0,
         .max = 1024},
        composer_threads);
    v.field({.key = "bucket_mb",
             .help = "gradient bucket in MiB: buckets are averaged while the backward pass still runs",
             .min = 0.01,
             .max = 4096},
            bucket_mb);

    v.require(!nesterov || momentum > 0, "nesterov", "nesterov needs momentum above 0",
              "Set train.momentum, or train.nesterov = false.");
    for (std::size_t i = 1; i < milestones.size(); ++i) {
      v.require(milestones[i] > milestones[i - 1], "milestones", "milestones must rise",
                "List them in rising order, each once.");
    }
    v.require(weights_head == WeightsHead::keep || !weights.empty(), "weights_head",
              "a fresh head was asked for without a weights file",
              "Set train.weights, or leave train.weights_head = \"keep\".");
  }

 private:
  // The names are those of models/classifiers/facts.h.
  void describe_network(ConfigVisitor& v) {
    std::vector<std::string_view> names;
    std::size_t chosen = 0;
    for (const auto& facts : models::classifier_facts) {
      if (facts.name == network) chosen = names.size();
      names.push_back(facts.name);
    }
    v.choice_index({.key = "network", .help = "network, named and keyed as in torchvision"}, chosen, names);
    network = names.at(chosen);
  }
};

}  // namespace deda::training
