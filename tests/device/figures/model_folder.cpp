#include "device/figures/model_folder.h"

#include <nlohmann/json.hpp>
#include <string>

#include "core/files.h"
#include "device/figures/random_weights.h"
#include "device/figures/subcommands.h"
#include "diffusion/inversion/training_noise.h"
#include "models/text/clip_tokenizer.h"
#include "models/weights/weights.h"
#include "support/tiny_diffusion_model.h"

namespace deda::figures {
namespace {

namespace fs = std::filesystem;

// Drawn on `device`: a core needs seconds for as many numbers as Stable Diffusion has.
template <class Make>
void write_network(const fs::path& file, at::Device device, const Make& make, std::uint64_t seed) {
  const auto network = models::build_as(at::kHalf, make);
  network->to(device);
  fill_with_random_weights(*network, seed);
  make_folder(file.parent_path());
  models::save_weights(*network, file, {{"format", "pt"}});
}

void write_tokenizer(const fs::path& folder, const fs::path& given) {
  if (!given.empty()) {
    make_folder(folder.parent_path());
    fs::copy(given, folder, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    return;
  }
  auto words = test::words_of_templates();
  words.insert(words.end(), {"bird", "car", "cat", "dog"});
  models::write_word_tokenizer(folder, words, models::ClipTextConfig{}.positions);
}

}  // namespace

ModelShape published_shape() {
  return {.unet = {},
          .autoencoder = {},
          .text = {},
          .transparent_encoder = models::published_transparent_encoder_widths(),
          .transparent_decoder = {}};
}

ModelShape tiny_shape() {
  ModelShape shape;
  shape.unet = test::tiny_unet_config({});
  shape.autoencoder = test::tiny_autoencoder_config({});
  shape.text.hidden_size = test::tiny_text_width;
  shape.text.layers = shape.text.heads = 2;
  shape.text.intermediate_size = 2 * test::tiny_text_width;
  shape.transparent_encoder = {8, 8, 16};
  shape.transparent_decoder = {.widths = {8, 8, 16}, .first_attention = 2, .latent_level = 2};
  return shape;
}

void write_model_folder(const fs::path& folder, const ModelShape& shape, at::Device device,
                        const fs::path& tokenizer) {
  std::uint64_t seed = 1;
  write_tokenizer(folder / "tokenizer", tokenizer);
  const auto words = models::ClipTokenizer::from_folder(folder / "tokenizer");
  auto text = shape.text;
  text.vocab_size = words.vocabulary();
  text.eos_token_id = words.end_id();
  write_network(
      folder / "text_encoder" / "model.safetensors", device,
      [&] { return std::make_shared<models::ClipText>(text); }, seed++);
  write_atomically(folder / "text_encoder" / "config.json", models::to_json(text));
  write_network(
      folder / "unet" / "diffusion_pytorch_model.safetensors", device,
      [&] { return std::make_shared<models::UNet>(shape.unet); }, seed++);
  write_atomically(folder / "unet" / "config.json", models::to_json(shape.unet));
  write_network(
      folder / "vae" / "diffusion_pytorch_model.safetensors", device,
      [&] { return std::make_shared<models::Autoencoder>(shape.autoencoder); }, seed++);
  write_atomically(folder / "vae" / "config.json", models::to_json(shape.autoencoder));
  const auto channels = shape.autoencoder.latent_channels;
  write_network(
      folder / "transparent_encoder.safetensors", device,
      [&] { return std::make_shared<models::TransparentEncoder>(shape.transparent_encoder, channels); },
      seed++);
  write_network(
      folder / "transparent_decoder.safetensors", device,
      [&] { return std::make_shared<models::TransparentDecoder>(shape.transparent_decoder); }, seed++);
  make_folder(folder / "scheduler");
  write_atomically(folder / "scheduler" / "scheduler_config.json",
                   diffusion::to_json(diffusion::stable_diffusion_schedule()));
  const nlohmann::ordered_json index{
      {"_class_name", "StableDiffusionPipeline"},          {"scheduler", {"diffusers", "PNDMScheduler"}},
      {"text_encoder", {"transformers", "CLIPTextModel"}}, {"tokenizer", {"transformers", "CLIPTokenizer"}},
      {"unet", {"diffusers", "UNet2DConditionModel"}},     {"vae", {"diffusers", "AutoencoderKL"}}};
  write_atomically(folder / "model_index.json", index.dump(2) + "\n");
}

int make_model(const Options& options) {
  write_model_folder(options.model, options.tiny ? tiny_shape() : published_shape(), at::kCPU,
                     options.tokenizer);
  return 0;
}

}  // namespace deda::figures
