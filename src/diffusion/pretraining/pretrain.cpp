#include "diffusion/pretraining/pretrain.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "diffusion/inversion/training_noise.h"
#include "diffusion/pretraining/model_folder.h"
#include "diffusion/prompts.h"
#include "diffusion/sampling/noise.h"
#include "diffusion/transparent/transparent_pixels.h"
#include "io/store/folder_lock.h"
#include "models/classifiers/initialise.h"
#include "models/diffusion/autoencoder.h"
#include "models/diffusion/transparent.h"
#include "models/diffusion/unet.h"
#include "models/text/clip_text.h"
#include "models/text/clip_tokenizer.h"
#include "models/weights/weights.h"

namespace deda::diffusion {
namespace {

namespace fs = std::filesystem;
using at::Tensor;

constexpr std::int64_t text_width = 48;
constexpr std::int64_t held_out_every = 10;  // every tenth CDP is kept for the record's held-out losses
constexpr double caption_of_class = 0.5, caption_empty = 0.1;  // else the noun alone

models::AutoencoderConfig autoencoder_config() {
  return {.latent_channels = 4, .block_out_channels = {16, 32, 48}, .layers_per_block = 1, .norm_groups = 8};
}
models::TransparentDecoderConfig transparent_decoder_config() {
  return {.widths = {8, 16, 24, 24}, .first_attention = 3, .latent_channels = 4, .latent_level = 2};
}
const std::vector<std::int64_t> transparent_encoder_widths{8, 16, 24};

models::UNetConfig unet_config(std::int64_t resolution) {
  models::UNetConfig config;
  config.sample_size = resolution / autoencoder_config().factor();
  config.block_out_channels = {32, 56, 56};
  config.down_attention = {true, true, false};
  config.up_attention = {false, true, true};
  config.layers_per_block = 1;
  config.cross_attention_dim = text_width;
  config.heads = {2, 4, 4};
  config.depth = {1, 1, 1};
  config.norm_groups = 8;
  return config;
}
models::ClipTextConfig text_config(const models::ClipTokenizer& tokenizer) {
  return {.vocab_size = tokenizer.vocabulary(),
          .hidden_size = text_width,
          .layers = 2,
          .heads = 4,
          .intermediate_size = 96,
          .positions = tokenizer.max_length(),
          .eos_token_id = tokenizer.end_id()};
}

// Everything of one pretraining: data, networks, and the stages on them.
class Pretraining {
 public:
  Pretraining(const PretrainInput& input, const PretrainConfig& config) : input_{input}, config_{config} {
    for (std::size_t i = 0; i < input.cdps.size(); ++i) {
      const bool held_out =
          static_cast<std::int64_t>(i / input.class_names.size()) % held_out_every == held_out_every - 1;
      (held_out ? held_out_ : training_).push_back(static_cast<std::int64_t>(i));
    }
    pixels_ = transparent_pixels(input.cdps);
    autoencoder_ = std::make_shared<models::Autoencoder>(autoencoder_config());
    encoder_ = std::make_shared<models::TransparentEncoder>(transparent_encoder_widths,
                                                            autoencoder_config().latent_channels);
    decoder_ = std::make_shared<models::TransparentDecoder>(transparent_decoder_config());
    models::initialise_diffusion(*autoencoder_, seed());
    models::initialise_diffusion(*encoder_, seed() + 1, {"blocks.12.weight"});
    models::initialise_diffusion(*decoder_, seed() + 2);
  }

  std::shared_ptr<models::Autoencoder> autoencoder_;
  std::shared_ptr<models::TransparentEncoder> encoder_;
  std::shared_ptr<models::TransparentDecoder> decoder_;
  std::shared_ptr<models::ClipText> text_;
  std::shared_ptr<models::UNet> unet_;
  double scaling_factor_ = 1.0;

