// What the tests of the solvers share: tests/golden/mixing_solvers.json, and its made-up inputs, equal to the
// bit.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "support/crc32.h"
#include "support/hashed_numbers.h"

namespace deda::mixing::test {

inline std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

inline const nlohmann::json& golden(const std::string& solver) {
  static const nlohmann::json all = [] {
    std::ifstream file{std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/mixing_solvers.json"};
    return nlohmann::json::parse(file);
  }();
  return all.at(solver);
}

// hashed(tensor, count) of tests/golden/made_up.py.
inline std::vector<double> hashed(std::size_t tensor, int count) {
  std::vector<double> numbers(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = deda::test::hashed_number(tensor, i);
  return numbers;
}

// peaky() there.
inline void make_peaky(std::vector<double>& numbers) {
  for (double& number : numbers) number = number > 0.9 ? number : number / 16;
}

// shares() there. Sums are exact, whatever their order.
inline std::vector<float> shares(const std::vector<double>& numbers) {
  double sum = 0;
  for (const double number : numbers) sum += number;
  std::vector<float> result;
  for (const double number : numbers)
    result.push_back(static_cast<float>(sum > 0 ? number / sum : 1.0 / static_cast<double>(numbers.size())));
  return result;
}

// As the script prints a checksum.
inline std::string checksum(std::span<const std::uint8_t> bytes) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", deda::test::crc32(bytes));
  return text;
}
template <class T>
std::string checksum_of_bytes(const std::vector<T>& values) {
  return checksum({reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(T)});
}

// Both programs add doubles in another order; an energy of hundreds of numbers keeps twelve digits of the
// largest.
inline void expect_close(double computed, double expected) {
  EXPECT_NEAR(computed, expected, 1e-9 * std::abs(expected) + 1e-13);
}

}  // namespace deda::mixing::test
