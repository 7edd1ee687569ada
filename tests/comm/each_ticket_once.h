// What both tests of tickets expect of a round.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "comm/communicator.h"

namespace deda::comm {

// The tickets of all ranks together, sorted. Collective.
inline std::vector<std::int64_t> tickets_of_all(const Communicator& ranks,
                                                const std::vector<std::int64_t>& mine) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(mine.data());
  std::vector<std::int64_t> all;
  for (const auto& part : ranks.all_gather(std::span(bytes, mine.size() * sizeof(std::int64_t)))) {
    const auto* numbers = reinterpret_cast<const std::int64_t*>(part.data());
    all.insert(all.end(), numbers, numbers + part.size() / sizeof(std::int64_t));
  }
  std::sort(all.begin(), all.end());
  return all;
}

// Expects that all ranks together hold 0..count-1, each once. Collective.
inline void expect_each_once(const Communicator& ranks, const std::vector<std::int64_t>& mine,
                             std::int64_t count) {
  std::vector<std::int64_t> expected(static_cast<std::size_t>(count));
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(tickets_of_all(ranks, mine), expected);
}

}  // namespace deda::comm
