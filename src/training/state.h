// Where a training run stands and what it has seen: saved with every checkpoint, and the source of history
// and results.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace deda::training {

// Exact counts of one evaluation over one group of pictures ("all", "usual", "swapped", ...).
struct GroupScore {
  std::string group;
  std::int64_t correct = 0;
  std::int64_t total = 0;
  double accuracy() const {
    return total == 0 ? 0.0 : static_cast<double>(correct) / static_cast<double>(total);
  }  // 0..1
};

// One further number of an evaluation over all its pictures: 0..1.
struct Metric {
  std::string name;  // as reports show it: "mAP"
  double value = 0;
};

struct EpochRecord {
  std::int64_t epoch = 0;          // from 1
  double learning_rate = 0;        // of the epoch's first step
  double loss = 0;                 // mean over the epoch's samples
  double seconds = 0;              // training only, without evaluation and checkpoints
  double waited_s = 0;             // of these, rank 0 waited for data
  double images_per_s = 0;         // all ranks together
  std::vector<GroupScore> scores;  // empty where this epoch was not evaluated; the first one is all pictures
  std::optional<GroupScore> held_out = {};  // of held-out training pictures, evaluated with the others
  std::vector<Metric> metrics = {};         // of all test pictures, beside the scores; those that are defined
};

// What the loss scaling of fp16 has come to.
struct LossScale {
  double scale = 0;          // of the next step
  std::int64_t skipped = 0;  // steps whose gradients overflowed
};

struct TrainingState {
  std::string key;  // of the run (src/pipeline)
  std::string code_version;
  std::int64_t epoch = 1;            // the epoch in progress, from 1; epochs + 1 when done
  std::int64_t step = 0;             // next batch of that epoch
  std::int64_t global_step = 0;      // optimizer steps so far, skipped ones included
  double loss_sum = 0;               // over the samples of the epoch in progress
  double seconds = 0, waited_s = 0;  // of the epoch in progress, as in EpochRecord
  std::int64_t samples = 0;          // of the epoch in progress
  double best_accuracy = -1;         // of all test pictures, 0..1; -1: none yet
  std::int64_t best_epoch = 0;
  std::vector<EpochRecord> history;
  std::optional<LossScale> loss_scale = {};  // fp16 alone
  std::int64_t left_unmixed = 0;  // batches of an image-mixing method whose saliency was not finite
  std::string failure;            // why the run cannot go on; empty unless it broke down
};

// JSON text and back; DataError naming `where` for anything malformed.
std::string to_json(const TrainingState& state);
TrainingState state_from_json(const std::string& text, const std::string& where);

}  // namespace deda::training
