#include "diffusion/model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "device/upload.h"
#include "models/diffusion/layer_diffuse.h"
#include "models/diffusion/lora_file.h"
#include "models/layers.h"

namespace deda::diffusion {
namespace {

namespace fs = std::filesystem;

at::ScalarType dtype_of(Precision precision, at::Device device, const comm::CudaPlugin* plugin,
                        bool autoencoder) {
  switch (precision) {
    case Precision::fp32:
    case Precision::tf32:  // float32 in memory; allow_tf32() lets products round it
      return at::kFloat;
    case Precision::bf16:
      return at::kBFloat16;
    case Precision::fp16:
      return at::kHalf;
    case Precision::automatic:
      break;
  }
  if (device.is_cpu()) return at::kFloat;
  // fp16 overflows in SDXL's autoencoder, bf16 is coarser than 8-bit pictures.
  if (autoencoder) return at::kFloat;
  return plugin != nullptr && plugin->has_bfloat16(device.index()) ? at::kBFloat16 : at::kHalf;
}

// Runs every piece of work; what fails is kept, and thrown together at the end.
class Collector {
 public:
  template <class Work>
  void run(const Work& work) {
    try {
      work();
    } catch (const Error& error) {
      for (const auto& problem : error.problems()) problems_.push_back(problem);
    }
  }
  void finish() {
    if (!problems_.empty()) throw DataError(std::move(problems_));
  }

