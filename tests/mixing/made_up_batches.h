// The made-up batches of tests/golden/mixing_methods.py.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mixing/method.h"
#include "support/hashed_numbers.h"

namespace deda::test {

inline constexpr std::size_t mixing_classes = 3;
// Added to a batch's number: other made-up numbers of it.
inline constexpr std::uint64_t mixing_label_numbers = 10'000, mixing_map_numbers = 30'000;

// [batch, mixing_classes]
inline std::vector<float> mixing_labels(std::uint64_t number, const std::string& kind, std::size_t batch) {
  std::vector<float> labels(batch * mixing_classes, 0.0f);
  for (std::size_t i = 0; i < batch; ++i) {
    float* const label = &labels[i * mixing_classes];
    if (kind == "one_class") {
      label[1] = 1;
    } else if (kind == "hard") {
      label[(i * i + number) % mixing_classes] = 1;
    } else {
      const double share = hashed_number(mixing_label_numbers + number, i);
      label[i % mixing_classes] = static_cast<float>(share);
      label[(i + 1) % mixing_classes] = static_cast<float>(1 - share);
    }
  }
  return labels;
}

// [batch, side, side, 3]
inline std::vector<std::uint8_t> mixing_pictures(std::uint64_t number, const std::string& kind,
                                                 std::int64_t batch, std::int64_t side) {
  std::vector<std::uint8_t> pixels;
  pixels.reserve(static_cast<std::size_t>(batch * side * side * 3));
  for (std::int64_t i = 0; i < batch; ++i) {
    for (std::int64_t y = 0; y < side; ++y) {
      for (std::int64_t x = 0; x < side; ++x) {
        const bool inside =
            y >= (2 * i + 1) * side / 9 && y < (2 * i + 4) * side / 9 && 5 * x > 2 * side && 5 * x < 3 * side;
        for (std::int64_t c = 0; c < 3; ++c) {
          const auto noise = static_cast<std::int64_t>(256 * hashed_number(number, pixels.size()));
          std::int64_t value = (inside ? 170 + 25 * c : 60 + 10 * i) + noise / 16;
          if (kind == "noise") value = noise;
          if (kind == "one_colour") value = (37 * static_cast<std::int64_t>(number) + 60 * c + 91 * i) % 256;
          pixels.push_back(static_cast<std::uint8_t>(value));
        }
      }
    }
  }
  return pixels;
}

inline const mixing::Method& mixing_method(std::string_view name) {
  for (const auto* method : mixing::methods()) {
    if (method->facts().name == name) return *method;
  }
  throw std::logic_error("no method " + std::string{name});
}

}  // namespace deda::test
