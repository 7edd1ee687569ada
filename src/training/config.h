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
enum class CosineLength : std::uint8_t { one_epoch_more, all_steps };
enum class LastBatch : std::uint8_t { keep, drop };
enum class MemoryOrder : std::uint8_t { automatic, plain, channels_last };
enum class Precision : std::uint8_t { fp32, tf32, bf16, fp16 };
enum class BatchNorm : std::uint8_t { local, global };
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
  LastBatch last_batch = LastBatch::keep;
  double learning_rate = 0.01;
  double momentum = 0.9;
  bool nesterov = true;
  double weight_decay = 5e-4;
  ScheduleKind schedule = ScheduleKind::step;
  std::vector<std::int64_t> milestones = {150, 225};
  double decay = 0.1;
  CosineLength cosine_length = CosineLength::one_epoch_more;
  double minimum_learning_rate = 1e-9;
  double warmup_share = 0;
  std::int64_t warmup_epochs = 0;
  double label_smoothing = 0.0;
  ObjectiveChoice objective = ObjectiveChoice::automatic;

  double held_out = 0;
  std::int64_t held_out_seed = 1;

  std::int64_t evaluate_every = 1;
  std::int64_t evaluate_first = 0;  // 0: evaluate_every
  std::int64_t evaluation_batch = 16;
  std::int64_t checkpoint_every = 1;
  std::int64_t keep_checkpoints = 2;
  bool keep_finished_checkpoints = false;

  DeviceChoice device = DeviceChoice::automatic;
  Precision precision = Precision::fp32;
  double loss_scale = 65536;
  std::int64_t loss_scale_interval = 2000;
  BatchNorm batch_norm = BatchNorm::local;
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
    v.choice({.key = "last_batch",
              .help = "of an epoch, where it is smaller than the others: keep it, or drop it, which leaves "
                      "other pictures out in every epoch (Diff-Mix)"},
             last_batch, {{"keep", LastBatch::keep}, {"drop", LastBatch::drop}});
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
    v.choice(
        {.key = "cosine_length",
         .help = "one_epoch_more: the cosine would end after one epoch more than there are (GuidedMixup); "
                 "all_steps: over floor(epochs * pictures / batch_size) steps, or all steps where the "
                 "last batch is kept (Diff-Mix)"},
        cosine_length,
        {{"one_epoch_more", CosineLength::one_epoch_more}, {"all_steps", CosineLength::all_steps}});
    v.field({.key = "minimum_learning_rate", .help = "end of the cosine schedule", .min = 0},
            minimum_learning_rate);
    v.field({.key = "warmup_share",
             .help = "share of the steps in which a factor rises linearly to 1, on top of the schedule "
                     "(Diff-Mix: 0.1); 0: no warm-up",
             .min = 0,
             .max = 1},
            warmup_share);
    v.field({.key = "warmup_epochs", .help = "the same in epochs, instead of warmup_share", .min = 0},
            warmup_epochs);
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
    v.field({.key = "evaluate_first",
             .help = "first epoch (from 1) that is evaluated, every evaluate_every epochs from there; 0: "
                     "evaluate_every",
             .min = 0},
            evaluate_first);
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
    v.choice({.key = "precision",
              .help = "fp32; tf32: faster fp32 matrix products on GPUs from Ampere on; bf16, fp16: autocast, "
                      "parameters stay fp32; fp16 with dynamic loss scaling, for GPUs before Ampere (V100)"},
             precision,
             {{"fp32", Precision::fp32},
              {"tf32", Precision::tf32},
              {"bf16", Precision::bf16},
              {"fp16", Precision::fp16}});
    v.field(
        {.key = "loss_scale",
         .help = "fp16: factor of the loss at the start; halved where a gradient overflows, and that step "
                 "is skipped",
         .min = 1,
         .max = 1.0e30},
        loss_scale);
    v.field({.key = "loss_scale_interval",
             .help = "fp16: steps in a row without overflow after which the factor doubles",
             .min = 1,
             .max = 1000000000},
            loss_scale_interval);
    v.choice(
        {.key = "batch_norm",
         .help = "statistics of training with several ranks; local: of each rank's pictures, as PyTorch's "
                 "data parallelism; global: of the whole batch, the same training at any number of ranks "
                 "up to rounding"},
        batch_norm, {{"local", BatchNorm::local}, {"global", BatchNorm::global}});
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
    v.require(warmup_share == 0 || warmup_epochs == 0, "warmup_epochs",
              "the warm-up is given twice, as a share of the steps and in epochs",
              "Set train.warmup_share or train.warmup_epochs, not both.");
    v.require(warmup_epochs <= epochs, "warmup_epochs", "the warm-up is longer than the training",
              "Set train.warmup_epochs to at most train.epochs.");
    v.require(evaluate_first <= epochs, "evaluate_first", "no epoch would be evaluated but the last",
              "Set train.evaluate_first to at most train.epochs.");
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
