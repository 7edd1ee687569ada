// A configuration with a field of every type, for the tests of this folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"

namespace deda::test {

enum class Recipe { from_scratch, fine_tune };
enum class Gain { automatic, g0, g300 };

struct Optimizer {
  double momentum = 0.9, rate = 0.1;
  void describe(ConfigVisitor& v) {
    v.field({.key = "momentum", .help = "momentum of SGD", .min = 0, .max = 1}, momentum);
    v.field({.key = "rate", .help = "learning rate", .min = 0}, rate);
  }
};

struct Train {
  std::int64_t epochs = 300, warm_up = 5, threads = 0;
  bool verbose = false;
  std::string name = "run \"x\"\n";
  std::filesystem::path folder = "runs";
  Recipe recipe = Recipe::from_scratch;
  Gain gain = Gain::automatic;
  std::vector<std::int64_t> milestones{100, 200};
  std::vector<double> weights{0.1, 1e-7};
  std::vector<std::string> labels;
  Optimizer optimizer;
  void describe(ConfigVisitor& v) {
    // The section stands first on purpose: TOML wants a table's own keys before its inner tables.
    v.section("optimizer", "SGD", optimizer);
    v.field({.key = "epochs", .help = "passes over the images", .min = 1}, epochs);
    v.field({.key = "warm_up", .help = "epochs of warm-up", .min = 0}, warm_up);
    v.field({.key = "threads", .help = "worker threads", .min = 0}, threads);
    v.field({.key = "verbose", .help = "say more"}, verbose);
    v.field({.key = "name", .help = "name for people"}, name);
    v.field({.key = "folder", .help = "where results go"}, folder);
    v.choice({.key = "recipe", .help = "which recipe"}, recipe,
             {{"from_scratch", Recipe::from_scratch}, {"fine_tune", Recipe::fine_tune}});
    v.choice({.key = "gain", .help = "names that are numbers"}, gain,
             {{"auto", Gain::automatic}, {"0", Gain::g0}, {"300", Gain::g300}});
    v.field({.key = "milestones", .help = "epochs", .min = 0}, milestones);
    v.field({.key = "weights", .help = "numbers"}, weights);
    v.field({.key = "labels", .help = "texts"}, labels);
    v.require(warm_up <= epochs, "warm_up", "the warm-up is longer than the training", "Make it shorter.");
  }
};

struct SampleConfig {
  Train train;
  Optimizer spare;
  void describe(ConfigVisitor& v) {
    v.section("train", "Training", train);
    if (with_spare) v.section("spare", "Another", spare);
  }
  bool with_spare = false;
};

}  // namespace deda::test
