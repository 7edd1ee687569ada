// When which slot worked on what, as SVG markup: a lane per slot, a bar per attempt.
#pragma once

#include <string>
#include <vector>

namespace deda::study {

struct TimelineEntry {
  std::string label;              // shown by the pointer: "De-DA, CUB, seed 1"
  std::string stage;              // "train": its colour
  std::string slot;               // "node1 gpu 0": its lane
  double start_s = 0, end_s = 0;  // seconds since the study began
  std::string outcome;            // "done", or what else: drawn lighter, with a red edge
};

// Lanes in the order of their names, numbers in them by value; in any order of `entries` the same bytes. An
// empty one says so. Entries whose times are no numbers or end before they start are left out and counted.
std::string timeline_svg(std::vector<TimelineEntry> entries, int width = 1120);

}  // namespace deda::study
