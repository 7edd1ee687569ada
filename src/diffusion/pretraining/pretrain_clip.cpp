#include "diffusion/pretraining/pretrain_clip.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/random.h"
#include "diffusion/peers/clip_filter.h"
#include "diffusion/pretraining/model_folder.h"
#include "diffusion/prompts.h"
#include "io/store/folder_lock.h"
#include "models/classifiers/initialise.h"
#include "models/clip/clip.h"
#include "models/clip/processor.h"
#include "models/text/clip_tokenizer.h"

namespace deda::diffusion {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t clip_patch = 8;
constexpr std::int64_t clip_positions = 77;      // of a text, as every CLIP's
constexpr double clip_first_temperature = 0.07;  // the published models' start: a scale of 1 / 0.07
constexpr std::int64_t clip_held_out_every = 10;
constexpr auto clip_stage = "clip";
constexpr auto clip_schema = "deda-clip-pretraining-1";
const std::vector<std::string> clip_weight_files{"model.safetensors"};

// Draws of a step; numbers that the stages of the diffusion model do not use.
enum class ClipDraw : std::uint32_t { captions = 16, picture = 17 };

models::ClipConfig clip_config(const ClipPretrainConfig& config, const models::ClipTokenizer& tokenizer) {
  models::ClipConfig clip;
  clip.projection = 48;
  clip.vision = {.hidden_size = 64,
                 .layers = 3,
                 .heads = 4,
                 .intermediate_size = 128,
                 .image_size = config.resolution,
                 .patch_size = clip_patch};
  clip.text = {.vocab_size = tokenizer.vocabulary(),
               .hidden_size = 48,
               .layers = 2,
               .heads = 4,
               .intermediate_size = 96,
               .positions = tokenizer.max_length(),
               .projection = clip.projection,
               .eos_token_id = tokenizer.end_id()};
  return clip;
}

std::vector<std::string> caption_words(const ClipPretrainInput& input) {
  const auto [with, without] = with_and_without(input.noun);
  std::vector<std::string> texts{with, without};
  for (const auto& text : prompt_templates(TemplateSet::objects)) {
    for (const auto& name : input.class_names) texts.push_back(fill_template(text, name));
  }
  return words_in(texts);
}

void check_input(const ClipPretrainInput& input) {
  const auto classes = static_cast<std::int32_t>(input.class_names.size());
  std::vector<Problem> problems;
  if (input.pictures.size() != input.classes.size())
    problems.push_back(
        {fmt::format("{} pictures with {} classes", input.pictures.size(), input.classes.size()),
         "pretraining of CLIP",
         {}});
  if (std::any_of(input.classes.begin(), input.classes.end(),
                  [&](std::int32_t each) { return each < no_object || each >= classes; }))
    problems.push_back(
        {fmt::format("a picture's class is none of the {}", classes), "pretraining of CLIP", {}});
  if (std::all_of(input.classes.begin(), input.classes.end(), [](std::int32_t each) { return each < 0; }))
    problems.push_back({"no picture shows an object", "pretraining of CLIP", {}});
  if (!problems.empty()) throw DataError(std::move(problems));
}

class ClipPretraining {
 public:
  ClipPretraining(const ClipPretrainInput& input, const ClipPretrainConfig& config,
                  const models::ClipTokenizer& tokenizer)
      : input_{input}, config_{config}, tokenizer_{tokenizer} {
    for (std::size_t i = 0; i < input.pictures.size(); ++i) {
      const auto round = static_cast<std::int64_t>(i / input.class_names.size());
      (round % clip_held_out_every == clip_held_out_every - 1 ? held_out_ : training_)
          .push_back(static_cast<std::int64_t>(i));
    }
    if (training_.empty()) throw DataError("there are no pictures to train on", "pretraining of CLIP");
    preprocessing_.shortest_edge = preprocessing_.crop_size = config.resolution;
    pixels_ = models::clip_pixels(input.pictures, preprocessing_);
    network_ = std::make_shared<models::Clip>(clip_config(config, tokenizer));
    models::initialise_diffusion(*network_, seed(), {"class_embedding"});
    const at::NoGradGuard no_gradients;
    auto scale = network_->named_parameters()["logit_scale"];
    scale.fill_(std::log(1.0 / clip_first_temperature));
    scale.set_requires_grad(false);
  }

  StageRecord train(std::int64_t steps_to_run, const StepCheckpoints* checkpoints = nullptr) {
    StageRecord record;
    TrainingStage stage{clip_stage, trainable_parameters({network_}), config_.steps, config_.batch,
                        config_.rate};
    stage.loss = [&](std::int64_t step, std::int64_t first, std::int64_t last) {
      std::vector<at::Tensor> pictures;
      std::vector<std::int64_t> classes;
      for (std::int64_t i = first; i < last; ++i) {
        auto draws = draws_of(ClipDraw::picture, step * stage.batch + i);
        const auto item = training_[draws.below(static_cast<std::uint32_t>(training_.size()))];
        pictures.push_back(varied(pixels_[item], draws));
        classes.push_back(input_.classes[static_cast<std::size_t>(item)]);
      }
      return summed_loss(at::stack(pictures), at::tensor(classes, at::kLong), drawn_captions(step)) /
             static_cast<double>(stage.batch);
    };
    run_stage(stage, record, steps_to_run, checkpoints);
    if (steps_to_run < stage.steps) return record;
    round_to_half(*network_);
    measure(record);
    return record;
  }

