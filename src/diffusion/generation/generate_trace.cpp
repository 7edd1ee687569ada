#include "diffusion/generation/generate_trace.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <map>

#include "core/files.h"
#include "diffusion/transparent/measure_calibration.h"
#include "models/weights/tensor_file.h"

namespace deda::diffusion {
namespace {

using Metadata = std::map<std::string, std::string>;

at::Tensor pixels_of(const io::Image& image) {
  return at::tensor(at::ArrayRef<std::uint8_t>(image.pixels), at::kByte)
      .view({image.height, image.width, image.channels});
}

at::Tensor row_of(const at::Tensor& x, std::int64_t row) {
  return x.slice(0, row, row + 1).contiguous();
}

void add_source(models::NamedTensors& tensors, const EncodedCdps& encoded, std::int64_t position) {
  tensors["padded_rgb"] = row_of(encoded.padded_rgb, position);
  tensors["vae_feed"] = row_of(encoded.feed, position);
  tensors["offset"] = row_of(encoded.offset, position);
  tensors["mean"] = row_of(encoded.mean, position);
  tensors["std"] = row_of(encoded.deviation, position);
  tensors["latents_clean"] = row_of(encoded.latents, position);
}

void add_text(models::NamedTensors& tensors, const Generator& generator, const ClassPrompt& prompt,
              Metadata& metadata) {
  const auto& model = generator.model();
  for (std::size_t i = 0; i < prompt.ids.size(); ++i) {
    const auto suffix = i == 0 ? std::string{} : fmt::format("_{}", i + 1);
    tensors["input_ids" + suffix] = prompt.ids[i];
    if (i < prompt.rows.size() && prompt.rows[i].defined()) {
      tensors["learned_embeds" + suffix] = prompt.rows[i].to(at::kCPU);
      const auto vocabulary = model.tokenizers[i].vocabulary();
      metadata["first_placeholder_id" + suffix] =
          std::to_string(prompt.ids[i].masked_select(prompt.ids[i] >= vocabulary).min().item<std::int64_t>());
    }
  }
  std::vector<at::Tensor> states, pooled;
  const auto add = [&](const TextCondition& text) {
    states.push_back(text.states.to(at::kCPU, at::kFloat));
    if (text.pooled.defined()) pooled.push_back(text.pooled.to(at::kCPU, at::kFloat));
  };
  add(generator.editor().unconditional());
  add(prompt.text);
  tensors["encoder_hidden_states"] = at::cat(states);
  if (pooled.empty()) return;
  tensors["text_embeds"] = at::cat(pooled);
  tensors["time_ids"] = model.added_conditions(at::cat(pooled), generator.settings().resolution)
                            .time_ids.to(at::kCPU)
                            .contiguous();
}

void add_steps(models::NamedTensors& tensors, const RecordedSteps& record, std::int64_t row) {
  std::vector<double> sigmas = record.sigmas;
  tensors["sigmas"] = at::tensor(sigmas, at::kFloat);
  for (std::size_t k = 0; k < record.steps.size(); ++k) {
    const auto& step = record.steps[k];
    const auto add = [&](const char* name, const at::Tensor& value) {
      if (value.defined()) tensors[fmt::format("step_{:02}.{}", k, name)] = row_of(value, row);
    };
    tensors[fmt::format("step_{:02}.timestep", k)] = at::tensor({static_cast<float>(step.timestep)});
    add("sample", step.sample);
    add("noise_pred_uncond", step.unconditional);
    add("noise_pred_text", step.conditional);
    add("noise_pred", step.guided);
    add("fresh_noise", step.fresh_noise);
    add("prev_sample", step.after);
  }
}

void add_result(models::NamedTensors& tensors, const EditRecord& record, std::int64_t row,
                const EditedCopy& copy) {
  tensors["latents_final"] = row_of(record.final_latents, row);
  tensors["image"] = row_of(record.decoded.image, row);
  tensors["pixel"] = row_of(record.decoded.pixel, row);
  tensors["latent"] = row_of(record.decoded.latent, row);
  tensors["argb"] = row_of(record.decoded.argb, row);
  if (copy.decoded.empty()) return;
  tensors["rgba_out"] = pixels_of(copy.decoded);
  tensors["rgba_clean"] = pixels_of(copy.square);
}

Metadata settings_of(const Generator& generator) {
  const auto& settings = generator.settings();
  const auto& generate = settings.generate;
  return {{"schema", "deda-trace-1"},
          {"steps", std::to_string(generate.steps)},
          {"strength", fmt::format("{}", settings.strength)},
          {"guidance", fmt::format("{}", generate.guidance)},
          {"sampler", std::string{name_of(generator.editor().settings().scheduler)}},
          {"negative_prompt", generate.negative_prompt},
          {"offset_gain", fmt::format("{}", settings.transparency.offset_gain)},
          {"decoder_latent", settings.transparency.scaled_latent ? "scaled" : "unscaled"},
          {"decoder_pixel", std::string{name_of(generate.decoder_pixel)}},
          {"decoder_votes", std::to_string(generate.decoder_votes)},
          {"resolution", std::to_string(settings.resolution)},
          {"layout", generator.model().is_sdxl() ? "sdxl" : "sd15"}};
}

}  // namespace

void write_generate_trace(const std::filesystem::path& folder, const Generator& generator,
                          const EditRecord& record, const CdpToEdit& cdp, std::size_t position,
                          const std::vector<EditedCopy>& copies, std::int64_t item) {
  make_folder(folder);
  const auto& prompt = generator.prompt_of(cdp.class_id);
  for (std::size_t i = 0; i < copies.size(); ++i) {
    const auto& copy = copies[i];
    const auto row = static_cast<std::int64_t>(position * copies.size() + i);
    auto metadata = settings_of(generator);
    metadata.insert({{"prompt", prompt.prompt},
                     {"placeholder", prompt.placeholder},
                     {"cdp", std::to_string(item)},
                     {"source", cdp.source},
                     {"k", std::to_string(copy.copy)},
                     {"seed", std::to_string(copy.seed)},
                     {"outcome", std::string{io::name_of(copy.outcome)}},
                     {"reason", copy.reason}});
    models::NamedTensors tensors;
    tensors["rgba"] = pixels_of(cdp.framed.rgba);
    tensors["noise"] = row_of(record.noise, row);
    add_source(tensors, record.encoded, static_cast<std::int64_t>(position));
    add_text(tensors, generator, prompt, metadata);
    add_steps(tensors, record.edited, row);
    add_result(tensors, record, row, copy);
    models::write_tensors(folder / fmt::format("item-{:06}-copy-{}.safetensors", item, copy.copy), tensors,
                          metadata);
  }
}

}  // namespace deda::diffusion
