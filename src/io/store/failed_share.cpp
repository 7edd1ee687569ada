#include "io/store/failed_share.h"

#include <fmt/format.h>

#include <cstdint>

#include "core/error.h"
#include "io/store/record_store.h"

namespace deda::io {

void check_failed_share(const comm::Communicator& ranks, const std::filesystem::path& store,
                        const FailedShareLimit& limit) {
  std::int64_t failed = 0, items = 0;
  ranks.agree("counting outcomes", [&] {
    const auto outcomes = StoreReader(store).outcomes();
    items = outcomes.items;
    for (const auto& [outcome, count] : outcomes.counts) {
      if (outcome == Outcome::unreadable || outcome == Outcome::failed) failed += count;
    }
  });
  if (static_cast<double>(failed) <= limit.most * static_cast<double>(items)) return;
  throw DataError(fmt::format("{} of {} {}, more than {}", failed, items, limit.failed_items, limit.key),
                  store.string(), "`deda inspect` lists them with their reasons.");
}

}  // namespace deda::io
