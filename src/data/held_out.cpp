#include "data/held_out.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/random.h"

namespace deda::data {

HeldOut hold_out(Dataset& dataset, double share, std::uint64_t seed) {
  HeldOut held_out;
  if (share <= 0) return held_out;
  std::map<std::int32_t, std::vector<std::size_t>> by_class;
  for (const std::size_t index : dataset.indices(Split::train))
    by_class[dataset.items[index].class_id].push_back(index);
  for (const auto& [id, members] : by_class) {
    if (id < 0) continue;  // a picture without a class
    if (members.size() == 1) {
      held_out.classes_without.push_back(dataset.class_names.at(static_cast<std::size_t>(id)));
      continue;
    }
    const auto rounded = static_cast<std::size_t>(std::lround(share * static_cast<double>(members.size())));
    const auto count = std::clamp<std::size_t>(rounded, 1, members.size() - 1);
    const auto order = permutation(static_cast<std::uint32_t>(members.size()),
                                   RandomStream{seed, Purpose::held_out, 0, static_cast<std::uint64_t>(id)});
    for (std::size_t i = 0; i < count; ++i) dataset.items[members[order[i]]].split = Split::held_out;
    held_out.pictures += count;
  }
  return held_out;
}

}  // namespace deda::data
