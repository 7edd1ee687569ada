#include "core/compared_numbers.h"

#include <fmt/format.h>

namespace deda {

std::string compared_numbers(double value, double limit, int decimals, const std::string& unit) {
  constexpr int most_decimals = 30;  // shares and percentages that differ do so by then
  std::string first, second;
  do {
    first = fmt::format("{:.{}f}", value, decimals);
    second = fmt::format("{:.{}f}", limit, decimals);
  } while (first == second && ++decimals <= most_decimals);
  return fmt::format("{}{}, {} than {}{}", first, unit, value < limit ? "less" : "more", second, unit);
}

}  // namespace deda
