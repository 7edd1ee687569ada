#include "study/sentences.h"

#include <fmt/format.h>

#include <map>

#include "report/letters.h"

namespace deda::study {

std::vector<std::string> gathered(const std::vector<PlaceAndReason>& all) {
  std::vector<std::pair<std::string, std::vector<std::string>>> kinds;
  std::map<std::string, std::size_t> kind_of;
  for (const auto& [place, reason] : all) {
    const auto [found, is_new] = kind_of.emplace(reason, kinds.size());
    if (is_new) kinds.push_back({reason, {}});
    kinds[found->second].second.push_back(place);
  }
  std::vector<std::string> sentences;
  for (const auto& [reason, places] : kinds)
    sentences.push_back(fmt::format("{}: {}", report::few_of(places, places_named), reason));
  return sentences;
}

std::string plural(std::size_t count, const std::string& what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace deda::study
