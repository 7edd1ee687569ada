// The made-up numbers of tests/golden/resnet18_reference.py: uniform in [0, 1) with 24 bits from splitmix64's
// output function (Steele, Lea, Flood 2014) on (tensor index, element). Both programs can make them, so no
// file has to hold them.
#pragma once

#include <cstdint>

namespace deda::test {

inline double hashed_number(std::uint64_t tensor_index, std::uint64_t element) {
  std::uint64_t z = ((tensor_index << 32) + element + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  z = z ^ (z >> 31);
  return static_cast<double>(z >> 40) * 0x1.0p-24;
}

}  // namespace deda::test
