// How far a planned stage has come, from what is on disk. Without MPI, networks or locks.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/plan.h"

namespace deda::pipeline {

enum class Progress : std::uint8_t {
  missing,  // nothing is there
  partial,  // begun: the same command continues
  done,
  held,      // another process works on it right now
  conflict,  // something else lives there (a toy dataset of other settings)
  damaged,   // what says whether it is done cannot be read
};
std::string_view name_of(Progress progress);

struct NodeState {
  Progress progress = Progress::missing;
  std::string detail;  // "64 of 360 pictures", "process 123 on node7"; may be empty
  double share = 0;    // of the stage's work that is kept on disk, 0..1, as far as files tell
};
NodeState state_of(const Node& node);

// One text that changes whenever a stage of the plan has finished or kept a piece of its work (a segment, a
// class, a step), and not when stages were only begun. Batch jobs compare it to tell a start that did no
// work.
std::string progress_mark(const Plan& plan);

// What a stage's folder was made of, from its result; nothing where an earlier version made it. DataError
// where there is no readable result.
std::optional<Provenance> provenance_in(const std::filesystem::path& folder);

// Folders in the plan's output that are named like a stage's but are not in the plan.
struct OtherFolder {
  std::filesystem::path folder;
  bool of_earlier_version = false;  // holds no key: made before results knew theirs, and never used
};
std::vector<OtherFolder> other_folders(const Plan& plan);

}  // namespace deda::pipeline