  StageRecord train_autoencoder(std::int64_t steps_to_run, const StepCheckpoints* checkpoints = nullptr) {
    StageRecord record;
    TrainingStage stage{"autoencoder", trainable_parameters({autoencoder_}), config_.autoencoder_steps,
                        config_.autoencoder_batch, config_.autoencoder_rate};
    stage.loss = [&](std::int64_t step, std::int64_t first, std::int64_t last) {
      const auto [x, argb] = batch(step, first, last, 1);
      return autoencoder_loss(x, argb, noise(step, first, last, x, 2)) *
             (static_cast<double>(last - first) / static_cast<double>(stage.batch));
    };
    run_stage(stage, record, steps_to_run, checkpoints);
    if (steps_to_run < stage.steps) return record;
    round_to_half(*autoencoder_);
    models::freeze(*autoencoder_);
    torch::NoGradGuard no_gradients;
    const auto chosen = at::tensor(held_out_);
    const auto feed = pixels_.feed.index_select(0, chosen);
    record.held_out = at::l1_loss(autoencoder_->decode(autoencoder_->encode(feed).mean), feed).item<double>();
    return record;
  }

  StageRecord train_transparent(std::int64_t steps_to_run, const StepCheckpoints* checkpoints = nullptr) {
    models::freeze(*autoencoder_);
    StageRecord record;
    TrainingStage stage{"transparent", trainable_parameters({encoder_, decoder_}), config_.transparent_steps,
                        config_.transparent_batch, config_.transparent_rate};
    stage.loss = [&](std::int64_t step, std::int64_t first, std::int64_t last) {
      const auto [feed, argb] = batch(step, first, last, 3);
      return transparent_loss(feed, argb) *
             (static_cast<double>(last - first) / static_cast<double>(stage.batch));
    };
    run_stage(stage, record, steps_to_run, checkpoints);
    if (steps_to_run < stage.steps) return record;
    round_to_half(*encoder_);
    round_to_half(*decoder_);
    models::freeze(*encoder_);
    models::freeze(*decoder_);
    torch::NoGradGuard no_gradients;
    const auto chosen = at::tensor(held_out_);
    record.held_out =
        transparent_loss(pixels_.feed.index_select(0, chosen), pixels_.argb.index_select(0, chosen))
            .item<double>();
    return record;
  }

  // Latents of all CDPs and their mirror images; the scaling factor gives them deviation 1.
  void make_latents() {
    torch::NoGradGuard no_gradients;
    std::vector<Tensor> all;
    for (const bool mirrored : {false, true}) {
      for (std::int64_t at = 0; at < pixels_.feed.size(0); at += 64) {
        const auto piece = [&](const Tensor& x) {
          const auto part = x.slice(0, at, std::min(at + 64, x.size(0)));
          return mirrored ? part.flip(3).contiguous() : part;
        };
        all.push_back(transparent_latents(piece(pixels_.feed), piece(pixels_.argb)));
      }
    }
    latents_ = at::cat(all);
    // Four digits, as published models have it; the rounding is told by the file.
    scaling_factor_ = std::round(1e4 / latents_.std().item<double>()) / 1e4;
    latents_ = latents_ * scaling_factor_;
  }

