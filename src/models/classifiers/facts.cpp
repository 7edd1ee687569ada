#include "models/classifiers/facts.h"

#include <algorithm>

#include "core/config.h"
#include "core/error.h"

namespace deda::models {

void unknown_network(std::string_view name, const std::vector<std::string>& known) {
  std::string list;
  for (const auto& each : known) list += (list.empty() ? "" : ", ") + each;
  const auto near = nearest_name(name, known);
  throw ConfigError("unknown network \"" + std::string{name} + "\"", {},
                    (near.empty() ? "" : "Did you mean \"" + near + "\"? ") + "Known: " + list + ".");
}

const ClassifierFacts& facts_of_classifier(std::string_view name) {
  std::vector<std::string> known;
  for (const auto& facts : classifier_facts) {
    if (facts.name == name) return facts;
    known.emplace_back(facts.name);
  }
  unknown_network(name, known);
}

std::string why_not_sides(const ClassifierFacts& facts, std::int64_t height, std::int64_t width) {
  const auto step = facts.side_step;
  for (const auto side : {height, width}) {
    if (side < facts.smallest_side) {
      return std::string{facts.name} + " takes pictures from " + std::to_string(facts.smallest_side) +
             " pixels a side on, not " + std::to_string(side);
    }
    if (side % step != 0) {
      const auto below = side / step * step;
      return std::string{facts.name} + " takes sides that are multiples of " + std::to_string(step) +
             ", not " + std::to_string(side) + ": " + std::to_string(below) + " or " +
             std::to_string(below + step);
    }
  }
  if (facts.square && height != width) {
    return std::string{facts.name} + " takes square pictures, not " + std::to_string(height) + " x " +
           std::to_string(width);
  }
  return {};
}

}  // namespace deda::models