  void save(const fs::path& folder) const {
    save_half(*network_, folder / clip_weight_files.front());
    write_atomically(folder / "config.json", models::to_json(network_->config()));
    write_atomically(folder / "preprocessor_config.json", models::to_json(preprocessing_));
  }

 private:
  std::uint64_t seed() const { return static_cast<std::uint64_t>(config_.seed); }
  RandomStream draws_of(ClipDraw draw, std::int64_t number) const {
    return {seed(), Purpose::pretraining, static_cast<std::uint32_t>(draw),
            static_cast<std::uint64_t>(number)};
  }

  // Another orientation, light and contrast: edited pictures are paler than drawn ones.
  static at::Tensor varied(const at::Tensor& picture, RandomStream& draws) {
    constexpr double contrast = 0.3, light = 0.3;  // of deviations
    const bool mirrored = draws.chance(0.5);
    const auto turns = static_cast<std::int64_t>(draws.below(4));
    const double factor = draws.uniform(1 - contrast, 1 + contrast), shift = draws.uniform(-light, light);
    return at::rot90(mirrored ? picture.flip(2) : picture, turns, {1, 2}) * factor + shift;
  }

  // One caption for each class, then those with and without an object.
  std::vector<std::string> drawn_captions(std::int64_t step) const {
    auto draws = draws_of(ClipDraw::captions, step);
    const auto& templates = prompt_templates(TemplateSet::objects);
    std::vector<std::string> texts;
    for (const auto& name : input_.class_names)
      texts.push_back(
          fill_template(templates[draws.below(static_cast<std::uint32_t>(templates.size()))], name));
    return with_the_pair(std::move(texts));
  }
  std::vector<std::string> with_the_pair(std::vector<std::string> texts) const {
    const auto [with, without] = with_and_without(input_.noun);
    texts.push_back(with);
    texts.push_back(without);
    return texts;
  }

  at::Tensor ids_of(const std::vector<std::string>& texts) const {
    std::vector<std::vector<std::int64_t>> encoded;
    std::size_t longest = 0;
    for (const auto& text : texts) {
      encoded.push_back(tokenizer_.encode(text));
      longest = std::max(longest, encoded.back().size());
    }
    std::vector<std::int64_t> ids;
    for (auto& each : encoded) {
      each.resize(longest, tokenizer_.pad_id());
      ids.insert(ids.end(), each.begin(), each.end());
    }
    return at::tensor(ids, at::kLong).view({static_cast<std::int64_t>(texts.size()), -1});
  }

  // [N, classes + 2]
  at::Tensor logits(const at::Tensor& pixels, const std::vector<std::string>& texts) const {
    return network_->logits_per_image(network_->image_embeds(pixels), network_->text_embeds(ids_of(texts)));
  }
  // Over all pictures: which class (of those that show an object), and whether one is there.
  at::Tensor summed_loss(const at::Tensor& pixels, const at::Tensor& classes,
                         const std::vector<std::string>& texts) const {
    const auto all = logits(pixels, texts);
    const auto count = static_cast<std::int64_t>(input_.class_names.size());
    const auto shown = classes.ge(0);
    const auto of_class = all.narrow(1, 0, count).log_softmax(1).gather(1, classes.clamp_min(0).unsqueeze(1));
    const auto of_pair =
        all.narrow(1, count, 2).log_softmax(1).gather(1, shown.logical_not().to(at::kLong).unsqueeze(1));
    return -(of_class.squeeze(1) * shown.to(at::kFloat)).sum() - of_pair.sum();
  }

  // On pictures that were not trained on, with the captions that the filters use.
  void measure(StageRecord& record) const {
    if (held_out_.empty()) return;
    const at::NoGradGuard no_gradients;
    const auto chosen = at::tensor(held_out_, at::kLong);
    std::vector<std::int64_t> owners;
    for (const auto item : held_out_) owners.push_back(input_.classes[static_cast<std::size_t>(item)]);
    const auto classes = at::tensor(owners, at::kLong);
    const auto pixels = pixels_.index_select(0, chosen);
    const auto texts = with_the_pair(class_prompts(input_.class_names));
    record.held_out =
        summed_loss(pixels, classes, texts).item<double>() / static_cast<double>(held_out_.size());
    const auto count = static_cast<std::int64_t>(input_.class_names.size());
    const auto all = logits(pixels, texts);
    const auto shown = classes.ge(0);
    const auto named = all.narrow(1, 0, count).argmax(1).eq(classes).logical_and(shown);
    const auto seen = all.narrow(1, count, 2).argmax(1).eq(0).eq(shown);
    const double objects = std::max(1.0, shown.sum().item<double>());
    log_info(
        "clip: names the class of {:.1f} % of the held-out pictures, tells whether there is an object in "
        "{:.1f} %",
        100.0 * named.sum().item<double>() / objects,
        100.0 * seen.sum().item<double>() / static_cast<double>(held_out_.size()));
  }