  StageRecord train_unet(const models::ClipTokenizer& tokenizer, std::int64_t steps_to_run,
                         const StepCheckpoints* checkpoints = nullptr) {
    text_ = std::make_shared<models::ClipText>(text_config(tokenizer));
    unet_ = std::make_shared<models::UNet>(unet_config(config_.resolution));
    models::initialise_diffusion(*text_, seed() + 3);
    models::initialise_diffusion(*unet_, seed() + 4, {"conv2.weight", "proj_out.weight", "conv_out.weight"});
    const NoiseSchedule schedule{stable_diffusion_schedule()};
    StageRecord record;
    TrainingStage stage{"unet", trainable_parameters({text_, unet_}), config_.unet_steps, config_.unet_batch,
                        config_.unet_rate};
    stage.loss = [&](std::int64_t step, std::int64_t first, std::int64_t last) {
      std::vector<std::int64_t> items, times, ids;
      std::vector<Tensor> noises;
      for (std::int64_t i = first; i < last; ++i) {
        RandomStream draws(seed(), Purpose::pretraining, 4,
                           static_cast<std::uint64_t>(step * stage.batch + i));
        const auto item = training_[draws.below(static_cast<std::uint32_t>(training_.size()))];
        items.push_back(item + (draws.chance(0.5) ? pixels_.feed.size(0) : 0));
        times.push_back(draws.below(static_cast<std::uint32_t>(schedule.config().num_train_timesteps)));
        const auto encoded = tokenizer.encode_padded(caption(item, draws));
        ids.insert(ids.end(), encoded.begin(), encoded.end());
        noises.push_back(normal_tensor(latents_.sizes().slice(1),
                                       RandomStream(seed(), Purpose::pretraining, 5,
                                                    static_cast<std::uint64_t>(step * stage.batch + i))));
      }
      const auto clean = latents_.index_select(0, at::tensor(items));
      const auto noise = at::stack(noises);
      const auto time = at::tensor(times);
      const auto text = text_->forward(at::tensor(ids).view({last - first, -1})).last;
      const auto predicted = unet_->forward(noised(schedule, clean, noise, time), time, text);
      return at::mse_loss(predicted, noise) *
             (static_cast<double>(last - first) / static_cast<double>(stage.batch));
    };
    run_stage(stage, record, steps_to_run, checkpoints);
    if (steps_to_run < stage.steps) return record;
    round_to_half(*text_);
    round_to_half(*unet_);
    record.held_out = held_out_noise_loss(tokenizer, schedule);
    return record;
  }

  void save_autoencoder(const fs::path& folder) const {
    save_half(*autoencoder_, folder / "vae" / "diffusion_pytorch_model.safetensors");
  }
  void save_transparent(const fs::path& folder) const {
    save_half(*encoder_, folder / "transparent_encoder.safetensors");
    save_half(*decoder_, folder / "transparent_decoder.safetensors");
  }
  // Once the latents are there: their deviation is the scaling factor.
  void save_autoencoder_config(const fs::path& folder) const {
    auto config = autoencoder_config();
    config.scaling_factor = scaling_factor_;
    write_atomically(folder / "vae" / "config.json", models::to_json(config));
  }
  void save_unet(const fs::path& folder, const models::ClipTokenizer& tokenizer) const {
    save_half(*text_, folder / "text_encoder" / "model.safetensors");
    write_atomically(folder / "text_encoder" / "config.json", models::to_json(text_config(tokenizer)));
    save_half(*unet_, folder / "unet" / "diffusion_pytorch_model.safetensors");
    write_atomically(folder / "unet" / "config.json", models::to_json(unet_config(config_.resolution)));
    make_folder(folder / "scheduler");
    write_atomically(folder / "scheduler" / "scheduler_config.json", to_json(stable_diffusion_schedule()));
    const nlohmann::ordered_json index{{"_class_name", "StableDiffusionPipeline"},
                                       {"scheduler", {"diffusers", "PNDMScheduler"}},
                                       {"text_encoder", {"transformers", "CLIPTextModel"}},
                                       {"tokenizer", {"transformers", "CLIPTokenizer"}},
                                       {"unet", {"diffusers", "UNet2DConditionModel"}},
                                       {"vae", {"diffusers", "AutoencoderKL"}},
                                       {"safety_checker", {nullptr, nullptr}},
                                       {"feature_extractor", {nullptr, nullptr}},
                                       {"requires_safety_checker", false}};
    write_atomically(folder / "model_index.json", index.dump(2) + "\n");
  }
  void load_frozen(const fs::path& folder) {
    models::load_weight_files(*autoencoder_,
                              models::open_weight_files(folder / "vae", "diffusion_pytorch_model"));
    models::freeze(*autoencoder_);
  }
  void load_transparent(const fs::path& folder) {
    encoder_ = models::load_transparent_encoder(folder / "transparent_encoder.safetensors");
    models::freeze(*encoder_);
  }

