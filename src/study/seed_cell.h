// The runs behind one number of a table or figure: one per seed, what each came to, and their mean.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "study/cell_run.h"
#include "study/seed_statistics.h"

namespace deda::study {

// What a run came to on one group of test pictures, in percent; nothing where it was not measured.
struct RunValues {
  std::optional<double> last, best, mean_last_10, held_out;
  std::int64_t images = 0;       // test pictures
  std::int64_t evaluations = 0;  // epochs that the test set was looked at; `best` is chosen among them
  std::optional<double> of(Value value) const;
};

struct SeedRun {
  std::int64_t seed = 0;
  std::string key;
  std::filesystem::path folder;
  RunState state = RunState::waiting;
  std::string reason;           // why there is no value, one line; may be empty
  RunValues values;             // empty unless done
  std::optional<double> value;  // the one that counts here
};

enum class CellState : std::uint8_t {
  done,     // every seed
  partial,  // some seeds
  running,
  waiting,
  failed,
  blocked,
  mixed,   // several runs of one seed: the layout leaves out what they differ in
  absent,  // the study has no such run
};
std::string_view name_of(CellState state);

struct SeedCell {
  std::vector<SeedRun> runs;  // by seed
  CellState state = CellState::absent;
  std::string reason;  // one line; empty where done
  Estimate ours;       // over the seeds that have a value; n = 0 where none has
  // One seed: binomial standard error of its test set, points. Nothing else is known of the run's error.
  std::optional<double> least_error;

  std::vector<std::int64_t> seeds() const;  // that have a value
  std::vector<double> values() const;       // in their order
  // Mean of another value over the same seeds; nothing where one of them lacks it.
  std::optional<double> mean_of(Value value) const;
  // Numbers of evaluations of the runs with a value, ascending, each once.
  std::vector<std::int64_t> schedules() const;
  std::int64_t images() const;  // of the first run with a value; 0: not known
};

// `runs` in any order; equal runs of several grids count once.
SeedCell gather(std::vector<const CellRun*> runs, Value value, const std::string& group);

// "1, 2, 3"; "none".
std::string words_of(const std::vector<std::int64_t>& seeds);

}  // namespace deda::study
