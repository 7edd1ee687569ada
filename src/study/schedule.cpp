#include "study/schedule.h"

#include <algorithm>
#include <queue>

namespace deda::study {

std::size_t slots_to_take(const ScheduledItem& item, std::size_t free, std::size_t others, std::size_t most) {
  std::size_t wanted = item.least_slots;
  if (item.spreads) wanted = std::clamp<std::size_t>(free > others ? free - others : 1, 1, most);
  return wanted > free ? 0 : wanted;
}

std::vector<double> chains_of(const std::vector<ScheduledItem>& items, std::size_t most) {
  std::vector<double> behind(items.size(), 0), chains(items.size(), 0);
  for (std::size_t n = items.size(); n > 0; --n) {
    const std::size_t i = n - 1;
    const std::size_t slots = items[i].spreads ? most : items[i].least_slots;
    chains[i] = items[i].seconds / static_cast<double>(std::max<std::size_t>(1, slots)) + behind[i];
    for (const std::size_t needed : items[i].needs) behind[needed] = std::max(behind[needed], chains[i]);
  }
  return chains;
}

double wall_seconds(const std::vector<ScheduledItem>& given, std::size_t slots) {
  slots = std::max<std::size_t>(1, slots);
  auto items = given;
  for (auto& item : items) item.least_slots = std::clamp<std::size_t>(item.least_slots, 1, slots);
  const auto chains = chains_of(items, slots);
  std::vector<std::size_t> open_needs(items.size(), 0);
  std::vector<std::vector<std::size_t>> dependents(items.size());
  const auto counts = [&](std::size_t i) { return items[i].seconds > 0; };
  for (std::size_t i = 0; i < items.size(); ++i) {
    for (const std::size_t needed : items[i].needs) {
      if (!counts(needed)) continue;
      ++open_needs[i];
      dependents[needed].push_back(i);
    }
  }
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (counts(i) && open_needs[i] == 0) ready.push_back(i);
  }
  const auto longer = [&](std::size_t a, std::size_t b) {
    return chains[a] != chains[b] ? chains[a] > chains[b] : a < b;
  };
  struct End {
    double at = 0;
    std::size_t item = 0, slots = 0;
    bool operator>(const End& other) const { return at != other.at ? at > other.at : item > other.item; }
  };
  std::priority_queue<End, std::vector<End>, std::greater<>> running;
  std::size_t free = slots;
  double now = 0;
  for (;;) {
    std::sort(ready.begin(), ready.end(), longer);
    for (std::size_t r = 0; r < ready.size() && free > 0;) {
      const auto others = static_cast<std::size_t>(
          std::count_if(ready.begin() + static_cast<std::ptrdiff_t>(r) + 1, ready.end(),
                        [&](std::size_t other) { return items[other].least_slots < free; }));
      const std::size_t taken = slots_to_take(items[ready[r]], free, others, slots);
      if (taken == 0) {
        ++r;
        continue;
      }
      running.push({now + items[ready[r]].seconds / static_cast<double>(taken), ready[r], taken});
      free -= taken;
      ready.erase(ready.begin() + static_cast<std::ptrdiff_t>(r));
    }
    if (running.empty()) return now;
    const End end = running.top();
    running.pop();
    now = end.at;
    free += end.slots;
    for (const std::size_t dependent : dependents[end.item]) {
      if (--open_needs[dependent] > 0) continue;
      if (counts(dependent)) ready.push_back(dependent);
    }
  }
}

}  // namespace deda::study
