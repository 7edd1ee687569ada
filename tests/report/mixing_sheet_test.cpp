// Sheets of mixed batches: out of a trace's numbers, the pictures that they are.
#include "report/mixing_sheet.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>

#include "core/error.h"
#include "core/files.h"
#include "io/formats/safetensors.h"
#include "support/temporary_folder.h"

namespace deda::report {
namespace {

constexpr std::int64_t pictures = 2, side = 4, classes = 3;
constexpr double mean[3] = {0.485, 0.456, 0.406}, deviation[3] = {0.229, 0.224, 0.225};

// A trace of one step under the names that `deda train --trace` writes.
class Trace {
 public:
  // A batch of pictures of one grey each, normalised.
  void add_pictures(const std::string& name, const std::vector<int>& greys) {
    std::vector<float> values;
    for (const int grey : greys) {
      for (std::size_t c = 0; c < 3; ++c) {
        const auto value = static_cast<float>((grey / 255.0 - mean[c]) / deviation[c]);
        values.insert(values.end(), static_cast<std::size_t>(side * side), value);
      }
    }
    add(name, io::DType::f32, {static_cast<std::int64_t>(greys.size()), 3, side, side}, values);
  }
  template <class Number>
  void add(const std::string& name, io::DType type, std::vector<std::int64_t> shape,
           const std::vector<Number>& values) {
    bytes_.emplace_back(values.size() * sizeof(Number));
    std::memcpy(bytes_.back().data(), values.data(), bytes_.back().size());
    tensors_.push_back({name, type, std::move(shape), {}});
  }
  void write(int step, const std::string& method) {
    for (std::size_t i = 0; i < tensors_.size(); ++i) tensors_[i].bytes = bytes_[i];
    std::map<std::string, std::string> metadata{{"step", std::to_string(step)}};
    if (!method.empty()) metadata["method"] = method;
    io::write_safetensors(folder.path() / fmt::format("step-{:06d}.safetensors", step), tensors_, metadata);
    tensors_.clear();
    bytes_.clear();
  }
  void write_unmixed(int step) {
    add<std::uint8_t>("mix.applied", io::DType::u8, {1}, {0});
    write(step, "guided-ap");
  }

  test::TemporaryFolder folder;

 private:
  std::vector<std::vector<std::uint8_t>> bytes_;
  std::vector<io::TensorToWrite> tensors_;
};

void add_mixed(Trace& trace) {
  trace.add<std::uint8_t>("mix.applied", io::DType::u8, {1}, {1});
  trace.add_pictures("composed", {10, 20});
  trace.add_pictures("mix.partner_composed", {200, 210});
  trace.add_pictures("input", {100, 110});
  trace.add<float>("label", io::DType::f32, {pictures, classes}, {0.25f, 0.0f, 0.75f, 0.0f, 1.0f, 0.0f});
  trace.add<float>("mix.saliency", io::DType::f32, {pictures, 1, 2}, {1.0f, 2.0f, 0.0f, 0.0f});
  trace.add<float>("mix.mask", io::DType::f32, {pictures, 1, 2}, {0.5f, 1.0f, 0.0f, 0.25f});
  trace.add<double>("mix.sigma", io::DType::f64, {1}, {1.5});
}

TEST(MixingSheet, ShowsParentsSaliencyShareAndMixture) {
  Trace trace;
  trace.write_unmixed(0);
  add_mixed(trace);
  trace.write(1, "guided-ap");
  ASSERT_TRUE(is_mixing_trace(trace.folder.path()));
  const auto sheet = mixing_sheet(trace.folder.path(), 12);
  ASSERT_TRUE(sheet.has_value());
  EXPECT_EQ(sheet->method, "guided-ap");
  EXPECT_EQ(sheet->step, "1") << "the first step was not mixed";
  EXPECT_EQ(sheet->decided, "sigma 1.5");
  EXPECT_THAT(sheet->titles, testing::ElementsAre("own", "partner", "saliency", "share of own", "mixed"));
  ASSERT_EQ(sheet->rows.size(), 2u);
  const auto& row = sheet->rows[0];
  EXPECT_EQ(row.caption, "class 0: 0.25, class 2: 0.75");
  ASSERT_EQ(row.cells.size(), 5u);
  const auto first = [&](std::size_t cell) { return int{row.cells[cell].pixels[0]}; };
  const auto last = [&](std::size_t cell) { return int{row.cells[cell].pixels.back()}; };
  EXPECT_EQ(first(0), 10);
  EXPECT_EQ(first(1), 200);
  EXPECT_EQ(first(4), 100);
  EXPECT_EQ(first(2), 128) << "half of the largest value";
  EXPECT_EQ(last(2), 255);
  EXPECT_EQ(first(3), 128);
  EXPECT_EQ(last(3), 255);
  // Nothing salient: black, not a division by nothing.
  EXPECT_EQ(int{sheet->rows[1].cells[2].pixels[0]}, 0);
  EXPECT_EQ(mixing_sheet(trace.folder.path(), 1)->rows.size(), 1u);
}

TEST(MixingSheet, OfSeveralPicturesShowsTheMostShownOnes) {
  Trace trace;
  trace.add<std::uint8_t>("mix.applied", io::DType::u8, {1}, {1});
  trace.add_pictures("composed", {10, 20});
  trace.add_pictures("mix.batch", {30, 40, 50});
  trace.add_pictures("input", {100, 110});
  trace.add<float>("label", io::DType::f32, {pictures, classes}, {0.0f, 0.4f, 0.6f, 1.0f, 0.0f, 0.0f});
  trace.add<float>("mix.assignment", io::DType::f32, {pictures, 3}, {0.1f, 0.3f, 0.6f, 1.0f, 0.0f, 0.0f});
  trace.write(0, "comixup");
  const auto sheet = mixing_sheet(trace.folder.path(), 12);
  ASSERT_TRUE(sheet.has_value());
  EXPECT_THAT(sheet->titles, testing::ElementsAre("most shown", "next", "mixed"));
  EXPECT_EQ(int{sheet->rows[0].cells[0].pixels[0]}, 50);
  EXPECT_EQ(int{sheet->rows[0].cells[1].pixels[0]}, 40);
  EXPECT_EQ(int{sheet->rows[1].cells[0].pixels[0]}, 30);
}

TEST(MixingSheet, KnowsWhatIsNone) {
  Trace plain;
  add_mixed(plain);
  plain.write(0, "");
  EXPECT_FALSE(is_mixing_trace(plain.folder.path()));
  const test::TemporaryFolder empty;
  EXPECT_FALSE(is_mixing_trace(empty.path()));
  Trace unmixed;
  unmixed.write_unmixed(0);
  EXPECT_TRUE(is_mixing_trace(unmixed.folder.path()));
  EXPECT_FALSE(mixing_sheet(unmixed.folder.path(), 3).has_value());
  Trace damaged;
  write_atomically(damaged.folder.path() / "step-000000.safetensors", "no tensors");
  EXPECT_FALSE(is_mixing_trace(damaged.folder.path()));
  Trace incomplete;
  incomplete.add<std::uint8_t>("mix.applied", io::DType::u8, {1}, {1});
  incomplete.write(0, "cutmix");
  EXPECT_THROW(mixing_sheet(incomplete.folder.path(), 3), DataError);
}

}  // namespace
}  // namespace deda::report
