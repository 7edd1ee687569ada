// Fine-grained saliency is OpenCV contrib's, bit for bit: checksums of tests/golden/mixing_saliency.py.
#include "mixing/fine_grained_saliency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <string>

#include "core/error.h"
#include "io/formats/text_table.h"
#include "support/crc32.h"
#include "support/hashed_numbers.h"

namespace deda::mixing {
namespace {

// The script's formulas, [height, width, 3].
std::vector<std::uint8_t> picture(const std::string& kind, int number, int height, int width) {
  std::vector<std::uint8_t> pixels;
  pixels.reserve(static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const std::int64_t across = (2 * x - width) * height, down = (2 * y - height) * width,
                         area = std::int64_t{height} * width;
      const bool inside = 4 * (across * across + down * down) < area * area;
      const std::int64_t square = (2 * x - width) * (2 * x - width) + (2 * y - height) * (2 * y - height);
      for (int c = 0; c < 3; ++c) {
        const int noise =
            static_cast<int>(256 * test::hashed_number(static_cast<std::uint64_t>(number), pixels.size()));
        const int slope = 60 + static_cast<int>((x * (c + 2) + y * 3) / 4 % 110);
        int value = 0;
        if (kind == "noise") value = noise;
        if (kind == "slopes") value = slope;
        if (kind == "one_colour") value = (37 * number + 60 * c) % 256;
        if (kind == "dark_noise") value = 10 + noise / 8;
        if (kind == "bright_dot" && y == 7 * number % height && x == 13 * number % width) value = 255;
        if (kind == "target") value = square < 10 * 10 ? 180 + c : square < 50 * 50 ? 0 : 255;
        if (kind == "scene") value = inside ? 150 + 20 * c + noise / 8 : slope + noise / 16;
        pixels.push_back(static_cast<std::uint8_t>(value));
      }
    }
  }
  return pixels;
}

// In float32 and in this order, as torchvision's ToTensor and Normalize do.
std::vector<float> normalised(const std::vector<std::uint8_t>& pixels) {
  constexpr std::array<float, 3> mean{0.485f, 0.456f, 0.406f}, deviation{0.229f, 0.224f, 0.225f};
  std::vector<float> values(pixels.size());
  for (std::size_t i = 0; i < pixels.size(); ++i)
    values[i] = (static_cast<float>(pixels[i]) / 255.0f - mean[i % 3]) / deviation[i % 3];
  return values;
}

TEST(FineGrainedSaliency, EqualsOpenCvsBitForBit) {
  const auto table =
      io::read_csv(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/fine_grained_saliency.csv");
  ASSERT_EQ(table.rows.size(), 1 + 200u);
  SaliencyScratch scratch;  // one for all: what a larger picture left behind must not be seen
  SaliencyMap map;
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const auto& cells = table.rows[i].cells;
    const auto number = [&](std::size_t column) { return static_cast<int>(*io::to_integer(cells[column])); };
    const int height = number(3), width = number(4);
    const auto pixels = picture(cells[1], number(2), height, width);
    if (cells[0] == "bytes")
      fine_grained_saliency(pixels.data(), height, width, scratch, map);
    else
      fine_grained_saliency_of_upstream_float(normalised(pixels).data(), height, width, scratch, map);
    const std::string where = table.where(table.rows[i]) + " " + cells[0] + " " + cells[1];
    ASSERT_EQ(map.height, height) << where;
    ASSERT_EQ(map.width, width) << where;
    ASSERT_EQ(map.values.size(), pixels.size() / 3) << where;
    EXPECT_EQ(test::crc32(map.values), std::stoul(cells[5], nullptr, 16)) << where;
    EXPECT_EQ(map.peak, (SaliencyPeak{number(6), number(7)})) << where;
  }
}

TEST(FineGrainedSaliency, PeakLiesOnWhatStandsOut) {
  constexpr int side = 60, row = 41, column = 13;
  std::vector<std::uint8_t> pixels(side * side * 3, 100);
  for (int c = 0; c < 3; ++c) pixels[(row * side + column) * 3 + c] = 250;
  SaliencyScratch scratch;
  SaliencyMap map;
  fine_grained_saliency(pixels.data(), side, side, scratch, map);
  EXPECT_EQ(map.peak, (SaliencyPeak{row, column}));
}

TEST(FineGrainedSaliency, PictureOfOneColourPeaksAtTheOrigin) {
  constexpr int side = 33;
  SaliencyScratch scratch;
  SaliencyMap map;
  for (const int value : {0, 117, 255}) {
    const std::vector<std::uint8_t> pixels(side * side * 3, static_cast<std::uint8_t>(value));
    fine_grained_saliency(pixels.data(), side, side, scratch, map);
    EXPECT_EQ(map.peak, SaliencyPeak{}) << value;
    EXPECT_THAT(map.values, testing::Each(0)) << value;
  }
}

TEST(FineGrainedSaliency, AllocatesForTheFirstPictureOnly) {
  constexpr int side = 64;
  const auto pixels = picture("scene", 1, side, side);
  const auto values = normalised(pixels);
  SaliencyScratch scratch;
  SaliencyMap map;
  const auto both = [&] {
    fine_grained_saliency(pixels.data(), side, side, scratch, map);
    fine_grained_saliency_of_upstream_float(values.data(), side, side, scratch, map);
  };
  const auto memory = [&] {
    return std::vector<const void*>{
        map.values.data(),         scratch.gray.data(),      scratch.centres.data(),  scratch.sums.data(),
        scratch.float_gray.data(), scratch.float_row.data(), scratch.integral.data(), scratch.counts.data(),
        scratch.centre_row.data(), scratch.on_row.data(),    scratch.off_row.data(),  scratch.on.data(),
        scratch.off.data()};
  };
  both();
  const auto before = memory();
  both();
  EXPECT_EQ(memory(), before);
}

TEST(FineGrainedSaliency, RefusesSidesThatAreNone) {
  SaliencyScratch scratch;
  SaliencyMap map;
  EXPECT_THROW(fine_grained_saliency(nullptr, 0, 5, scratch, map), DataError);
  EXPECT_THROW(fine_grained_saliency(nullptr, 5, -1, scratch, map), DataError);
  EXPECT_THROW(fine_grained_saliency_of_upstream_float(nullptr, 5, 40000, scratch, map), DataError);
}

}  // namespace
}  // namespace deda::mixing
