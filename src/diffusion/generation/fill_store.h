// The stage `deda generate` around its work: a store filled unit by unit, whatever a unit holds. Units have
// fixed members inside of a segment and are drawn by ranks and, on CPUs, by their threads: the bytes depend
// on neither. Finished segments are never made again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include "comm/communicator.h"
#include "io/store/record_store.h"

namespace deda::diffusion {

struct StoreWork {
  std::filesystem::path folder;
  io::StoreDescription description;  // its sources are the items
  std::string_view items;            // in words: "CDPs"
  int workers = 1;                   // threads of this rank, each with a unit of its own
  // Collective, called when there is work: loads the networks and says how many items a unit has.
  std::function<std::int64_t()> prepare;
  // The items [first, last) of one unit, all of them. Called by many threads at once.
  std::function<std::vector<io::ItemResult>(std::int64_t first, std::int64_t last)> make;
};

// Collective. True when the store was complete already. Throws Stopped after a signal or deadline (units in
// flight are finished first, a segment that is not complete is made again).
bool fill_store(const comm::Communicator& ranks, const StoreWork& work);

}  // namespace deda::diffusion
