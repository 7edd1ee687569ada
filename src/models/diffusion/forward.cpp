#include "models/diffusion/forward.h"

#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "models/diffusion/autoencoder.h"
#include "models/diffusion/layer_diffuse.h"
#include "models/diffusion/lora_file.h"
#include "models/diffusion/transparent.h"
#include "models/diffusion/unet.h"
#include "models/forward_inputs.h"
#include "models/text/clip_text.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;

// The folder of a part: the given one, or its PART below a whole model's.
fs::path part_folder(const fs::path& given, const std::string& part) {
  if (fs::exists(given / "config.json") || !fs::exists(given / part / "config.json")) return given;
  return given / part;
}

template <class Network, class Make>
std::shared_ptr<Network> ready(const ForwardRequest& request, const Make& make) {
  auto network = build_as(request.dtype, make);
  freeze(*network);
  network->eval();
  return network;
}

NamedTensors as_float(NamedTensors outputs) {
  for (auto& [name, tensor] : outputs) tensor = tensor.to(at::kFloat).contiguous();
  return outputs;
}

// A file for text encoders too changes the UNet alone here, and says so.
void merge_lora(UNet& network, const fs::path& path) {
  auto file = read_lora(path);
  const auto of_texts = [](const LoraModule& module) { return module.network != "unet"; };
  const auto passed_over = std::erase_if(file.modules, of_texts);
  if (file.modules.empty()) throw DataError("changes no matrix of a UNet", path.string());
  const auto counts = apply_lora({&network, {}}, file);
  log_info("LoRA {}: {} matrices of the UNet{}", path.string(), counts.unet,
           passed_over == 0 ? std::string{}
                            : "; " + std::to_string(passed_over) + " of text encoders are passed over");
}

NamedTensors run_unet(const ForwardRequest& request) {
  const auto folder = part_folder(request.weights, "unet");
  const auto config = read_unet_config(folder / "config.json");
  ForwardInputs inputs(request);
  const auto sample = inputs.take("sample", {-1, config.in_channels, -1, -1});
  const auto batch = sample.defined() && sample.dim() > 0 ? sample.size(0) : -1;
  const auto timestep = inputs.take_timesteps("timestep", batch);
  const auto text = inputs.take("encoder_hidden_states", {batch, -1, config.cross_attention_dim});
  UNet::Added added;
  if (config.added_time_width > 0) {
    added.text_embeds =
        inputs.take("text_embeds", {batch, config.added_input_width - 6 * config.added_time_width});
    added.time_ids = inputs.take("time_ids", {batch, 6});
  }
  inputs.finish();
  // What is merged is merged in float32 at least and rounded once, as where it is used (diffusion/model.cpp).
  const bool merges = !request.layer_diffuse.empty() || !request.lora.empty();
  auto loading = request;
  if (merges && request.dtype != at::kDouble) loading.dtype = at::kFloat;
  auto network = ready<UNet>(loading, [&] { return std::make_shared<UNet>(config); });
  load_weight_files(*network, open_weight_files(folder, "diffusion_pytorch_model"));
  if (!request.lora.empty()) merge_lora(*network, request.lora);
  if (!request.layer_diffuse.empty()) apply_layer_diffuse(*network, request.layer_diffuse);
  if (loading.dtype != request.dtype) convert_weights(*network, request.dtype, folder.string());
  network->to(request.device);
  return as_float({{"sample", network->forward(sample, timestep, text, added)}});
}

std::shared_ptr<Autoencoder> autoencoder_of(const ForwardRequest& request, const fs::path& folder,
                                            const AutoencoderConfig& config) {
  auto network = ready<Autoencoder>(request, [&] { return std::make_shared<Autoencoder>(config); });
  load_weight_files(*network, open_weight_files(folder, "diffusion_pytorch_model"), current_autoencoder_name);
  network->to(request.device);
  return network;
}

NamedTensors run_autoencoder(const ForwardRequest& request, bool encode) {
  const auto folder = part_folder(request.weights, "vae");
  const auto config = read_autoencoder_config(folder / "config.json");
  ForwardInputs inputs(request);
  const auto sample =
      inputs.take("sample", {-1, encode ? config.in_channels : config.latent_channels, -1, -1});
  if (encode && sample.defined() && sample.dim() == 4 &&
      (sample.size(2) % config.factor() != 0 || sample.size(3) % config.factor() != 0))
    inputs.problems.push_back(
        {"height and width of `sample` must be multiples of " + std::to_string(config.factor()),
         request.inputs_from,
         {}});
  inputs.finish();
  const auto network = autoencoder_of(request, folder, config);
  if (!encode) return as_float({{"sample", network->decode(sample)}});
  const auto posterior = network->encode(sample);
  return as_float({{"mean", posterior.mean}, {"logvar", posterior.logvar}});
}

