// What policies there are for finished samples, and which picture operations one drew.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "augment/picture_operations.h"

namespace deda::augment {

enum class Policy : std::uint8_t { none, randaugment, trivialaugment, color_jitter };
// As in configurations and traces.
std::string_view name_of(Policy policy);

struct PolicyDraws {
  static constexpr std::int32_t most = 8;
  Policy policy = Policy::none;
  std::int32_t count = 0;
  std::array<Operation, most> operations{};
  std::array<float, most> magnitudes{};  // signed, as handed to the operation
};

}  // namespace deda::augment
