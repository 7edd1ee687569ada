// Picture operations are torchvision's on PIL pictures, byte for byte, at every magnitude: checksums of
// tests/golden/torchvision_pictures.py.
#include "augment/picture_operations.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <sstream>

#include "augment/golden_pictures.h"
#include "augment/operation_loops.h"
#include "augment/pixel_rows.h"
#include "core/random.h"
#include "io/formats/text_table.h"
#include "support/crc32.h"

namespace deda::augment {
namespace {

std::vector<std::uint32_t> hex_numbers(const std::string& text) {
  std::vector<std::uint32_t> numbers;
  std::istringstream words(text);
  for (std::string word; words >> word;)
    numbers.push_back(static_cast<std::uint32_t>(std::stoul(word, nullptr, 16)));
  return numbers;
}

Operation operation_named(const std::string& name) {
  for (int i = 0; i <= operations_to_draw; ++i) {
    if (name_of(static_cast<Operation>(i)) == name) return static_cast<Operation>(i);
  }
  throw std::runtime_error("no operation is called " + name);
}

TEST(PictureOperations, EqualTorchvisionByteForByteAtEveryMagnitude) {
  const io::TextTable table =
      io::read_csv(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/torchvision_operations.csv");
  std::map<std::string, std::size_t> compared;  // by policy
  OperationScratch scratch;
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const auto& cells = table.rows[i].cells;
    const auto number = [&](std::size_t column) { return static_cast<int>(*io::to_integer(cells[column])); };
    const Operation operation = operation_named(cells[1]);
    const io::Image picture = test::golden_picture(number(2), number(3), number(4));
    const auto magnitudes = hex_numbers(cells[5]);
    const auto expect = [&](const std::vector<std::uint32_t>& checksums, float sign) {
      ASSERT_EQ(checksums.size(), magnitudes.size());
      for (std::size_t bin = 0; bin < magnitudes.size(); ++bin) {
        const float magnitude = sign * std::bit_cast<float>(magnitudes[bin]);
        io::Image changed = picture;
        apply(operation, magnitude, picture.height, picture.width, changed.pixels.data(), scratch);
        EXPECT_EQ(test::crc32(changed.pixels), checksums[bin])
            << cells[0] << " " << cells[1] << " " << magnitude << ", " << table.where(table.rows[i]);
        ++compared[cells[0]];
      }
    };
    expect(hex_numbers(cells[6]), 1.0f);
    EXPECT_EQ(has_sign(operation) && cells[0] != "color_jitter", !cells[7].empty()) << cells[1];
    if (!cells[7].empty()) expect(hex_numbers(cells[7]), -1.0f);
    if (cells[0] == "color_jitter") continue;
    const auto range =
        cells[0] == "randaugment" ? MagnitudeRange::randaugment : MagnitudeRange::trivialaugment;
    for (std::size_t bin = 0; bin < magnitudes.size(); ++bin)
      EXPECT_EQ(std::bit_cast<std::uint32_t>(
                    magnitude_of(operation, range, static_cast<int>(bin), picture.height, picture.width)),
                magnitudes[bin])
          << cells[0] << " " << cells[1] << " bin " << bin;
  }
  // 9 signed operations of 31 bins, 2 without a sign, 3 without a magnitude; 6 pictures.
  constexpr std::size_t of_a_policy = 6 * (9 * 62 + 2 * 31 + 3);
  EXPECT_EQ(compared["randaugment"], of_a_policy);
  EXPECT_EQ(compared["trivialaugment"], of_a_policy);
  EXPECT_EQ(compared["color_jitter"], 6u * 4 * 41);
}

TEST(PictureOperations, WriteNothingBesideThePicture) {
  OperationScratch scratch;
  for (int i = 0; i <= operations_to_draw; ++i) {
    const auto operation = static_cast<Operation>(i);
    for (const float sign : {1.0f, -1.0f}) {
      for (const auto& [height, width] : {std::pair{8, 8}, {13, 11}, {32, 17}}) {
        const io::Image picture = test::golden_picture(0, height, width);
        for (const int bin : {9, 30}) {
          // Room of a few rows on either side.
          const std::size_t bytes = picture.pixels.size(), room = 4 * static_cast<std::size_t>(width) * 3;
          std::vector<std::uint8_t> guarded(room, 77);
          guarded.insert(guarded.end(), picture.pixels.begin(), picture.pixels.end());
          guarded.resize(bytes + 2 * room, 77);
          const float magnitude =
              operation == Operation::hue
                  ? 0.3f
                  : magnitude_of(operation, MagnitudeRange::trivialaugment, bin, height, width);
          apply(operation, has_sign(operation) ? sign * magnitude : magnitude, height, width,
                guarded.data() + room, scratch);
          const auto after = guarded.begin() + static_cast<std::ptrdiff_t>(room + bytes);
          EXPECT_EQ(std::count(guarded.begin(), guarded.begin() + static_cast<std::ptrdiff_t>(room), 77) +
                        std::count(after, guarded.end(), 77),
                    2 * static_cast<std::ptrdiff_t>(room))
              << name_of(operation);
        }
      }
    }
  }
}

// Bytes, and pixels of three bytes, at all lengths and alignments.
TEST(OperationLoops, BothPathsAgreeBitForBit) {
  if (!has_avx2()) GTEST_SKIP() << "this processor has no AVX2";
  const OperationLoops &plain = plain_operation_loops(), &best = best_operation_loops();
  ASSERT_NE(plain.smooth, best.smooth) << "DEDA_SIMD=plain is set";
  RandomStream random{4, Purpose::test, 0, 0};
  for (int trial = 0; trial < 600; ++trial) {
    const std::size_t pixels = 3 + random.below(140), bytes = 3 * pixels;
    std::vector<std::uint8_t> a(3 * bytes), other(bytes);
    const std::uint32_t range = trial % 3 == 0 ? 256 : 1 + random.below(256);
    for (auto& byte : a) byte = static_cast<std::uint8_t>(255 - random.below(range));
    for (auto& byte : other) byte = static_cast<std::uint8_t>(random.below(256));
    const auto both = [&](const char* what, const auto& run) {
      std::vector<std::uint8_t> x(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(bytes)), y = x;
      x.resize(bytes + 40, 9);
      y.resize(bytes + 40, 9);
      run(plain, x.data());
      run(best, y.data());
      EXPECT_EQ(x, y) << what << " of " << bytes;
    };
    const auto mask = static_cast<std::uint8_t>(0xFF00u >> random.below(9));
    const int threshold = static_cast<int>(random.below(257));
    const auto value = static_cast<std::uint8_t>(random.below(256));
    const auto factor = static_cast<float>(random.uniform(0.0, 2.5));
    both("keep_bits", [&](const OperationLoops& loops, std::uint8_t* x) { loops.keep_bits(x, bytes, mask); });
    both("invert_from",
         [&](const OperationLoops& loops, std::uint8_t* x) { loops.invert_from(x, bytes, threshold); });
    both("blend_with_value", [&](const OperationLoops& loops, std::uint8_t* x) {
      loops.blend_with_value(x, bytes, value, factor);
    });
    both("blend_with", [&](const OperationLoops& loops, std::uint8_t* x) {
      loops.blend_with(other.data(), x, bytes, factor);
    });
    both("grey", [&](const OperationLoops& loops, std::uint8_t* x) { loops.grey(a.data(), pixels, x); });
    both("smooth", [&](const OperationLoops& loops, std::uint8_t* x) {
      loops.smooth(a.data(), a.data() + bytes, a.data() + 2 * bytes, bytes, x);
    });
    ChannelTables tables;
    for (auto& table : tables) {
      for (auto& entry : table) entry = static_cast<std::uint8_t>(random.below(256));
    }
    both("look_up", [&](const OperationLoops& loops, std::uint8_t* x) { loops.look_up(x, pixels, tables); });
    // A walk that stays inside of three rows (`a` and the byte behind them).
    auto rows = a;
    rows.push_back(0);
    const auto dx = static_cast<std::int32_t>(random.below(65537)),
               dy = static_cast<std::int32_t>((2u << 16) / pixels);
    const bool back = random.below(2) == 1;
    const auto last_row = static_cast<std::int32_t>((3u << 16) - 1);
    const PixelWalk walk{rows.data(),
                         static_cast<std::int32_t>(bytes),
                         static_cast<std::int32_t>(random.below(65536)) % 9,
                         back ? last_row : 0,
                         dx,
                         back ? -dy : dy};
    both("gather", [&](const OperationLoops& loops, std::uint8_t* x) { loops.gather(walk, pixels, x); });
    EXPECT_EQ(plain.grey_sum(a.data(), pixels), best.grey_sum(a.data(), pixels));
    const auto p = plain.extremes(a.data(), pixels), b = best.extremes(a.data(), pixels);
    EXPECT_EQ(p.least, b.least);
    EXPECT_EQ(p.most, b.most);
  }
}

}  // namespace
}  // namespace deda::augment