  const ClipPretrainInput& input_;
  ClipPretrainConfig config_;
  const models::ClipTokenizer& tokenizer_;
  models::ClipPreprocessing preprocessing_;
  std::vector<std::int64_t> training_, held_out_;
  at::Tensor pixels_;  // [N, 3, resolution, resolution], normalised
  std::shared_ptr<models::Clip> network_;
};

std::string clip_identity(const ClipPretrainInput& input, const ClipPretrainConfig& config) {
  std::string all = to_json(config_values(config)) + "\n" + input.noun + "\n";
  for (const auto& name : input.class_names) all += name + "\n";
  for (std::size_t i = 0; i < input.pictures.size(); ++i)
    all += fmt::format("{} {:016x}\n", input.classes[i], xxhash64(input.pictures[i].pixels));
  return xxhash128_hex(all);
}

models::ClipTokenizer made_tokenizer(const ClipPretrainInput& input, const fs::path& folder) {
  const auto words = caption_words(input);
  models::write_word_tokenizer(folder, words, clip_positions);
  auto tokenizer = models::ClipTokenizer::from_folder(folder);
  for (const auto& word : words) {
    if (tokenizer.tokens(word).size() != 1) throw ModelError("the word \"" + word + "\" is no single token");
  }
  return tokenizer;
}

}  // namespace

void ClipPretrainConfig::describe(ConfigVisitor& v) {
  constexpr double most_steps = 1e6;
  v.field({.key = "seed", .help = "seed of weights and draws", .min = 0}, seed);
  v.field({.key = "per_class", .help = "toy pictures to draw per class", .min = 10, .max = 100000},
          per_class);
  v.field({.key = "toy_seed", .help = "seed of those drawings; another than toy.seed"}, toy_seed);
  v.field({.key = "resolution", .help = "pixels a side, a multiple of 8", .min = 16, .max = 512}, resolution);
  v.field({.key = "steps", .help = "steps", .min = 1, .max = most_steps}, steps);
  v.field({.key = "batch", .help = "pictures a step", .min = 2, .max = 4096}, batch);
  v.field({.key = "rate", .help = "learning rate of AdamW", .min = 0}, rate);
  v.require(resolution % clip_patch == 0, "resolution", "must be a multiple of 8", "The toy CLIP uses 64.");
}

std::optional<std::vector<StageRecord>> finished_clip_pretraining(const ClipPretrainConfig& config,
                                                                  const fs::path& folder) {
  if (!fs::exists(folder / pretraining_record_name)) return std::nullopt;
  if (to_json(config_values(recorded_clip_pretraining(folder))) != to_json(config_values(config)))
    return std::nullopt;
  return read_pretraining_record(folder, clip_schema).stages;
}

std::vector<StageRecord> pretrain_clip(const ClipPretrainInput& input, const ClipPretrainConfig& config,
                                       const fs::path& folder) {
  if (auto stages = finished_clip_pretraining(config, folder)) return *stages;
  check_pretraining_target(folder);
  check_input(input);
  const PretrainingFolder place(folder, clip_identity(input, config));
  std::vector<StageRecord> stages;
  {
    const io::FolderLock lock(place.path());
    // A finished stage leaves nothing to be done but the record, which comes with it: there is only one.
    const auto tokenizer = made_tokenizer(input, place.path());
    ClipPretraining work(input, config, tokenizer);
    const auto checkpoints = place.checkpoints(clip_stage);
    stages.push_back(work.train(config.steps, &checkpoints));
    work.save(place.path());
    log_info("clip: loss {:.4f} on held-out pictures", stages.back().held_out);
    write_pretraining_record(place.path(), clip_schema, to_json(config_values(config)), stages,
                             clip_weight_files);
    place.publish(folder);
  }
  std::error_code ignored;  // an empty folder that stays does no harm
  fs::remove(place.path(), ignored);
  return stages;
}

ClipPretrainConfig recorded_clip_pretraining(const fs::path& folder) {
  ClipPretrainConfig config;
  const auto json = nlohmann::json::parse(read_pretraining_record(folder, clip_schema).config);
  std::vector<std::string> overrides;
  for (const auto& [key, value] : json.items()) overrides.push_back(key + "=" + value.dump());
  read_config(config, {.files = {}, .overrides = overrides});
  return config;
}

std::vector<std::string> verify_clip_pretraining(const ClipPretrainInput& input, const fs::path& folder,
                                                 const std::optional<fs::path>& again) {
  std::vector<std::string> problems;
  const auto config = recorded_clip_pretraining(folder);
  check_input(input);
  note_changed_files(folder, clip_weight_files, problems);
  const auto tokenizer = models::ClipTokenizer::from_folder(folder);
  ClipPretraining work(input, config, tokenizer);
  note_other_losses(read_pretraining_record(folder, clip_schema), {work.train(first_steps)}, problems);
  if (!again) return problems;
  pretrain_clip(input, config, *again);
  note_other_weights(folder, *again, clip_weight_files, problems);
  return problems;
}

}  // namespace deda::diffusion
