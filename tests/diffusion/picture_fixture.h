// Folders of tiny models for whole pictures, and the pictures and settings of tests/golden/whole_pictures.py.
#pragma once

#include "diffusion/edit_fixture.h"
#include "diffusion/whole/picture_generator.h"

namespace deda::test {

// The golden model without transparent networks; with `sees_pictures` its UNet has InstructPix2Pix's
// channels.
inline void write_picture_model(const std::filesystem::path& folder, bool sees_pictures) {
  write_golden_model(folder);
  std::filesystem::remove(folder / "transparent_encoder.safetensors");
  std::filesystem::remove(folder / "transparent_decoder.safetensors");
  if (!sees_pictures) return;
  auto config = tiny_unet_config({});
  config.in_channels *= 2;
  write_made_up(folder / "unet" / "diffusion_pytorch_model.safetensors", models::UNet(config));
  write_atomically(folder / "unet" / "config.json", models::to_json(config));
}

inline diffusion::ModelsConfig picture_models_config(const std::filesystem::path& folder) {
  diffusion::ModelsConfig config;
  config.base = folder;
  return config;
}

inline std::shared_ptr<const diffusion::DiffusionModel> load_picture_model(
    const diffusion::ModelsConfig& config, at::Device device = at::kCPU) {
  return std::make_shared<const diffusion::DiffusionModel>(config, device, diffusion::UNetWeights::plain,
                                                           diffusion::LatentCodec::plain);
}

// Hashed colours in blocks of three by three pixels.
inline io::Image blocks_of_colour(int height, int width, std::uint64_t number) {
  constexpr int block = 3;
  io::Image picture(height, width, 3);
  const int columns = (width + block - 1) / block;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const auto element = static_cast<std::uint64_t>(((y / block) * columns + x / block) * 3 + c);
        picture.row(y)[3 * x + c] = static_cast<std::uint8_t>(hashed_number(700 + number, element) * 256);
      }
    }
  }
  return picture;
}

inline std::vector<io::Image> golden_rgb_pictures() {
  return {blocks_of_colour(27, 40, 0), blocks_of_colour(50, 21, 1)};
}

// Of the two golden pictures.
inline constexpr std::array<std::uint64_t, 2> golden_seeds{5, 9223372036854775885u};

// Unconditional, text of the first picture, of the second.
inline std::vector<diffusion::TextCondition> golden_picture_texts() {
  const auto states = made_up(9100, {3, 77, tiny_text_width});
  std::vector<diffusion::TextCondition> texts;
  for (std::int64_t i = 0; i < 3; ++i) texts.push_back({states.slice(0, i, i + 1), {}});
  return texts;
}

inline diffusion::PictureSettings img2img_settings(diffusion::SchedulerKind scheduler, std::int64_t steps,
                                                   std::vector<double> strengths) {
  diffusion::PictureSettings settings;
  settings.edit = {.scheduler = scheduler, .steps = steps, .guidance = 7.5, .resolution = tiny_resolution};
  settings.strengths = std::move(strengths);
  return settings;
}

inline diffusion::PictureSettings pix2pix_settings() {
  diffusion::PictureSettings settings;
  settings.edit = {.scheduler = diffusion::SchedulerKind::euler_ancestral_linspace,
                   .steps = 20,
                   .guidance = 4,
                   .resolution = tiny_resolution,
                   .led_by = diffusion::Guidance::text_and_picture,
                   .picture_guidance = 1.5};
  settings.into_square = io::Filter::bicubic;
  return settings;
}

inline diffusion::PictureGenerator golden_generator(std::shared_ptr<const diffusion::DiffusionModel> model,
                                                    const diffusion::PictureSettings& settings) {
  const auto texts = golden_picture_texts();
  return {std::move(model), settings, {texts[1], texts[2]}, texts[0]};
}

// Both golden pictures under their texts.
inline std::vector<diffusion::PictureTask> golden_tasks(double strength) {
  return {{0, 0, strength, golden_seeds[0]}, {1, 1, strength, golden_seeds[1]}};
}

inline int largest_difference(const io::Image& a, const io::Image& b) {
  if (a.pixels.size() != b.pixels.size()) return 255;
  int most = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i)
    most = std::max(most, std::abs(a.pixels[i] - b.pixels[i]));
  return most;
}

}  // namespace deda::test