 private:
  std::uint64_t seed() const { return static_cast<std::uint64_t>(config_.seed); }

  std::pair<Tensor, Tensor> batch(std::int64_t step, std::int64_t first, std::int64_t last,
                                  std::uint32_t purpose) const {
    std::vector<Tensor> feed, argb;
    for (std::int64_t i = first; i < last; ++i) {
      RandomStream draws(seed(), Purpose::pretraining, purpose,
                         static_cast<std::uint64_t>(step * (1 << 12) + i));
      const auto item = training_[draws.below(static_cast<std::uint32_t>(training_.size()))];
      // The eight orientations of a square: ornaments of all directions.
      const bool mirrored = draws.chance(0.5);
      const auto turns = static_cast<std::int64_t>(draws.below(4));
      const auto orient = [&](const Tensor& x) { return at::rot90(mirrored ? x.flip(2) : x, turns, {1, 2}); };
      feed.push_back(orient(pixels_.feed[item]));
      argb.push_back(orient(pixels_.argb[item]));
    }
    return {at::stack(feed), at::stack(argb)};
  }
  Tensor noise(std::int64_t step, std::int64_t first, std::int64_t last, const Tensor& pictures,
               std::uint32_t purpose) const {
    const auto factor = autoencoder_config().factor();
    return normal_tensor({last - first, autoencoder_config().latent_channels, pictures.size(2) / factor,
                          pictures.size(3) / factor},
                         RandomStream(seed(), Purpose::pretraining, purpose,
                                      static_cast<std::uint64_t>(step * (1 << 12) + first)));
  }
  Tensor autoencoder_loss(const Tensor& x, const Tensor& argb, const Tensor& z) const {
    constexpr double prior_weight = 2e-4;
    const auto posterior = autoencoder_->encode(x);
    const auto again = autoencoder_->decode(posterior.mean + posterior.deviation() * z);
    const auto prior = 0.5 * (posterior.mean.square() + posterior.logvar.exp() - 1 - posterior.logvar).mean();
    return object_difference(again, x, argb.narrow(1, 0, 1)) + prior_weight * prior;
  }
  // Objects count six times the empty ground around them. Squares, and squares of colour differences (red -
  // green, blue - yellow), beside the absolute difference: with that alone a network this small stays grey
  // for thousands of steps, since light and dark explain most of it.
  static Tensor object_difference(const Tensor& a, const Tensor& b, const Tensor& alpha) {
    constexpr double ground_share = 0.2, square_weight = 2.0, colour_weight = 2.0;
    const auto d = a - b, weight = (alpha + ground_share) / (alpha + ground_share).mean();
    const auto red = d.narrow(1, 0, 1), green = d.narrow(1, 1, 1), blue = d.narrow(1, 2, 1);
    const auto colour = (red - green).square() + (blue - 0.5 * (red + green)).square();
    return (weight * d.abs()).mean() + 0.5 * edge_difference(d) +
           square_weight * (weight * d.square()).mean() + colour_weight * (weight * colour).mean();
  }
  // Mean absolute difference of values and of their steps to the neighbours: edges count.
  static Tensor detailed_difference(const Tensor& a, const Tensor& b) {
    const auto d = a - b;
    return d.abs().mean() + 0.5 * edge_difference(d);
  }
  static Tensor edge_difference(const Tensor& d) {
    const auto across = d.slice(3, 1) - d.slice(3, 0, -1), down = d.slice(2, 1) - d.slice(2, 0, -1);
    return across.abs().mean() + down.abs().mean();
  }
  Tensor transparent_latents(const Tensor& feed, const Tensor& argb) const {
    const auto posterior = autoencoder_->encode(feed);
    return posterior.mean + posterior.deviation() * encoder_->forward(argb);
  }
  Tensor transparent_loss(const Tensor& feed, const Tensor& argb) const {
    constexpr double identity_weight = 1.0;
    Tensor mean, deviation, plain;
    {
      torch::NoGradGuard no_gradients;
      const auto posterior = autoencoder_->encode(feed);
      mean = posterior.mean;
      deviation = posterior.deviation();
      plain = autoencoder_->decode(mean);
    }
    const auto latent = mean + deviation * encoder_->forward(argb);
    const auto picture = autoencoder_->decode(latent);
    const auto pixel = (picture * 0.5 + 0.5).clamp(0, 1);
    return detailed_difference(decoder_->forward(pixel, latent), argb) +
           identity_weight * at::l1_loss(picture, plain);
  }
  std::string caption(std::int64_t item, RandomStream& draws) const {
    const double u = draws.uniform();
    const auto& templates = prompt_templates(TemplateSet::objects);
    const auto& text = templates[draws.below(static_cast<std::uint32_t>(templates.size()))];
    if (u < caption_empty) return {};
    const auto& name =
        input_.class_names[static_cast<std::size_t>(input_.classes[static_cast<std::size_t>(item)])];
    return fill_template(text, u < caption_empty + caption_of_class ? name : input_.noun);
  }
  double held_out_noise_loss(const models::ClipTokenizer& tokenizer, const NoiseSchedule& schedule) const {
    torch::NoGradGuard no_gradients;
    double sum = 0;
    std::int64_t count = 0;
    for (const auto item : held_out_) {
      RandomStream draws(seed(), Purpose::pretraining, 6, static_cast<std::uint64_t>(item));
      const auto time = at::tensor({static_cast<std::int64_t>(draws.below(1000))});
      const auto clean = latents_.narrow(0, item, 1);
      const auto noise = normal_tensor(
          clean.sizes(), RandomStream(seed(), Purpose::pretraining, 7, static_cast<std::uint64_t>(item)));
      const auto name =
          input_.class_names[static_cast<std::size_t>(input_.classes[static_cast<std::size_t>(item)])];
      const auto ids =
          at::tensor(tokenizer.encode_padded(fill_template("a photo of a {}", name))).unsqueeze(0);
      const auto predicted =
          unet_->forward(noised(schedule, clean, noise, time), time, text_->forward(ids).last);
      sum += at::mse_loss(predicted, noise).item<double>();
      ++count;
    }
    return count > 0 ? sum / static_cast<double>(count) : 0;
  }

