#include "io/store/segment_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>
#include <type_traits>

#include "core/error.h"
#include "core/hash.h"

namespace deda::io {

namespace {

using nlohmann::json;

constexpr std::size_t problems_shown = 20;

// A record as the ranks tell each other about it. Plain bytes: ranks of one job run on one kind of machine.
struct WireRow {
  RecordInfo info;
  std::int64_t item = 0;
  std::int64_t place_on_rank = 0;  // its number among the rank's records
  std::uint64_t nbytes = 0;
  std::uint64_t hash = 0;
};
static_assert(std::is_trivially_copyable_v<WireRow>);

struct OwnedRow : WireRow {
  int owner = 0;
};

std::uint64_t round_up(std::uint64_t value, std::uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::vector<OwnedRow> gather_rows(const comm::Communicator& ranks, const std::vector<ItemResult>& results) {
  std::vector<WireRow> mine;
  for (const ItemResult& result : results) {
    for (const Record& record : result.records) {
      WireRow row;
      row.info = record.info;
      row.info.outcome = result.outcome;
      row.item = result.item;
      row.place_on_rank = static_cast<std::int64_t>(mine.size());
      row.nbytes = record.pixels.size();
      row.hash = xxhash64(record.pixels);
      mine.push_back(row);
    }
  }
  const auto everybody = ranks.all_gather(
      std::span(reinterpret_cast<const std::uint8_t*>(mine.data()), mine.size() * sizeof(WireRow)));
  std::vector<OwnedRow> rows;
  for (std::size_t rank = 0; rank < everybody.size(); ++rank) {
    for (std::size_t at = 0; at + sizeof(WireRow) <= everybody[rank].size(); at += sizeof(WireRow)) {
      WireRow row;
      std::memcpy(static_cast<void*>(&row), everybody[rank].data() + at, sizeof(WireRow));
      rows.push_back(OwnedRow{row, static_cast<int>(rank)});
    }
  }
  std::sort(rows.begin(), rows.end(), [](const OwnedRow& a, const OwnedRow& b) {
    return std::tuple(a.item, a.info.kind, a.info.version, a.owner, a.place_on_rank) <
           std::tuple(b.item, b.info.kind, b.info.version, b.owner, b.place_on_rank);
  });
  return rows;
}

// Every item of the segment with its outcome, by item number; doubled ones stay doubled.
std::vector<Remark> gather_items(const comm::Communicator& ranks, const std::vector<ItemResult>& results) {
  json mine = json::array();
  for (const ItemResult& result : results) {
    mine.push_back({result.item, static_cast<int>(result.outcome), result.reason});
  }
  std::vector<Remark> items;
  for (const std::string& text :
       ranks.all_gather(mine.dump(-1, ' ', false, json::error_handler_t::replace))) {
    for (const json& item : json::parse(text)) {
      items.push_back({item[0].get<std::int64_t>(), static_cast<Outcome>(item[1].get<int>()),
                       item[2].get<std::string>()});
    }
  }
  std::stable_sort(items.begin(), items.end(),
                   [](const Remark& a, const Remark& b) { return a.item < b.item; });
  return items;
}

std::vector<std::string> problems_of_items(const SegmentIdentity& identity,
                                           const std::vector<Remark>& items) {
  std::vector<std::string> problems;
  const std::int64_t last = identity.first_item + identity.item_count;
  std::size_t next = 0;
  for (std::int64_t item = identity.first_item; item < last; ++item) {
    while (next < items.size() && items[next].item < item) ++next;
    const std::size_t begin = next;
    while (next < items.size() && items[next].item == item) ++next;
    if (next == begin) problems.push_back(fmt::format("item {} has no result on any rank", item));
    if (next > begin + 1) problems.push_back(fmt::format("item {} has {} results", item, next - begin));
  }
  for (const Remark& remark : items) {
    if (remark.item < identity.first_item || remark.item >= last) {
      problems.push_back(fmt::format("item {} is not in the segment, which has {} to {}", remark.item,
                                     identity.first_item, last - 1));
    }
  }
  return problems;
}

std::vector<std::string> problems_of_rows(const std::vector<OwnedRow>& rows, std::size_t class_count) {
  std::vector<std::string> problems;
  for (const OwnedRow& row : rows) {
    std::string problem = problem_of(row.info, row.nbytes, class_count);
    if (problem.empty() && row.info.outcome != Outcome::done) {
      problem = fmt::format("it has a record although its outcome is {}", name_of(row.info.outcome));
    }
    if (!problem.empty())
      problems.push_back(fmt::format("item {} (rank {}): {}", row.item, row.owner, problem));
  }
  return problems;
}

void refuse(const SegmentIdentity& identity, const std::vector<std::string>& texts) {
  std::vector<Problem> problems;
  const std::string where = fmt::format("segment {}", identity.number);
  for (const std::string& text : texts) {
    if (problems.size() == problems_shown) {
      problems.push_back({fmt::format("and {} more problems", texts.size() - problems_shown), where, {}});
      break;
    }
    problems.push_back({text, where, {}});
  }
  if (!problems.empty()) throw DataError(std::move(problems));
}

}  // namespace

std::uint64_t SegmentPlan::end_of_record(std::size_t row) const {
  return row + 1 < columns.size() ? columns.offset[row + 1] : pixels_bytes;
}

SegmentPlan plan_segment(const comm::Communicator& ranks, const SegmentIdentity& identity,
                         const std::vector<ItemResult>& results, std::size_t class_count) {
  std::vector<Remark> items = gather_items(ranks, results);
  const std::vector<OwnedRow> rows = gather_rows(ranks, results);
  auto problems = problems_of_items(identity, items);
  const auto more = problems_of_rows(rows, class_count);
  problems.insert(problems.end(), more.begin(), more.end());
  refuse(identity, problems);

  std::vector<const std::vector<std::uint8_t>*> own_pixels;
  for (const ItemResult& result : results) {
    for (const Record& record : result.records) own_pixels.push_back(&record.pixels);
  }
  SegmentPlan plan;
  std::uint64_t offset = 0;
  for (const OwnedRow& row : rows) {
    if (row.owner == ranks.rank())
      plan.own.push_back({plan.columns.size(), own_pixels[static_cast<std::size_t>(row.place_on_rank)]});
    append_row(plan.columns, row.info, offset, row.nbytes, row.hash);
    plan.owner.push_back(row.owner);
    offset = round_up(offset + row.nbytes, record_alignment);
  }
  plan.pixels_bytes = std::max(pixels_alignment, round_up(offset, pixels_alignment));
  std::erase_if(items,
                [](const Remark& item) { return item.outcome == Outcome::done && item.reason.empty(); });
  plan.remarks = std::move(items);
  return plan;
}

}  // namespace deda::io
