#include "io/store/outcome_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "core/error.h"
#include "io/store/record_store.h"

namespace deda::io {
namespace {

// "12 times rejected: mean alpha ...; 3 times unreadable: ...", the most frequent first.
std::string frequent_reasons(const StoreReader& store) {
  constexpr std::size_t most_named = 3;
  std::map<std::string, std::int64_t> count;
  for (const auto& [item, remark] : store.remarks())
    ++count[fmt::format("{}: {}", name_of(remark.first), remark.second)];
  std::vector<std::pair<std::string, std::int64_t>> reasons(count.begin(), count.end());
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (std::size_t i = 0; i < std::min(most_named, reasons.size()); ++i)
    text += fmt::format("{}{} times {}", i == 0 ? "" : "; ", reasons[i].second, reasons[i].first);
  return text;
}

}  // namespace

void check_outcomes(const comm::Communicator& ranks, const std::filesystem::path& folder,
                    const OutcomeLimits& limits) {
  std::int64_t failed = 0, items = 0;
  std::size_t records = 0;
  std::string reasons;
  ranks.agree("counting outcomes", [&] {
    const StoreReader store(folder);
    const auto outcomes = store.outcomes();
    items = outcomes.items;
    records = store.size();
    for (const auto& [outcome, count] : outcomes.counts) {
      if (outcome == Outcome::unreadable || outcome == Outcome::failed) failed += count;
    }
    if (records == 0) reasons = frequent_reasons(store);
  });
  if (static_cast<double>(failed) > limits.max_failed_share * static_cast<double>(items))
    throw DataError(fmt::format("{} of {} {}, more than {}.max_failed_share", failed, items,
                                limits.failed_items, limits.section),
                    folder.string(), "`deda inspect` lists them with their reasons.");
  if (records == 0 && !limits.allow_empty)
    throw DataError(fmt::format("holds no {}: none of {} items gave one{}{}", limits.wanted_records, items,
                                reasons.empty() ? "" : " (", reasons.empty() ? "" : reasons + ")"),
                    folder.string(),
                    fmt::format("`deda inspect` shows why. Set {}.allow_empty=true where nothing is meant to "
                                "come out.",
                                limits.section));
}

}  // namespace deda::io
