// Spectral residual saliency and torchvision's blur, against tests/golden/mixing_saliency.py.
#include "training/mixing/spectral_residual.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "pretended_device/pretended_device.h"
#include "support/hashed_numbers.h"

namespace deda::training {
namespace {

// Of the largest magnitude. The golden numbers were computed in double; torch's own float32 is off by up
// to 1.6e-6.
constexpr double tolerance = 1e-5;

nlohmann::json golden(const char* part) {
  return nlohmann::json::parse(
             read_text(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/spectral_residual.json"))
      .at(part);
}

// The script's formula.
at::Tensor made_up_pictures(std::uint64_t number, std::int64_t batch, std::int64_t height,
                            std::int64_t width) {
  auto pictures = at::empty({batch, 3, height, width}, at::kFloat);
  float* out = pictures.mutable_data_ptr<float>();
  std::uint64_t i = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t y = 0; y < height; ++y) {
        for (std::int64_t x = 0; x < width; ++x, ++i) {
          const double slope = static_cast<double>((x * (c + 2) + y * 3 + b * 17) % 128) / 64;
          const bool inside = 3 * y > height && 3 * y < 2 * height && 4 * x > width && 2 * x < width;
          out[i] = static_cast<float>(slope + test::hashed_number(number, i) + (inside ? 1.5 : 0.0) - 2);
        }
      }
    }
  }
  return pictures;
}
at::Tensor made_up_pictures(const nlohmann::json& entry) {
  const auto shape = entry.at("shape").get<std::vector<std::int64_t>>();
  return made_up_pictures(entry.at("number").get<std::uint64_t>(), shape[0], shape[1], shape[2]);
}

void expect_golden(const at::Tensor& maps, const nlohmann::json& entry) {
  const auto what = entry.at("shape").dump();
  EXPECT_EQ(nlohmann::json(maps.sizes().vec()).dump(), what);
  EXPECT_EQ(maps.scalar_type(), at::kFloat) << what;
  const auto flat = maps.cpu().to(at::kDouble).flatten();
  const double scale = entry.at("scale").get<double>(), allowed = tolerance * scale;
  EXPECT_NEAR(flat.abs().max().item<double>(), scale, allowed) << what;
  EXPECT_NEAR(flat.mean().item<double>(), entry.at("mean").get<double>(), allowed) << what;
  const auto samples = entry.at("samples").get<std::vector<double>>();
  const auto last = static_cast<std::int64_t>(samples.size()) - 1;
  for (std::int64_t i = 0; i <= last; ++i)
    EXPECT_NEAR(flat[i * (flat.numel() - 1) / last].item<double>(), samples[static_cast<std::size_t>(i)],
                allowed)
        << what << " sample " << i;
}

TEST(SpectralResidual, EqualsTorchvisionsOperations) {
  const auto cases = golden("saliency");
  ASSERT_EQ(cases.size(), 10u);
  for (const auto& entry : cases) {
    const auto pictures = made_up_pictures(entry);
    expect_golden(spectral_residual(pictures), entry);
    expect_golden(spectral_residual(pictures.contiguous(at::MemoryFormat::ChannelsLast)), entry);
  }
}

TEST(SpectralResidual, BlurEqualsTorchvisions) {
  const auto cases = golden("blur");
  ASSERT_EQ(cases.size(), 4u);
  for (const auto& entry : cases)
    expect_golden(gaussian_blur_7x7(made_up_pictures(entry).select(1, 0), entry.at("sigma").get<double>()),
                  entry);
}

TEST(SpectralResidual, ConstantPicturesGiveNumbers) {
  for (const std::int64_t side : {96, 128, 224}) {
    for (const double value : {0.0, 1.37, -2.1}) {
      const auto maps = spectral_residual(at::full({2, 3, side, side}, value, at::kFloat));
      EXPECT_TRUE(maps.isfinite().all().item<bool>()) << side << " " << value;
      EXPECT_GE(maps.min().item<float>(), 0) << side << " " << value;
    }
  }
}

TEST(SpectralResidual, TakesNoGradients) {
  const auto pictures = made_up_pictures(5, 1, 16, 16).requires_grad_(true);
  EXPECT_FALSE(spectral_residual(pictures).requires_grad());
  EXPECT_FALSE(gaussian_blur_7x7(pictures.select(1, 0), 1).requires_grad());
}

TEST(SpectralResidual, NothingWaitsForTheDevice) {
  for (const std::int64_t side : {96, 224}) {
    const auto pictures = made_up_pictures(6, 2, side, side);
    const auto expected = gaussian_blur_7x7(spectral_residual(pictures), 1.3);
    const auto there = pictures.to(pretended::device);
    pretended::reset_counters();
    const auto maps = gaussian_blur_7x7(spectral_residual(there), 1.3);
    const auto counted = pretended::counters();
    EXPECT_EQ(counted.waits, 0) << testing::PrintToString(counted.last_waits);
    EXPECT_EQ(counted.copies_to_device + counted.copies_to_host, 0);
    EXPECT_TRUE(maps.device() == pretended::device);
    EXPECT_TRUE(at::equal(maps.cpu(), expected));
  }
}

TEST(SpectralResidual, RefusesWhatItCannotTake) {
  const auto pictures = at::zeros({2, 3, 16, 16}, at::kFloat), maps = at::zeros({2, 16, 16}, at::kFloat);
  EXPECT_THROW(spectral_residual(maps), ModelError);
  EXPECT_THROW(spectral_residual(at::zeros({2, 1, 16, 16}, at::kFloat)), ModelError);
  EXPECT_THROW(spectral_residual(pictures.to(at::kDouble)), ModelError);
  EXPECT_THROW(spectral_residual(at::zeros({2, 3, 3, 16}, at::kFloat)), ModelError);
  EXPECT_THROW(spectral_residual(at::scalar_tensor(1, at::kFloat)), ModelError);
  EXPECT_THROW(gaussian_blur_7x7(pictures, 1), ModelError);
  EXPECT_THROW(gaussian_blur_7x7(maps.to(at::kHalf), 1), ModelError);
  EXPECT_THROW(gaussian_blur_7x7(maps.narrow(2, 0, 3), 1), ModelError);
  EXPECT_THROW(gaussian_blur_7x7(maps, 0), ModelError);
}

}  // namespace
}  // namespace deda::training