NamedTensors run_text_encoder(const ForwardRequest& request) {
  const auto folder = part_folder(request.weights, "text_encoder");
  const auto config = read_clip_text_config(folder / "config.json");
  ForwardInputs inputs(request);
  const auto ids = inputs.take("input_ids", {-1, -1}, true);
  if (ids.defined() && ids.dim() == 2) {
    if (ids.size(1) > config.positions)
      inputs.problems.push_back({"`input_ids` has more than " + std::to_string(config.positions) + " columns",
                                 request.inputs_from,
                                 {}});
    if (ids.min().item<std::int64_t>() < 0 || ids.max().item<std::int64_t>() >= config.vocab_size)
      inputs.problems.push_back(
          {"`input_ids` holds ids outside of 0.." + std::to_string(config.vocab_size - 1),
           request.inputs_from,
           {}});
  }
  inputs.finish();
  auto network = ready<ClipText>(request, [&] { return std::make_shared<ClipText>(config); });
  load_weight_files(*network, open_weight_files(folder, "model"), clip_text_name);
  network->to(request.device);
  const auto states = network->forward(ids);
  NamedTensors outputs{{"last_hidden_state", states.last},
                       {"penultimate_hidden_state", states.penultimate},
                       {"pooler_output", states.pooled}};
  if (states.text_embeds.defined()) outputs["text_embeds"] = states.text_embeds;
  return as_float(outputs);
}

NamedTensors run_transparent_encoder(const ForwardRequest& request) {
  ForwardInputs inputs(request);
  const auto x = inputs.take("x", {-1, 4, -1, -1});
  inputs.finish();
  const auto network = load_transparent_encoder(request.weights, request.dtype);
  freeze(*network);
  network->to(request.device);
  return as_float({{"offset", network->forward(x)}});
}

NamedTensors run_transparent_decoder(const ForwardRequest& request) {
  ForwardInputs inputs(request);
  const auto pixel = inputs.take("pixel", {-1, 3, -1, -1});
  const auto latent = inputs.take("latent", {pixel.defined() ? pixel.size(0) : -1, -1, -1, -1});
  std::int64_t factor = 8;
  if (pixel.defined() && latent.defined() && pixel.dim() == 4 && latent.dim() == 4) {
    factor = pixel.size(2) / latent.size(2);
    if (factor * latent.size(2) != pixel.size(2) || factor * latent.size(3) != pixel.size(3))
      inputs.problems.push_back(
          {"`pixel` must be a whole multiple of `latent` in height and width", request.inputs_from, {}});
  }
  inputs.finish();
  const auto network = load_transparent_decoder(request.weights, factor, request.dtype);
  if (pixel.size(2) % network->size_multiple() != 0 || pixel.size(3) % network->size_multiple() != 0)
    throw DataError(
        "height and width of `pixel` must be multiples of " + std::to_string(network->size_multiple()),
        request.inputs_from);
  freeze(*network);
  network->to(request.device);
  const auto run = [&](const at::Tensor& p, const at::Tensor& l) { return network->forward(p, l); };
  return as_float({{"single", run(pixel, latent)}, {"median", decode_by_votes(run, pixel, latent)}});
}

}  // namespace

std::vector<ForwardModel> diffusion_forward_models() {
  const auto without_gradients = [](NamedTensors (*run)(const ForwardRequest&)) {
    return [run](const ForwardRequest& request) {
      torch::NoGradGuard no_gradients;
      return run(request);
    };
  };
  return {
      {"unet",
       "`sample` [B, 4, h, w] (InstructPix2Pix: 8 channels), `timestep` [B] (fractions too), "
       "`encoder_hidden_states` [B, N, D] (SDXL: `text_embeds`, `time_ids`) -> `sample`; --layerdiffuse FILE "
       "merges LayerDiffuse's weights, --lora FILE a LoRA",
       without_gradients(run_unet)},
      {"vae_encoder", "`sample` [B, 3, H, W] in -1..1 -> `mean`, `logvar`",
       without_gradients([](const ForwardRequest& r) { return run_autoencoder(r, true); })},
      {"vae_decoder", "`sample` [B, 4, h, w] (unscaled latents) -> `sample`",
       without_gradients([](const ForwardRequest& r) { return run_autoencoder(r, false); })},
      {"text_encoder", "`input_ids` [B, N] -> `last_hidden_state` (with a projection: `text_embeds`)",
       without_gradients(run_text_encoder)},
      {"transparent_encoder", "`x` [B, 4, H, W] (alpha, R, G, B) -> `offset`",
       without_gradients(run_transparent_encoder)},
      {"transparent_decoder",
       "`pixel` [B, 3, H, W] in 0..1, `latent` [B, 4, H/8, W/8] -> `median` (eight orientations, clipped), "
       "`single` (one pass, raw)",
       without_gradients(run_transparent_decoder)}};
}

}  // namespace deda::models
