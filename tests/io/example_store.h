// A small made-up store for tests: items of uneven sizes with every outcome, drawn from Philox, so that every
// rank and every process makes the same ones.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/files.h"
#include "core/random.h"
#include "io/store/record_store.h"

namespace deda::test {

struct ExampleStore {
  std::int64_t items = 23;
  std::int64_t items_per_segment = 5;
  std::uint32_t largest_side = 40;
  bool of_pictures = false;  // edits of whole pictures instead of CDPs and CIPs

  io::StoreDescription description() const {
    io::StoreDescription description;
    description.stage = "decouple";
    description.configuration = R"({"seed":7})";
    description.dataset = "example";
    description.class_names = {"cat", "dog", "cow"};
    description.items_per_segment = items_per_segment;
    for (std::int64_t item = 0; item < items; ++item) {
      description.sources.push_back("pictures/" + std::to_string(item) + ".png");
      description.source_classes.push_back(static_cast<std::int32_t>(item % 3));
    }
    return description;
  }

  io::Record record(std::int64_t item, io::RecordKind kind, std::int32_t version) const {
    RandomStream draw{11, Purpose::test, static_cast<std::uint32_t>(kind),
                      static_cast<std::uint64_t>(item * 64 + version)};
    io::Record made;
    made.info.source_index = item;
    made.info.class_id = static_cast<std::int32_t>(item % 3);
    made.info.kind = kind;
    made.info.height = static_cast<std::int32_t>(1 + draw.below(largest_side));
    made.info.width = static_cast<std::int32_t>(1 + draw.below(largest_side));
    made.info.channels = kind == io::RecordKind::cdp ? 4 : 3;
    made.info.crop = {1, 2, 1 + made.info.width, 2 + made.info.height};
    made.info.box = {1, 2, 1 + made.info.width, 1 + made.info.height};
    made.info.mask_area = made.info.width;
    made.info.mask_quality = 0.125f * static_cast<float>(made.info.width % 8);
    made.info.version = version;
    made.info.strength = 0.25f * static_cast<float>(version);
    made.info.seed = std::uint64_t{draw.bits()} << 32 | draw.bits();
    if (kind == io::RecordKind::picture) {
      made.info.target_class = static_cast<std::int32_t>((item + version) % 3);
      made.info.clip_score = version == 1 ? io::not_measured : 0.125f * static_cast<float>(item % 8);
    }
    made.pixels.resize(static_cast<std::size_t>(made.info.height) *
                       static_cast<std::size_t>(made.info.width) *
                       static_cast<std::size_t>(made.info.channels));
    for (auto& byte : made.pixels) byte = static_cast<std::uint8_t>(draw.bits());
    return made;
  }

  // Every seventh item has no record, every fifth has a note, every third a second version.
  io::ItemResult result(std::int64_t item) const {
    io::ItemResult made;
    made.item = item;
    if (item % 7 == 3) {
      made.outcome = static_cast<io::Outcome>(1 + item % 4);
      made.reason = "made up for item " + std::to_string(item);
      return made;
    }
    if (item % 5 == 4) made.reason = "alpha dropped";
    if (of_pictures) {
      for (const std::int32_t version : {2, 1})
        made.records.push_back(record(item, io::RecordKind::picture, version));
      return made;
    }
    // Listed out of order on purpose: the store sorts.
    made.records.push_back(record(item, io::RecordKind::cip, 0));
    if (item % 3 == 0) made.records.push_back(record(item, io::RecordKind::cdp, 1));
    made.records.push_back(record(item, io::RecordKind::cdp, 0));
    return made;
  }

  std::vector<io::Record> records_in_order() const {
    std::vector<io::Record> records;
    for (std::int64_t item = 0; item < items; ++item) {
      auto made = result(item).records;
      std::sort(made.begin(), made.end(), [](const io::Record& a, const io::Record& b) {
        return std::pair(a.info.kind, a.info.version) < std::pair(b.info.kind, b.info.version);
      });
      for (auto& one : made) records.push_back(std::move(one));
    }
    return records;
  }
};

// Who computes an item, in which order: `reversed` hands a rank's items over from last to first.
enum class Deal { round_robin, reversed, all_on_last_rank };

inline std::vector<io::ItemResult> dealt(const ExampleStore& example, const comm::Communicator& ranks,
                                         std::pair<std::int64_t, std::int64_t> items, Deal deal) {
  std::vector<io::ItemResult> mine;
  for (std::int64_t item = items.first; item < items.second; ++item) {
    const std::int64_t owner = deal == Deal::all_on_last_rank ? ranks.size() - 1
                               : deal == Deal::reversed       ? (item * 7 + 3) % ranks.size()
                                                              : item % ranks.size();
    if (owner == ranks.rank()) mine.push_back(example.result(item));
  }
  if (deal == Deal::reversed) std::reverse(mine.begin(), mine.end());
  return mine;
}

inline void write_example(const ExampleStore& example, const comm::Communicator& ranks,
                          const std::filesystem::path& folder, Deal deal = Deal::round_robin) {
  io::StoreWriter writer{ranks, folder, example.description()};
  for (const std::int64_t segment : writer.missing_segments()) {
    writer.write_segment(segment, dealt(example, ranks, writer.items_of(segment), deal));
  }
  writer.finish();
}

// Name and content of every file of a folder.
inline std::map<std::string, std::string> content_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> content;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    content[entry.path().filename().string()] = read_text(entry.path());
  }
  return content;
}

// A folder on the build's disk (a tmpfs would hide faults of MPI-IO), the same for all ranks; removed at the
// end.
class SharedFolder {
 public:
  explicit SharedFolder(const comm::Communicator& ranks) : ranks_{ranks} {
    static int count = 0;
    const std::string name = "store-test-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
    path_ = std::filesystem::path{DEDA_BINARY_DIR} / "Testing" / ranks.broadcast(name);
    if (ranks.is_root()) make_folder(path_);
    ranks.barrier("making a test folder");
  }
  ~SharedFolder() {
    try {
      ranks_.barrier("removing a test folder");
    } catch (...) {
    }
    std::error_code ignored;
    if (ranks_.is_root()) std::filesystem::remove_all(path_, ignored);
  }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  comm::Communicator ranks_;
  std::filesystem::path path_;
};

}  // namespace deda::test
