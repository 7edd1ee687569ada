// Random reads of whole records from a mapped store beside plain copies of the same sizes from anonymous
// memory in the same random order: A B A B ..., median of the pairs' ratios. Page cache warm. Target: at
// least 85 % of memcpy.
//   bench_store [FOLDER]    FOLDER (default: the current one) gets a store of some 250 MB, removed at the end
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "comm/communicator.h"
#include "core/allocator.h"
#include "core/random.h"
#include "io/store/record_store.h"

namespace {

using namespace deda;

constexpr std::int64_t items = 512;
constexpr int pairs = 11;
constexpr std::int32_t smallest_side = 200, largest_side = 400;

io::Record made_record(std::int64_t item, io::RecordKind kind) {
  RandomStream draw{1, Purpose::test, static_cast<std::uint32_t>(kind), static_cast<std::uint64_t>(item)};
  io::Record record;
  record.info.source_index = item;
  record.info.class_id = 0;
  record.info.kind = kind;
  record.info.height = smallest_side + static_cast<std::int32_t>(draw.below(largest_side - smallest_side));
  record.info.width = smallest_side + static_cast<std::int32_t>(draw.below(largest_side - smallest_side));
  record.info.channels = kind == io::RecordKind::cdp ? 4 : 3;
  record.pixels.assign(static_cast<std::size_t>(record.info.height) *
                           static_cast<std::size_t>(record.info.width) *
                           static_cast<std::size_t>(record.info.channels),
                       static_cast<std::uint8_t>(item));
  return record;
}

double write_store(const comm::Communicator& self, const std::filesystem::path& folder) {
  io::StoreDescription description;
  description.stage = "bench";
  description.class_names = {"one"};
  description.sources.assign(items, "made up");
  description.source_classes.assign(items, 0);
  io::StoreWriter writer{self, folder, description};
  double seconds = 0;
  for (const std::int64_t segment : writer.missing_segments()) {
    std::vector<io::ItemResult> results;
    const auto [first, last] = writer.items_of(segment);
    for (std::int64_t item = first; item < last; ++item) {
      results.push_back({item,
                         io::Outcome::done,
                         {},
                         {made_record(item, io::RecordKind::cdp), made_record(item, io::RecordKind::cip)}});
    }
    const auto start = std::chrono::steady_clock::now();
    writer.write_segment(segment, std::move(results));
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  writer.finish();
  return seconds;
}

// Copies all records in the order and returns seconds.
template <class BytesOf>
double copy_all(const std::vector<std::uint32_t>& order, std::vector<std::uint8_t>& target,
                BytesOf bytes_of) {
  const auto start = std::chrono::steady_clock::now();
  for (const std::uint32_t record : order) {
    const std::span<const std::uint8_t> bytes = bytes_of(record);
    std::memcpy(target.data(), bytes.data(), bytes.size());
    asm volatile("" : : "r"(target.data()) : "memory");  // the copy is wanted
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void compare(const io::StoreReader& store) {
  std::vector<std::uint8_t> memory, target;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < store.size(); ++i) {
    const auto pixels = store.at(i).pixels;
    places.push_back(memory.size());
    memory.insert(memory.end(), pixels.begin(), pixels.end());
    target.resize(std::max(target.size(), pixels.size()));
  }
  const auto from_store = [&](std::uint32_t i) { return store.at(i).pixels; };
  const auto from_memory = [&](std::uint32_t i) {
    return std::span<const std::uint8_t>(memory).subspan(places[i], store.at(i).pixels.size());
  };
  std::vector<double> ratios;
  double best_store = 1e9, best_memory = 1e9;
  for (int pair = -1; pair < pairs; ++pair) {  // the first pair warms up
    const auto order = permutation(static_cast<std::uint32_t>(store.size()),
                                   RandomStream{2, Purpose::test, static_cast<std::uint32_t>(pair + 1), 0});
    const double store_seconds = copy_all(order, target, from_store),
                 memory_seconds = copy_all(order, target, from_memory);
    if (pair < 0) continue;
    ratios.push_back(memory_seconds / store_seconds);
    best_store = std::min(best_store, store_seconds);
    best_memory = std::min(best_memory, memory_seconds);
  }
  std::sort(ratios.begin(), ratios.end());
  const double megabytes = static_cast<double>(memory.size()) / 1e6;
  std::printf("records %zu, %.0f MB, mean %.0f KB\n", store.size(), megabytes,
              1e3 * megabytes / static_cast<double>(store.size()));
  std::printf("store   %.2f GB/s, %.0f records/s (best)\n", megabytes / 1e3 / best_store,
              static_cast<double>(store.size()) / best_store);
  std::printf("memcpy  %.2f GB/s (best)\n", megabytes / 1e3 / best_memory);
  std::printf("store / memcpy: median %.3f, lowest %.3f, highest %.3f (target 0.85)\n",
              ratios[ratios.size() / 2], ratios.front(), ratios.back());
}

}  // namespace

int main(int argc, char** argv) {
  deda::keep_freed_memory();
  deda::comm::MpiEnvironment mpi(argc, argv);
  const auto self = deda::comm::Communicator::self();
  const std::filesystem::path folder =
      std::filesystem::path{argc > 1 ? argv[1] : "."} / ("bench-store-" + std::to_string(::getpid()));
  const double write_seconds = write_store(self, folder);
  {
    const auto start = std::chrono::steady_clock::now();
    const deda::io::StoreReader store{folder};
    const double open_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    double loads[1] = {0};
    static_cast<void>(::getloadavg(loads, 1));
    std::printf("write %.2f s with checks and syncs, open %.1f ms, load average %.1f\n", write_seconds,
                1e3 * open_seconds, loads[0]);
    compare(store);
  }
  std::filesystem::remove_all(folder);
  return 0;
}
