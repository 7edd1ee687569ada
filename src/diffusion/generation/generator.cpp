#include "diffusion/generation/generator.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/compared_numbers.h"
#include "core/error.h"
#include "diffusion/prompts.h"
#include "diffusion/transparent/transparent_pixels.h"

namespace deda::diffusion {
namespace {

EditSettings edit_settings(const GeneratorSettings& settings) {
  return {kind_of(settings.generate.sampler), settings.generate.steps, settings.strength,
          settings.generate.guidance, settings.resolution};
}

TextCondition unconditional_of(const DiffusionModel& model, const std::string& negative_prompt) {
  const at::NoGradGuard no_gradients;
  return model.unconditional(negative_prompt);
}

// Rows of results that were made in parts, as if made at once.
at::Tensor joined(const std::vector<at::Tensor>& parts) {
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

template <class Whole, std::size_t n>
Whole join_fields(const std::vector<Whole>& parts, const std::array<at::Tensor Whole::*, n>& fields) {
  Whole whole;
  for (const auto field : fields) {
    std::vector<at::Tensor> values;
    for (const auto& part : parts) values.push_back(part.*field);
    whole.*field = joined(values);
  }
  return whole;
}

bool is_finite(const at::Tensor& x) {
  return at::isfinite(x).all().item<bool>();
}

at::Tensor on_host(const at::Tensor& x) {
  return x.to(at::kCPU, at::kFloat);
}

// Why an edited CDP cannot be used, or "".
std::string rejection(const SilhouetteChange& change, const GenerateConfig& config) {
  if (change.mean_alpha_inside < config.least_alpha_inside)
    return "its mean alpha inside of the source's mask is " +
           compared_numbers(change.mean_alpha_inside, config.least_alpha_inside, 2);
  if (change.area_ratio < config.least_area_ratio)
    return "its opaque area over the source's is " +
           compared_numbers(change.area_ratio, config.least_area_ratio, 2);
  if (change.area_ratio > config.most_area_ratio)
    return "its opaque area over the source's is " +
           compared_numbers(change.area_ratio, config.most_area_ratio, 2);
  return {};
}

// Rows of one record per copy in the order of CDPs, each with its copies, as traces have them.
EditRecord joined_by_cdp(const std::vector<EditRecord>& copies) {
  const auto join = [&](const auto& field) {
    std::vector<at::Tensor> parts;
    for (const auto& copy : copies) parts.push_back(field(copy));
    return parts.front().defined() ? at::stack(parts, 1).flatten(0, 1) : at::Tensor{};
  };
  EditRecord joined;
  joined.edited.sigmas = copies.front().edited.sigmas;
  joined.noise = join([](const EditRecord& copy) { return copy.noise; });
  joined.final_latents = join([](const EditRecord& copy) { return copy.final_latents; });
  for (const auto field :
       {&DecodedCdps::image, &DecodedCdps::pixel, &DecodedCdps::latent, &DecodedCdps::argb})
    joined.decoded.*field = join([&](const EditRecord& copy) { return copy.decoded.*field; });
  for (std::size_t k = 0; k < copies.front().edited.steps.size(); ++k) {
    using Step = RecordedStep;
    auto& step = joined.edited.steps.emplace_back();
    step.timestep = copies.front().edited.steps[k].timestep;
    for (const auto field : {&Step::sample, &Step::unconditional, &Step::conditional, &Step::guided,
                             &Step::after, &Step::fresh_noise})
      step.*field = join([&](const EditRecord& copy) { return copy.edited.steps[k].*field; });
  }
  return joined;
}

}  // namespace

std::vector<ClassPrompt> prompts_of_names(const DiffusionModel& model, const std::string& prompt,
                                          const std::vector<std::string>& class_names) {
  const at::NoGradGuard no_gradients;
  std::vector<ClassPrompt> prompts;
  for (const auto& name : class_names) {
    ClassPrompt made;
    made.prompt = fill_template(prompt, name);
    made.ids = model.ids_of(model.tokenizers, {made.prompt});
    made.text = model.encode_text(made.ids);
    prompts.push_back(std::move(made));
  }
  return prompts;
}

std::vector<ClassPrompt> prompts_of_identifiers(const DiffusionModel& model, const std::string& prompt,
                                                const Identifiers& identifiers) {
  const at::NoGradGuard no_gradients;
  const auto tokens = identifiers.tokens_for(model);
  std::vector<ClassPrompt> prompts;
  for (std::size_t id = 0; id < identifiers.manifest().classes.size(); ++id) {
    ClassPrompt made;
    if (const auto& record = identifiers.record(id); !identifiers.has(id)) {
      made.missing =
          fmt::format("class {} has no identifier: {}", record.class_name,
                      record.reason.empty() ? std::string{name_of(record.outcome)} : record.reason);
    } else {
      made.placeholder = record.placeholder;
      made.prompt = fill_template(prompt, identifiers.name_in_prompts(id));
      made.ids = model.ids_of(tokens.tokenizers, {made.prompt});
      made.rows = identifiers.rows(id);
      made.text = model.encode_text(made.ids, tokens.rows);
    }
    prompts.push_back(std::move(made));
  }
  return prompts;
}

Generator::Generator(std::shared_ptr<const DiffusionModel> model, GeneratorSettings settings,
                     std::vector<ClassPrompt> prompts)
    : model_{std::move(model)},
      settings_{std::move(settings)},
      prompts_{std::move(prompts)},
      editor_{*model_, edit_settings(settings_),
              unconditional_of(*model_, settings_.generate.negative_prompt)} {
  const auto multiple = model_->size_multiple();
  if (settings_.resolution <= 0 || settings_.resolution % multiple != 0)
    throw ConfigError(
        fmt::format("{} is no multiple of {}, as this model's networks need", settings_.resolution, multiple),
        "diffusion.resolution");
}

EncodedCdps Generator::encode(const std::vector<CdpToEdit>& cdps) const {
  const auto at_once = static_cast<std::size_t>(settings_.generate.autoencoder_batch);
  std::vector<EncodedCdps> parts;
  for (std::size_t first = 0; first < cdps.size(); first += at_once) {
    std::vector<io::Image> pictures;
    for (std::size_t i = first; i < std::min(first + at_once, cdps.size()); ++i)
      pictures.push_back(cdps[i].framed.rgba);
    parts.push_back(encode_cdps(*model_, pictures, settings_.transparency.offset_gain));
  }
  return join_fields<EncodedCdps, 6>(
      parts, {&EncodedCdps::padded_rgb, &EncodedCdps::feed, &EncodedCdps::offset, &EncodedCdps::mean,
              &EncodedCdps::deviation, &EncodedCdps::latents});
}

DecodedCdps Generator::decode(const at::Tensor& latents) const {
  std::vector<DecodedCdps> parts;
  for (const auto& part : latents.split(settings_.generate.autoencoder_batch)) {
    parts.push_back(decode_cdps(*model_, part,
                                {settings_.transparency.scaled_latent, settings_.generate.decoder_pixel,
                                 settings_.generate.decoder_votes}));
  }
  return join_fields<DecodedCdps, 4>(
      parts, {&DecodedCdps::image, &DecodedCdps::pixel, &DecodedCdps::latent, &DecodedCdps::argb});
}

std::vector<std::vector<EditedCopy>> Generator::edit(const std::vector<CdpToEdit>& cdps,
                                                     EditRecord* record) const {
  const at::NoGradGuard no_gradients;
  const auto copies = settings_.generate.copies;
  // Texts of the unit's classes, each once, in order of appearance.
  std::vector<std::size_t> classes, text_of;
  std::vector<TextCondition> texts;
  for (const auto& cdp : cdps) {
    auto text = std::find(classes.begin(), classes.end(), cdp.class_id);
    if (text == classes.end()) {
      texts.push_back(prompts_.at(cdp.class_id).text);
      text = classes.insert(classes.end(), cdp.class_id);
    }
    text_of.push_back(static_cast<std::size_t>(text - classes.begin()));
  }
  auto encoded = encode(cdps);
  std::vector<std::vector<EditedCopy>> edited(cdps.size());
  std::vector<EditRecord> records;  // one a copy
  for (std::int64_t k = 1; k <= copies; ++k) {
    // A copy of each CDP is a batch of its own: sums depend on a batch's shape, and with all copies in one
    // batch the first of them would have other last digits in a store of nine than in a store of three.
    std::vector<EditRow> rows;
    for (std::size_t i = 0; i < cdps.size(); ++i)
      rows.push_back(
          {static_cast<std::int64_t>(i), text_of[i], seed_of_copy(settings_.seed, cdps[i].source, k)});
    EditRecord made;
    const auto edited_latents = editor_.edit(encoded.latents, texts, rows,
                                             record != nullptr ? recorder_into(made.edited) : EditObserver{});
    auto decoded = decode(edited_latents);
    // All of the batch is on its way before the host waits for it.
    const auto latents = on_host(edited_latents), all_argb = on_host(decoded.argb);
    for (std::size_t i = 0; i < cdps.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      edited[i].push_back(finish_copy(cdps[i], static_cast<std::int32_t>(k), rows[i].seed, latents[row],
                                      all_argb.slice(0, row, row + 1)));
    }
    if (record == nullptr) continue;
    std::vector<at::Tensor> noise;
    for (const auto& row : rows) noise.push_back(edit_noise(row.seed, 0, latents.slice(0, 0, 1).sizes()));
    made.noise = at::cat(noise);
    made.final_latents = latents;
    for (auto* tensor : {&decoded.image, &decoded.pixel, &decoded.latent, &decoded.argb})
      *tensor = on_host(*tensor);
    made.decoded = std::move(decoded);
    records.push_back(std::move(made));
  }
  if (record != nullptr) {
    for (auto* tensor : {&encoded.offset, &encoded.mean, &encoded.deviation, &encoded.latents})
      *tensor = on_host(*tensor);
    *record = joined_by_cdp(records);
    record->encoded = std::move(encoded);
  }
  return edited;
}

// Cleaned and checked on the CPU. `argb`: its row.
EditedCopy Generator::finish_copy(const CdpToEdit& cdp, std::int32_t number, std::uint64_t seed,
                                  const at::Tensor& latent, const at::Tensor& argb) const {
  EditedCopy copy;
  copy.copy = number;
  copy.seed = seed;
  if (!is_finite(latent) || !is_finite(argb)) {
    copy.outcome = io::Outcome::failed;
    copy.reason = "its numbers are not finite";
    return copy;
  }
  copy.decoded = rgba_pictures(argb).front();
  copy.square = copy.decoded;
  clean_alpha(copy.square, {settings_.generate.least_alpha, settings_.generate.least_component_share});
  copy.change = compare_silhouettes(cdp.framed.rgba, copy.square);
  copy.reason = rejection(copy.change, settings_.generate);
  if (!copy.reason.empty()) copy.outcome = io::Outcome::rejected;
  return copy;
}

void Generator::rehearse(std::size_t cdps) const {
  const at::NoGradGuard no_gradients;
  const auto side = settings_.resolution / model_->factor();
  const auto sources =
      at::randn({static_cast<std::int64_t>(cdps), model_->autoencoder->config().latent_channels, side, side});
  std::vector<EditRow> rows;
  for (std::size_t i = 0; i < cdps; ++i) rows.push_back({static_cast<std::int64_t>(i), 0, i});
  const auto latents = editor_.edit(sources, {editor_.unconditional()}, rows);
  const auto argb = decode(latents).argb.to(at::kCPU);  // waits until all of it has been computed
}

std::optional<io::Record> record_of_copy(EditedCopy& copy, const CdpToEdit& cdp, std::int64_t item,
                                         double strength) {
  if (copy.outcome != io::Outcome::done) return std::nullopt;
  UnframedCdp unframed = unframe_cdp(copy.square, cdp.framed.frame);
  if (unframed.rgba.empty()) {
    copy.outcome = io::Outcome::rejected;
    copy.reason = "nothing of it is opaque at the source's size";
    return std::nullopt;
  }
  io::RecordInfo info;
  info.source_index = item;
  info.class_id = static_cast<std::int32_t>(cdp.class_id);
  info.height = unframed.rgba.height;
  info.width = unframed.rgba.width;
  info.channels = unframed.rgba.channels;
  info.crop = unframed.crop;
  info.box = unframed.box;
  info.mask_area = unframed.mask_area;
  info.version = copy.copy;
  info.strength = static_cast<float>(strength);
  info.seed = copy.seed;
  return io::Record{info, std::move(unframed.rgba.pixels)};
}

}  // namespace deda::diffusion