  const PretrainInput& input_;
  PretrainConfig config_;
  std::vector<std::int64_t> training_, held_out_;
  TransparentPixels pixels_;
  Tensor latents_;
};

std::vector<std::string> words_of(const PretrainInput& input) {
  std::vector<std::string> names = input.class_names, texts;
  names.push_back(input.noun);
  for (const auto& text : prompt_templates(TemplateSet::objects)) {
    for (const auto& name : names) texts.push_back(fill_template(text, name));
  }
  return words_in(texts);
}

constexpr auto record_schema = "deda-pretraining-1";
const std::vector<std::string> weight_files{
    "vae/diffusion_pytorch_model.safetensors", "transparent_encoder.safetensors",
    "transparent_decoder.safetensors", "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors"};

// What a stage's steps depend on besides their number: settings and pictures.
std::string identity_of(const PretrainInput& input, const PretrainConfig& config) {
  std::string all = to_json(config_values(config)) + "\n" + input.noun + "\n";
  for (const auto& name : input.class_names) all += name + "\n";
  for (std::size_t i = 0; i < input.cdps.size(); ++i)
    all += fmt::format("{} {:016x}\n", input.classes[i], xxhash64(input.cdps[i].pixels));
  return xxhash128_hex(all);
}

}  // namespace

std::optional<std::vector<StageRecord>> finished_pretraining(const PretrainConfig& config,
                                                             const fs::path& folder) {
  if (!fs::exists(folder / pretraining_record_name)) return std::nullopt;
  if (to_json(config_values(recorded_pretraining(folder))) != to_json(config_values(config)))
    return std::nullopt;
  return read_pretraining_record(folder, record_schema).stages;
}

std::vector<StageRecord> pretrain(const PretrainInput& input, const PretrainConfig& config,
                                  const fs::path& folder) {
  if (auto stages = finished_pretraining(config, folder)) return *stages;
  check_pretraining_target(folder);
  const PretrainingFolder place(folder, identity_of(input, config));
  std::vector<StageRecord> stages;
  {
    const io::FolderLock lock(place.path());
    models::write_word_tokenizer(place.path() / "tokenizer", words_of(input),
                                 models::ClipTextConfig{}.positions);
    const auto tokenizer = models::ClipTokenizer::from_folder(place.path() / "tokenizer");
    for (const auto& word : words_of(input)) {
      if (tokenizer.tokens(word).size() != 1)
        throw ModelError("the word \"" + word + "\" is no single token");
    }
    Pretraining work(input, config);
    const auto stage = [&](const std::string& name, const auto& load, const auto& train, const auto& save) {
      if (const auto record = place.finished(name)) {
        load();
        stages.push_back(*record);
        log_info("{}: trained before", name);
        return;
      }
      const auto checkpoints = place.checkpoints(name);
      stages.push_back(train(&checkpoints));
      save();
      place.finish(stages.back());
    };
    stage(
        "autoencoder", [&] { work.load_frozen(place.path()); },
        [&](const StepCheckpoints* checkpoints) {
          return work.train_autoencoder(config.autoencoder_steps, checkpoints);
        },
        [&] { work.save_autoencoder(place.path()); });
    log_info("autoencoder: mean absolute error {:.4f} on held-out CDPs", stages.back().held_out);
    stage(
        "transparent", [&] { work.load_transparent(place.path()); },
        [&](const StepCheckpoints* checkpoints) {
          return work.train_transparent(config.transparent_steps, checkpoints);
        },
        [&] { work.save_transparent(place.path()); });
    log_info("transparent encoder and decoder: loss {:.4f} on held-out CDPs", stages.back().held_out);
    work.make_latents();
    work.save_autoencoder_config(place.path());
    stage(
        "unet", [] {},
        [&](const StepCheckpoints* checkpoints) {
          return work.train_unet(tokenizer, config.unet_steps, checkpoints);
        },
        [&] { work.save_unet(place.path(), tokenizer); });
    log_info("unet: noise-prediction loss {:.4f} on held-out CDPs", stages.back().held_out);
    write_pretraining_record(place.path(), record_schema, to_json(config_values(config)), stages,
                             weight_files);
    place.publish(folder);
  }
  std::error_code ignored;  // an empty folder that stays does no harm
  fs::remove(place.path(), ignored);
  return stages;
}

PretrainConfig recorded_pretraining(const fs::path& folder) {
  PretrainConfig config;
  const auto json = nlohmann::json::parse(read_pretraining_record(folder, record_schema).config);
  std::vector<std::string> overrides;
  for (const auto& [key, value] : json.items()) overrides.push_back(key + "=" + value.dump());
  read_config(config, {.files = {}, .overrides = overrides});
  return config;
}

std::vector<std::string> verify_pretraining(const PretrainInput& input, const fs::path& folder,
                                            const std::optional<fs::path>& again) {
  std::vector<std::string> problems;
  const auto config = recorded_pretraining(folder);
  note_changed_files(folder, weight_files, problems);
  const auto tokenizer = models::ClipTokenizer::from_folder(folder / "tokenizer");
  Pretraining work(input, config);
  std::vector<StageRecord> stages;
  stages.push_back(work.train_autoencoder(first_steps));
  work.load_frozen(folder);
  stages.push_back(work.train_transparent(first_steps));
  work.load_transparent(folder);
  work.make_latents();
  stages.push_back(work.train_unet(tokenizer, first_steps));
  note_other_losses(read_pretraining_record(folder, record_schema), stages, problems);
  if (!again) return problems;
  pretrain(input, config, *again);
  note_other_weights(folder, *again, weight_files, problems);
  return problems;
}

}  // namespace deda::diffusion