 private:
  std::vector<Problem> problems_;
};

}  // namespace

void allow_tf32(const ModelsConfig& config, at::Device device) {
  if (device.is_cpu()) return;
  const bool in_unet = config.precision == Precision::tf32;
  const bool in_autoencoder =
      config.vae_precision == Precision::tf32 || config.vae_precision == Precision::automatic;
  // The autoencoder's work is convolutions; matrix products in float32 are the text encoder's too, through
  // which identifiers learn, and stay exact.
  at::globalContext().setAllowTF32CuDNN(in_unet || in_autoencoder);
  at::globalContext().setAllowTF32CuBLAS(in_unet);
}

DiffusionModel::DiffusionModel(const ModelsConfig& config, at::Device where, UNetWeights weights,
                               LatentCodec codec)
    : device{where},
      plugin{where.is_cpu() ? nullptr : comm::load_cuda_plugin().plugin},
      captured_graphs{config.captured_graphs},
      unet_dtype{dtype_of(config.precision, where, plugin, false)},
      vae_dtype{dtype_of(config.vae_precision, where, plugin, true)} {
  models::pad_attention_heads(config.pad_attention_heads);
  require_folder(config);
  const auto& base = config.base;
  Collector collector;
  const auto loras = lora_choices(config);
  const bool merges_layer_diffuse = !config.layer_diffuse.empty() && weights == UNetWeights::merged;
  const bool merges = merges_layer_diffuse || !loras.empty();
  collector.run([&] { schedule = read_scheduler_config(base / "scheduler" / "scheduler_config.json"); });
  const bool two_texts = has_two_text_encoders(config);
  for (int i = 1; i <= (two_texts ? 2 : 1); ++i) {
    const std::string suffix = i == 1 ? "" : "_2";
    collector.run(
        [&] { tokenizers.push_back(models::ClipTokenizer::from_folder(base / ("tokenizer" + suffix))); });
    collector.run([&] {
      const auto folder = base / ("text_encoder" + suffix);
      const auto text_config = models::read_clip_text_config(folder / "config.json");
      auto files = models::open_weight_files(folder, "model");
      auto network =
          std::make_shared<models::ClipText>(text_config);  // float32: identifiers learn through it
      models::load_weight_files(*network, files, models::clip_text_name);
      text_encoders.push_back(network);
    });
  }
  collector.run([&] {
    const auto unet_config = models::read_unet_config(base / "unet" / "config.json");
    auto files = models::open_weight_files(base / "unet", "diffusion_pytorch_model");
    // What is merged is merged in float32 and rounded once: offsets are smaller than bf16's steps.
    unet = models::build_as(merges ? at::kFloat : unet_dtype,
                            [&] { return std::make_shared<models::UNet>(unet_config); });
    models::load_weight_files(*unet, files);
  });
  for (const auto& lora : loras) {
    collector.run([&] {
      require_file(lora.file, "models.lora");
      const auto file = models::read_lora(lora.file);
      if (!unet || text_encoders.size() != (two_texts ? 2u : 1u)) return;  // told already
      models::LoraTargets targets{unet.get(), {}};
      for (const auto& text : text_encoders) targets.text_encoders.push_back(text.get());
      const auto counts = models::apply_lora(targets, file, lora.scale);
      lines.push_back(fmt::format("LoRA {} at scale {}: {} matrices of the UNet, {} of the text encoders{}",
                                  lora.file.string(), lora.scale, counts.unet, counts.text_encoders,
                                  file.embeddings.empty() ? "" : "; the words that it brings are not used"));
    });
  }
  if (merges_layer_diffuse) {
    collector.run([&] {
      require_file(config.layer_diffuse, "models.layer_diffuse");
      if (unet) models::apply_layer_diffuse(*unet, config.layer_diffuse);
    });
  }
  collector.run([&] {
    if (unet && merges) models::convert_weights(*unet, unet_dtype, (base / "unet").string());
  });
  collector.run([&] {
    const auto vae_config = models::read_autoencoder_config(base / "vae" / "config.json");
    if (vae_config.force_upcast && vae_dtype == at::kHalf)
      throw DataError("this autoencoder overflows in fp16 (force_upcast)",
                      (base / "vae" / "config.json").string(),
                      "Set models.vae_precision to \"bf16\" or \"fp32\", or use the fixed fp16 autoencoder.");
    auto files = models::open_weight_files(base / "vae", "diffusion_pytorch_model");
    autoencoder =
        models::build_as(vae_dtype, [&] { return std::make_shared<models::Autoencoder>(vae_config); });
    models::load_weight_files(*autoencoder, files, models::current_autoencoder_name);
  });
  const auto encoder_file = transparent_encoder_file(config), decoder_file = transparent_decoder_file(config);
  if (codec == LatentCodec::transparent) {
    collector.run([&] {
      require_file(encoder_file, "models.transparent_encoder");
      transparent_encoder = models::load_transparent_encoder(encoder_file, vae_dtype);
    });
    collector.run([&] {
      require_file(decoder_file, "models.transparent_decoder");
      if (!autoencoder) return;  // told already
      transparent_decoder = models::load_transparent_decoder(decoder_file, factor(), vae_dtype);
    });
  }
  collector.run([&] {  // parts that do not fit each other
    if (!unet || !autoencoder || text_encoders.empty() || text_encoders.size() != tokenizers.size()) return;
    std::vector<Problem> problems;
    std::int64_t width = 0;
    for (const auto& text : text_encoders) width += text->config().hidden_size;
    if (unet->config().cross_attention_dim != width)
      problems.push_back({fmt::format("the UNet takes texts of width {}, the text encoders give {}",
                                      unet->config().cross_attention_dim, width),
                          base.string(), "The parts are of different models."});
    if (const auto& u = unet->config(); u.added_time_width > 0) {  // SDXL: pooled text and six sizes
      constexpr std::int64_t sizes = 6;
      const auto pooled = u.added_input_width - sizes * u.added_time_width;
      const auto given = text_encoders.back()->config().projection;
      if (pooled != given)
        problems.push_back(
            {fmt::format("the UNet takes a pooled text of width {}, the last text encoder gives {}", pooled,
                         given > 0 ? std::to_string(given) : "none"),
             base.string(), "SDXL needs text_encoder_2, a CLIPTextModelWithProjection."});
    }
    const auto latent = autoencoder->config().latent_channels, taken = unet->config().in_channels;
    if (taken == 2 * latent && codec == LatentCodec::transparent)
      problems.push_back({fmt::format("the UNet takes {} channels: it edits whole pictures, not CDPs", taken),
                          base.string(), "InstructPix2Pix cannot be used here; choose another models.base."});
    else if (taken != latent && !sees_pictures())
      problems.push_back(
          {fmt::format("the UNet takes {} channels, the autoencoder's latents have {}", taken, latent),
           base.string(), "The parts are of different models."});
    if (unet->config().out_channels != latent)
      problems.push_back({fmt::format("the UNet gives {} channels, the autoencoder's latents have {}",
                                      unet->config().out_channels, latent),
                          base.string(), "The parts are of different models."});
    for (std::size_t i = 0; i < tokenizers.size(); ++i) {
      if (tokenizers[i].vocabulary() != text_encoders[i]->config().vocab_size)
        problems.push_back({fmt::format("tokenizer {} has {} tokens, its text encoder {}", i + 1,
                                        tokenizers[i].vocabulary(), text_encoders[i]->config().vocab_size),
                            base.string(), "The parts are of different models."});
    }
    if (transparent_encoder && transparent_encoder->factor() != factor())
      problems.push_back(
          {fmt::format("shrinks {} times, the autoencoder {} times", transparent_encoder->factor(), factor()),
           encoder_file.string(), "The parts are of different models."});
    if (!problems.empty()) throw DataError(std::move(problems));
  });
  collector.finish();
  if (const auto index = base / "model_index.json"; two_texts && fs::exists(index)) {
    const auto json = nlohmann::json::parse(read_text(index), nullptr, false);
    zeros_for_empty_prompt = !json.is_object() || json.value("force_zeros_for_empty_prompt", true);
  }
  for (const auto& text : text_encoders) {
    models::freeze(*text);
    text->to(device);
  }
  for (torch::nn::Module* network : std::initializer_list<torch::nn::Module*>{
           unet.get(), autoencoder.get(), transparent_encoder.get(), transparent_decoder.get()}) {
    if (network == nullptr) continue;
    models::freeze(*network);
    network->to(device);
    network->eval();
    if (!device.is_cpu() && config.channels_last) models::use_channels_last(*network);
  }
  identity = model_identity(config, weights, codec);
  lines.push_back(fmt::format("diffusion model {}: {}, UNet {:.1f} M parameters in {}, autoencoder in {}",
                              base.string(), is_sdxl() ? "SDXL layout" : "Stable Diffusion 1.5 layout",
                              static_cast<double>(models::parameter_count(*unet)) / 1e6,
                              c10::toString(unet_dtype), c10::toString(vae_dtype)));
}

std::int64_t DiffusionModel::size_multiple() const {
  const auto multiple = factor() << (unet->config().block_out_channels.size() - 1);
  return transparent_decoder ? std::max(multiple, transparent_decoder->size_multiple()) : multiple;
}

std::vector<at::Tensor> DiffusionModel::ids_of(const std::vector<models::ClipTokenizer>& with,
                                               const std::vector<std::string>& prompts) const {
  std::vector<at::Tensor> ids;
  for (const auto& tokenizer : with) {
    std::vector<std::int64_t> flat;
    for (const auto& prompt : prompts) {
      const auto row = tokenizer.encode_padded(prompt);
      flat.insert(flat.end(), row.begin(), row.end());
    }
    ids.push_back(at::tensor(flat).view({static_cast<std::int64_t>(prompts.size()), -1}));
  }
  return ids;
}

TextCondition DiffusionModel::encode_text(const std::vector<at::Tensor>& ids,
                                          const std::vector<at::Tensor>& rows) const {
  TextCondition condition;
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < text_encoders.size(); ++i) {
    const auto states =
        text_encoders[i]->forward(device::upload(ids[i], device), i < rows.size() ? rows[i] : at::Tensor{});
    parts.push_back(is_sdxl() ? states.penultimate : states.last);
    if (states.text_embeds.defined()) condition.pooled = states.text_embeds;
  }
  condition.states = parts.size() == 1 ? parts.front() : at::cat(parts, -1);
  return condition;
}

TextCondition DiffusionModel::unconditional(const std::string& negative_prompt) const {
  auto condition = encode_text(ids_of(tokenizers, {negative_prompt}));
  if (negative_prompt.empty() && zeros_for_empty_prompt) {
    condition.states = at::zeros_like(condition.states);
    if (condition.pooled.defined()) condition.pooled = at::zeros_like(condition.pooled);
  }
  return condition;
}

models::UNet::Added DiffusionModel::added_conditions(const at::Tensor& pooled,
                                                     std::int64_t resolution) const {
  if (unet->config().added_time_width == 0) return {};
  // original height and width, crop top and left, target height and width
  const auto ids = device::upload(
      at::tensor({resolution, resolution, std::int64_t{0}, std::int64_t{0}, resolution, resolution})
          .to(at::kFloat),
      device);
  return {pooled.to(unet_dtype), ids.unsqueeze(0).expand({pooled.size(0), -1})};
}

}  // namespace deda::diffusion
