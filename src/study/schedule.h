// How long a set of items takes on a number of slots, by the driver's own rules: what people are told before
// and while a study runs. Pure arithmetic.
#pragma once

#include <cstddef>
#include <vector>

namespace deda::study {

struct ScheduledItem {
  double seconds = 0;              // of slot time that is left; 0: done, or of no account
  std::size_t least_slots = 1;     // it starts on no less
  bool spreads = false;            // whether it may use more than that
  std::vector<std::size_t> needs;  // positions, each before its own
};

// How many of `free` slots an item takes that is ready beside `others` that could start too: a training its
// ranks, what spreads all but one for each of the others. 0: it has to wait. `most`: of an item that spreads.
std::size_t slots_to_take(const ScheduledItem& item, std::size_t free, std::size_t others, std::size_t most);

// Of each item, the seconds until the end of the longest chain that begins with it, with what spreads on
// `most` slots.
std::vector<double> chains_of(const std::vector<ScheduledItem>& items, std::size_t most);

// Wall seconds until all items have ended, the longest chain first, on `slots` alike ones (at least 1). Items
// that want more slots than there are take all. Nodes are not told apart.
double wall_seconds(const std::vector<ScheduledItem>& items, std::size_t slots);

}  // namespace deda::study
