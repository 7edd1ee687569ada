// Sentences about places of tables and figures.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace deda::study {

inline constexpr std::size_t places_named = 12;  // in one sentence; the CSV files have all

struct PlaceAndReason {
  std::string place, reason;
};

// "A, B, C: reason": equal reasons together, in the order of their first place.
std::vector<std::string> gathered(const std::vector<PlaceAndReason>& all);

// "1 run", "2 runs".
std::string plural(std::size_t count, const std::string& what);

}  // namespace deda::study
