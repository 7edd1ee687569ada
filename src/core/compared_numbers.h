// A value beside the limit that it misses, for sentences like "is 0.498, less than 0.500": rounded to as many
// places as are usual, the two could read as equal.
#pragma once

#include <string>

namespace deda {

// "VALUE, less than LIMIT" or "VALUE, more than LIMIT", whichever holds, each number followed by `unit`; both
// with `decimals` places, or with as many more as it takes to tell them apart.
std::string compared_numbers(double value, double limit, int decimals, const std::string& unit = {});

}  // namespace deda
