#include "decoupling/earlier_store.h"

#include <sstream>

#include "core/error.h"
#include "core/files.h"
#include "decoupling/looks.h"

namespace deda::decoupling {

namespace {

// Records of items are in item order: the first record of `item` or a later one.
std::size_t first_record_of(const io::StoreReader& store, std::int64_t item) {
  std::size_t low = 0, high = store.size();
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (store.at(middle).info.source_index < item)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

}  // namespace

std::optional<EarlierStore> EarlierStore::find(const std::filesystem::path& folder) {
  try {
    if (std::filesystem::exists(folder / "manifest.json") && io::store_is_complete(folder))
      return EarlierStore(folder);
  } catch (const Error&) {  // damaged: as if it were not there
  }
  return std::nullopt;
}

std::optional<std::vector<EarlierStore::Item>> EarlierStore::items(std::int64_t segment, std::int64_t first,
                                                                   std::int64_t last, std::int64_t start,
                                                                   std::int64_t step) const {
  std::vector<Item> items;
  std::istringstream lines;
  try {
    lines.str(read_text(store_.folder() / name_of_looks(segment)));
  } catch (const Error&) {
    return std::nullopt;
  }
  for (std::int64_t number = first; number < last; ++number) {
    Item item;
    if (!std::getline(lines, item.look)) return std::nullopt;
    if ((number - first) % step != start) continue;
    item.result.item = number;
    if (const auto remark = store_.remarks().find(number); remark != store_.remarks().end())
      std::tie(item.result.outcome, item.result.reason) = remark->second;
    for (std::size_t record = first_record_of(store_, number);
         record < store_.size() && store_.at(record).info.source_index == number; ++record) {
      if (!store_.hash_matches(record)) return std::nullopt;
      const io::RecordView view = store_.at(record);
      item.result.records.push_back({view.info, {view.pixels.begin(), view.pixels.end()}});
    }
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace deda::decoupling
