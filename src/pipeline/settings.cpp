#include "pipeline/settings.h"

#include <algorithm>
#include <deque>
#include <map>
#include <stdexcept>

#include "mixing/method.h"

namespace deda::pipeline {

namespace {

using Config = PipelineConfig;

bool has_source(const Config& c, std::string_view name) {
  const auto& sources = c.decouple.sources;
  return std::find(sources.begin(), sources.end(), name) != sources.end();
}
bool annotated(const Config& c) {
  return has_source(c, "annotated");
}
bool grabcut(const Config& c) {
  return has_source(c, "box_grabcut");
}
bool words_and_sam(const Config& c) {
  return has_source(c, "text_box_sam");
}
bool semantic(const Config& c) {
  return has_source(c, "semantic");
}
bool networks(const Config& c) {
  return words_and_sam(c) || semantic(c) || has_source(c, "box_sam");
}
bool checked(const Config& c) {  // sanity checks of masks
  return c.decouple.mode == decoupling::Mode::recommended;
}
bool checked_by_box(const Config& c) {
  return checked(c) && (words_and_sam(c) || semantic(c));
}
bool retries(const Config& c) {
  return checked(c) && words_and_sam(c);
}
bool pyramid(const Config& c) {
  return c.decouple.fill == decoupling::Fill::alpha_pyramid;
}
// Settings of the stages that a generative peer makes otherwise: they concern De-DA alone.
bool makes_cdps(const Config& c) {
  return !uses_edits(c);
}
bool guided(const Config& c) {
  return makes_cdps(c) && c.generate.guidance > 1;
}
// Settings that came later stand in keys only where they change something: without them old keys hold.
bool squares(const Config& c) {
  return c.augment.resize != augment::ResizeRule::shorter;
}
bool pads(const Config& c) {
  return c.augment.pad > 0;
}
bool has_policy(const Config& c) {
  return c.augment.policy != augment::Policy::none;
}
bool is_randaugment(const Config& c) {
  return c.augment.policy == augment::Policy::randaugment;
}
bool is_color_jitter(const Config& c) {
  return c.augment.policy == augment::Policy::color_jitter;
}
bool mixes_others_than_natural(const Config& c) {
  return c.augment.mixing.chosen >= 0 && c.augment.mixing.mixed > 0;
}
bool mixes(const Config& c) {
  return uses_parts(c) && c.augment.p_mix > 0;
}
bool places_first(const Config& c) {  // the first CDP, at random
  return uses_parts(c) && c.augment.placement == augment::Placement::random;
}
bool places(const Config& c) {  // one or the other
  return places_first(c) || mixes(c);
}
bool has_relative_scale(const Config& c) {
  return c.augment.scale == augment::ScaleRule::relative;
}
bool first_relative(const Config& c) {
  return places_first(c) && has_relative_scale(c);
}
bool mixes_relative(const Config& c) {
  return mixes(c) && has_relative_scale(c);
}
bool has_random_anchor(const Config& c) {
  return uses_parts(c) && c.augment.anchor == augment::AnchorChoice::random;
}
bool leaves_real_cdps(const Config& c) {
  return uses_parts(c) && c.augment.real_cdps == augment::RealCdps::untouched;
}
bool mixes_any(const Config& c) {
  return mixes(c) && c.augment.mix == augment::MixChoice::any;
}
bool is_in_place(const Config& c) {
  return uses_parts(c) && c.augment.placement == augment::Placement::in_place;
}
bool labels_whole(const Config& c) {
  return mixes(c) && c.augment.label_area == augment::LabelArea::whole;
}
bool from_file(const Config& c) {
  return !c.train.weights.empty();
}
bool holds_out(const Config& c) {
  return c.train.held_out > 0;
}
bool has_several_labels(const Config& c) {
  return c.train.objective == training::ObjectiveChoice::multi_label;
}
bool parts_of_labels(const Config& c) {
  return uses_parts(c) && has_several_labels(c);
}
bool mixes_labels(const Config& c) {
  return mixes(c) && has_several_labels(c);
}
bool has_momentum(const Config& c) {
  return c.train.momentum > 0;
}
bool steps_down(const Config& c) {
  return c.train.schedule == training::ScheduleKind::step;
}
bool is_cosine(const Config& c) {
  return c.train.schedule == training::ScheduleKind::cosine;
}
// Of settings that came later: at their default they are no part of keys, so that these stayed as they were.
bool drops_last_batch(const Config& c) {
  return c.train.last_batch != training::LastBatch::keep;
}
bool cosine_over_all_steps(const Config& c) {
  return is_cosine(c) && c.train.cosine_length != training::CosineLength::one_epoch_more;
}
bool warms_up_by_share(const Config& c) {
  return c.train.warmup_share > 0;
}
bool warms_up_by_epochs(const Config& c) {
  return c.train.warmup_epochs > 0;
}
bool evaluates_elsewhere(const Config& c) {
  return c.train.evaluate_first != 0 && c.train.evaluate_first != c.train.evaluate_every;
}
bool scales_loss(const Config& c) {
  return c.train.precision == training::Precision::fp16;
}
bool normalises_over_ranks(const Config& c) {
  return c.train.batch_norm != training::BatchNorm::local;
}

constexpr Part value = Part::value, content = Part::content, derived = Part::derived, none = Part::none;

const std::vector<Stage> nothing{}, toy{Stage::toy}, decouple{Stage::decouple}, invert{Stage::invert},
    tune{Stage::tune}, generate{Stage::generate}, train{Stage::train},
    diffusion{Stage::invert, Stage::generate}, learning_models{Stage::invert, Stage::tune, Stage::generate},
    decouple_and_train{Stage::decouple, Stage::train}, generate_and_train{Stage::generate, Stage::train},
    learning{Stage::invert, Stage::tune, Stage::generate, Stage::train},
    pictures{Stage::decouple, Stage::invert, Stage::tune, Stage::generate, Stage::train};

constexpr std::string_view where_and_how_fast = "where and how fast, not what";
constexpr std::string_view by_items = "which pictures there are counts, and what they hold";
constexpr std::string_view file_content = "its content counts, not its path";
constexpr std::string_view judges_only = "decides whether the stage is called a failure, not what it makes";
constexpr std::string_view beside_the_result = "what stays on disk beside the result";
constexpr std::string_view own_model = "makes a model folder, whose content counts where it is used";

// Keys of the generative peers' sections, each where its method is chosen. `derived`: they become settings of
// `invert` (effective()), or are resolved first.
void add_peer_rows(std::vector<SettingRow>& rows) {
  static std::deque<std::string> names;  // rows refer to them
  const auto insert_after = [&](std::string_view last, std::vector<SettingRow> more) {
    const auto after =
        std::find_if(rows.begin(), rows.end(), [&](const SettingRow& row) { return row.key == last; });
    rows.insert(after + 1, more.begin(), more.end());
  };
  std::vector<SettingRow> making, using_them;
  for (std::size_t i = 0; i < generative::method_count; ++i) {
    const auto method = static_cast<generative::Method>(i);
    const auto chosen = [method](const Config& c) { return uses_edits(c) && c.augment.peer == method; };
    const std::string name{generative::facts_of(method).name};
    PipelineConfig defaults;
    for (const auto& setting : config_values(defaults)) {
      const bool makes = setting.key.starts_with("generate." + name + "."),
                 uses = setting.key.starts_with("augment." + name + ".");
      if (!makes && !uses) continue;
      names.push_back(setting.key);
      const auto key = setting.key.substr(setting.key.rfind('.') + 1);
      if (uses)
        using_them.push_back({names.back(), value, train, chosen, ""});
      else if (key == "fractals")
        making.push_back({names.back(), content, generate, nullptr, file_content});
      else if (key.starts_with("inversion_") || key == "initial_word")
        making.push_back({names.back(), derived, invert, nullptr,
                          "is the setting of [invert] or [diffusion] that it names"});
      else if (key == "resolution" || key == "noun")
        making.push_back({names.back(), derived, generate, nullptr, "resolved where it is 0 or empty"});
      else
        making.push_back({names.back(), value, generate, chosen, ""});
    }
  }
  insert_after("generate.allow_empty", making);
  std::string_view last = "augment.ring_batches";
  for (const auto& row : rows) {
    if (row.key.starts_with("augment.")) last = row.key;
  }
  insert_after(last, using_them);
}

// Keys of the image-mixing methods' sections: each counts where its method is chosen.
void add_mixing_rows(std::vector<SettingRow>& rows) {
  static std::deque<std::string> names;  // rows refer to them
  const auto after = std::find_if(rows.begin(), rows.end(),
                                  [](const SettingRow& row) { return row.key == "augment.ring_batches"; });
  std::vector<SettingRow> more;
  const auto& methods = mixing::methods();
  for (std::size_t i = 0; i < methods.size(); ++i) {
    const auto& facts = methods[i]->facts();
    const auto chosen = [number = static_cast<int>(i)](const Config& c) {
      return c.augment.mixing.chosen == number;
    };
    for (const auto& key : facts.keys) {
      names.push_back("augment." + std::string{facts.name} + "." + std::string{key.name});
      more.push_back({names.back(), value, train, chosen, ""});
    }
  }
  rows.insert(after + 1, more.begin(), more.end());
}

std::vector<SettingRow> make_rows() {
  std::vector<SettingRow> rows = {
      {"run.name", none, nothing, nullptr, "a name for people"},
      {"run.output", none, nothing, nullptr, "where results live"},
      {"run.seed", value, train, nullptr, ""},
      {"run.threads", none, nothing, nullptr, where_and_how_fast},
      {"run.time_limit_s", none, nothing, nullptr, "a stopped stage continues to the same result"},

      {"toy.classes", value, toy, nullptr, ""},
      {"toy.train_per_class", value, toy, nullptr, ""},
      {"toy.test_per_class", value, toy, nullptr, ""},
      {"toy.size", value, toy, nullptr, ""},
      {"toy.background_correlation", value, toy, nullptr, ""},
      {"toy.seed", value, toy, nullptr, ""},

      {"dataset.layout", derived, pictures, nullptr, by_items},
      {"dataset.root", content, pictures, nullptr, by_items},
      {"dataset.masks", content, decouple, nullptr, by_items},
      {"dataset.test_share", derived, pictures, nullptr, by_items},
      {"dataset.images_per_class", derived, pictures, nullptr, by_items},
      {"dataset.subset_seed", derived, pictures, nullptr, by_items},
      {"dataset.orientation", derived, pictures, nullptr, "pictures that it turns count"},
      {"dataset.test_root", content, decouple_and_train, nullptr, by_items},
      {"dataset.test_layout", derived, decouple_and_train, nullptr, by_items},
      {"dataset.strip_banner", derived, pictures, nullptr, "rows that are left out of the pictures count"},

      {"decouple.sources", value, decouple, nullptr, ""},
      {"decouple.mode", value, decouple, nullptr, ""},
      {"decouple.parts_per", value, decouple, nullptr, ""},
      {"decouple.split", derived, decouple, nullptr, by_items},
      {"decouple.trimap_border", value, decouple, annotated, ""},
      {"decouple.min_mask_share", value, decouple, checked, ""},
      {"decouple.max_mask_share", value, decouple, checked, ""},
      {"decouple.hole_dilation_pixels", value, decouple, nullptr, ""},
      {"decouple.hole_dilation_share", value, decouple, nullptr, ""},
      {"decouple.fill", value, decouple, nullptr, ""},
      {"decouple.pyramid_ratio", value, decouple, pyramid, ""},
      {"decouple.max_hole_share", value, decouple, nullptr, ""},
      {"decouple.feather_sigma", value, decouple, nullptr, ""},
      {"decouple.erode_pixels", value, decouple, nullptr, ""},
      {"decouple.margin_share", value, decouple, nullptr, ""},
      {"decouple.margin_pixels", value, decouple, nullptr, ""},
      {"decouple.cip_shorter_side", value, decouple, nullptr, ""},
      {"decouple.cdp_longer_side", value, decouple, nullptr, ""},
      {"decouple.grabcut_side", value, decouple, grabcut, ""},
      {"decouple.grabcut_iterations", value, decouple, grabcut, ""},
      {"decouple.grabcut_box_growth", value, decouple, grabcut, ""},
      {"decouple.grabcut_seed_share", value, decouple, grabcut, ""},
      {"decouple.prompt", value, decouple, words_and_sam, ""},
      {"decouple.semantic_classes", value, decouple, semantic, ""},
      {"decouple.box_threshold", value, decouple, words_and_sam, ""},
      {"decouple.text_threshold", value, decouple, words_and_sam, ""},
      {"decouple.retry_box_threshold", value, decouple, retries, ""},
      {"decouple.min_box_agreement", value, decouple, checked_by_box, ""},
      {"decouple.box_suppression", value, decouple, words_and_sam, ""},
      {"decouple.best_box_only", value, decouple, words_and_sam, ""},
      {"decouple.annotated_box_only", value, decouple, words_and_sam, ""},
      {"decouple.min_component_share", value, decouple, networks, ""},
      {"decouple.fill_mask_holes", value, decouple, networks, ""},
      {"decouple.grounding_dino", content, decouple, words_and_sam, file_content},
      {"decouple.grounding_dino_rules", value, decouple, words_and_sam, ""},
      {"decouple.sam", content, decouple, networks, file_content},
      {"decouple.deeplab", content, decouple, semantic, file_content},
      {"decouple.device", none, nothing, nullptr, where_and_how_fast},
      {"decouple.precision", value, decouple, networks, ""},
      {"decouple.batch", value, decouple, semantic, ""},
      {"decouple.networks_at_once", none, nothing, nullptr, where_and_how_fast},
      {"decouple.exclude", content, decouple, nullptr, "the pictures that it names count, not the file"},
      {"decouple.items_per_segment", value, decouple, nullptr, ""},  // the store's files, byte for byte
      {"decouple.max_failed_share", none, nothing, nullptr, judges_only},
      {"decouple.allow_empty", none, nothing, nullptr, judges_only},

      {"models.base", content, learning_models, nullptr, file_content},
      {"models.layer_diffuse", content, diffusion, nullptr, file_content},
      {"models.lora", content, learning_models, nullptr, "content and scale count"},
      {"models.transparent_encoder", content, diffusion, nullptr, file_content},
      {"models.transparent_decoder", content, generate, nullptr, file_content},
      {"models.calibration", derived, diffusion, nullptr, "the switches that it settles count"},
      {"models.instruct", content, generate, nullptr, file_content},
      {"models.clip", content, generate, nullptr, file_content},
      {"models.device", none, nothing, nullptr, where_and_how_fast},
      {"models.captured_graphs", none, nothing, nullptr, where_and_how_fast},
      {"models.channels_last", none, nothing, nullptr, where_and_how_fast},
      {"models.pad_attention_heads", none, nothing, nullptr, where_and_how_fast},
      {"models.precision", value, learning_models, nullptr, ""},
      {"models.vae_precision", value, learning_models, nullptr, ""},

      {"diffusion.seed", value, learning_models, nullptr, ""},
      // Of identifiers only the largest timestep: strengths can be swept with the same ones.
      {"diffusion.strength", value, generate, makes_cdps, ""},
      {"diffusion.resolution", derived, diffusion, nullptr, "0 is the model's own"},
      {"diffusion.margin_share", value, diffusion, makes_cdps, ""},
      {"diffusion.offset_gain", derived, diffusion, nullptr, "auto is what the weights were calibrated to"},
      {"diffusion.prompt", value, generate, makes_cdps, ""},
      {"diffusion.init_word", value, invert, nullptr, ""},
      {"diffusion.init_words", value, invert, nullptr, ""},
      {"diffusion.encode_batch", none, nothing, nullptr, where_and_how_fast},

      {"invert.steps", value, invert, nullptr, ""},
      {"invert.batch", value, invert, nullptr, ""},
      {"invert.learning_rate", value, invert, nullptr, ""},
      {"invert.scale_lr", value, invert, nullptr, ""},
      {"invert.weight_decay", value, invert, nullptr, ""},
      {"invert.most_timestep", derived, invert, nullptr, "-1 is floor(1000 * diffusion.strength)"},
      {"invert.vectors", value, invert, nullptr, ""},
      {"invert.templates", value, invert, nullptr, ""},
      {"invert.flip", value, invert, nullptr, ""},
      {"invert.unet", value, invert, nullptr, ""},
      {"invert.latent", value, invert, nullptr, ""},
      {"invert.classes_per_batch", value, invert, nullptr, ""},
      {"invert.micro_batch", none, nothing, nullptr, where_and_how_fast},
      {"invert.nan", value, invert, nullptr, ""},
      {"invert.nan_retries", value, invert, nullptr, ""},
      {"invert.checkpoint_every", none, nothing, nullptr, "what a kill costs, not what comes out"},
      {"invert.report_every", value, invert, nullptr, ""},  // the loss curve is part of the result
      {"invert.held_out", value, invert, nullptr, ""},
      {"invert.cache_megabytes", none, nothing, nullptr, where_and_how_fast},

      {"tune.rank", value, tune, nullptr, ""},
      {"tune.alpha", value, tune, nullptr, ""},
      {"tune.steps", value, tune, nullptr, ""},
      {"tune.batch", value, tune, nullptr, ""},
      {"tune.micro_batch", value, tune, nullptr, ""},  // sums in other shapes: other last digits
      {"tune.learning_rate", value, tune, nullptr, ""},
      {"tune.token_learning_rate", value, tune, nullptr, ""},
      {"tune.weight_decay", value, tune, nullptr, ""},
      {"tune.max_grad_norm", value, tune, nullptr, ""},
      {"tune.super_class", derived, tune, nullptr, "auto is what all pictures show"},
      {"tune.init_word", value, tune, nullptr, ""},
      {"tune.resolution", value, tune, nullptr, ""},
      {"tune.crop", value, tune, nullptr, ""},
      {"tune.crop_positions", value, tune, nullptr, ""},
      {"tune.flip", value, tune, nullptr, ""},
      {"tune.nan", value, tune, nullptr, ""},
      {"tune.nan_retries", value, tune, nullptr, ""},
      {"tune.checkpoint_every", none, nothing, nullptr, "what a kill costs, not what comes out"},
      {"tune.report_every", value, tune, nullptr, ""},  // the loss curve is part of the result
      {"tune.cache_megabytes", none, nothing, nullptr, where_and_how_fast},

      // Training takes generate's key without the number of copies, and its own number: the first ones of a
      // larger store are the same bytes (plan.cpp).
      {"generate.copies", derived, generate_and_train, nullptr,
       "of the store the larger of this and store_copies, of training how many it uses of each CDP"},
      {"generate.store_copies", derived, generate, nullptr, "with generate.copies: how many the store holds"},
      {"generate.steps", value, generate, makes_cdps, ""},
      {"generate.guidance", value, generate, makes_cdps, ""},
      {"generate.sampler", value, generate, makes_cdps, ""},
      {"generate.negative_prompt", value, generate, guided, ""},
      {"generate.decoder_latent", derived, generate, nullptr, "auto is what the weights were calibrated to"},
      {"generate.decoder_pixel", value, generate, makes_cdps, ""},
      {"generate.decoder_votes", value, generate, makes_cdps, ""},
      {"generate.least_alpha", value, generate, makes_cdps, ""},
      {"generate.least_component_share", value, generate, makes_cdps, ""},
      {"generate.least_alpha_inside", value, generate, makes_cdps, ""},
      {"generate.least_area_ratio", value, generate, makes_cdps, ""},
      {"generate.most_area_ratio", value, generate, makes_cdps, ""},
      {"generate.batch_cdps", value, generate, nullptr, ""},  // sums in other shapes: other last digits
      {"generate.autoencoder_batch", value, generate, nullptr, ""},
      {"generate.identifier", value, generate, makes_cdps, ""},
      {"generate.items_per_segment", value, generate, nullptr, ""},
      {"generate.max_failed_share", none, nothing, nullptr, judges_only},
      {"generate.allow_empty", none, nothing, nullptr, judges_only},

      {"pretrain.seed", none, nothing, nullptr, own_model},
      {"pretrain.per_class", none, nothing, nullptr, own_model},
      {"pretrain.toy_seed", none, nothing, nullptr, own_model},
      {"pretrain.resolution", none, nothing, nullptr, own_model},
      {"pretrain.autoencoder_steps", none, nothing, nullptr, own_model},
      {"pretrain.transparent_steps", none, nothing, nullptr, own_model},
      {"pretrain.unet_steps", none, nothing, nullptr, own_model},
      {"pretrain.autoencoder_batch", none, nothing, nullptr, own_model},
      {"pretrain.transparent_batch", none, nothing, nullptr, own_model},
      {"pretrain.unet_batch", none, nothing, nullptr, own_model},
      {"pretrain.autoencoder_rate", none, nothing, nullptr, own_model},
      {"pretrain.transparent_rate", none, nothing, nullptr, own_model},
      {"pretrain.unet_rate", none, nothing, nullptr, own_model},

      {"augment.method", value, train, nullptr, ""},
      {"augment.mixed_samples", value, train, mixes_others_than_natural, ""},
      {"augment.resize", value, train, squares, ""},
      {"augment.resize_shorter", value, train, nullptr, ""},
      {"augment.pad", value, train, pads, ""},
      {"augment.crop", value, train, nullptr, ""},
      {"augment.p_aug", value, train, uses_parts, ""},
      {"augment.p_syn", value, train, uses_parts, ""},
      {"augment.p_mix", value, train, uses_parts, ""},
      {"augment.anchor", value, train, has_random_anchor, ""},
      {"augment.real_cdps", value, train, leaves_real_cdps, ""},
      {"augment.mix", value, train, mixes_any, ""},
      {"augment.cip", value, train, uses_parts, ""},
      {"augment.placement", value, train, is_in_place, ""},
      {"augment.scale", value, train, places, ""},
      {"augment.scale_min", value, train, first_relative, ""},
      {"augment.scale_max", value, train, first_relative, ""},
      {"augment.mix_scale_min", value, train, mixes_relative, ""},
      {"augment.mix_scale_max", value, train, mixes_relative, ""},
      {"augment.max_enlarge", value, train, places, ""},
      {"augment.edge_sigma", value, train, uses_parts, ""},
      {"augment.rotation_degrees", value, train, places, ""},
      {"augment.cdp_flip", value, train, places, ""},
      {"augment.flip", value, train, nullptr, ""},
      {"augment.max_occlusion", value, train, mixes, ""},
      {"augment.placement_tries", value, train, mixes, ""},
      {"augment.label_area", value, train, labels_whole, ""},
      {"augment.min_mask_share", value, train, uses_parts, ""},
      {"augment.max_mask_share", value, train, uses_parts, ""},
      {"augment.policy", value, train, has_policy, ""},
      {"augment.randaugment_operations", value, train, is_randaugment, ""},
      {"augment.randaugment_magnitude", value, train, is_randaugment, ""},
      {"augment.jitter_brightness", value, train, is_color_jitter, ""},
      {"augment.jitter_contrast", value, train, is_color_jitter, ""},
      {"augment.jitter_saturation", value, train, is_color_jitter, ""},
      {"augment.jitter_hue", value, train, is_color_jitter, ""},
      {"augment.mixed_label", value, train, mixes_labels, ""},
      {"augment.min_background", value, train, parts_of_labels, ""},
      {"augment.paste_on", value, train, parts_of_labels, ""},
      {"augment.allow_empty", none, nothing, nullptr, judges_only},
      {"augment.cache_megabytes", none, nothing, nullptr, where_and_how_fast},
      {"augment.ring_batches", none, nothing, nullptr, where_and_how_fast},

      {"train.network", value, train, nullptr, ""},
      {"train.weights", content, train, nullptr, file_content},
      {"train.weights_head", value, train, from_file, ""},
      {"train.store", content, diffusion, nullptr, "the store that it names takes the place of decouple's"},
      {"train.synthetic_store", content, train, nullptr,
       "the store that it names takes the place of generate's"},
      {"train.epochs", value, train, nullptr, ""},
      {"train.batch_size", value, train, nullptr, ""},
      {"train.last_batch", value, train, drops_last_batch, ""},
      {"train.learning_rate", value, train, nullptr, ""},
      {"train.momentum", value, train, nullptr, ""},
      {"train.nesterov", value, train, has_momentum, ""},
      {"train.weight_decay", value, train, nullptr, ""},
      {"train.schedule", value, train, nullptr, ""},
      {"train.milestones", value, train, steps_down, ""},
      {"train.decay", value, train, steps_down, ""},
      {"train.cosine_length", value, train, cosine_over_all_steps, ""},
      {"train.minimum_learning_rate", value, train, is_cosine, ""},
      {"train.warmup_share", value, train, warms_up_by_share, ""},
      {"train.warmup_epochs", value, train, warms_up_by_epochs, ""},
      {"train.label_smoothing", value, train, nullptr, ""},
      {"train.objective", value, train, has_several_labels, ""},  // auto is one of the others
      // Identifiers and synthetic CDPs are made without these pictures too.
      {"train.held_out", value, learning, holds_out, ""},
      {"train.held_out_seed", value, learning, holds_out, ""},
      {"train.evaluate_every", value, train, nullptr, ""},  // the history is part of the result
      {"train.evaluate_first", value, train, evaluates_elsewhere, ""},
      {"train.evaluation_batch", none, nothing, nullptr, where_and_how_fast},
      {"train.checkpoint_every", none, nothing, nullptr, "what a kill costs, not what comes out"},
      {"train.keep_checkpoints", none, nothing, nullptr, beside_the_result},
      {"train.keep_finished_checkpoints", none, nothing, nullptr, beside_the_result},
      {"train.device", none, nothing, nullptr, where_and_how_fast},
      {"train.precision", value, train, nullptr, ""},
      {"train.loss_scale", value, train, scales_loss, ""},
      {"train.loss_scale_interval", value, train, scales_loss, ""},
      {"train.batch_norm", value, train, normalises_over_ranks, ""},
      {"train.memory_order", none, nothing, nullptr, where_and_how_fast},
      {"train.kernels", none, nothing, nullptr, where_and_how_fast},
      {"train.recompute_concatenations", none, nothing, nullptr, where_and_how_fast},
      {"train.captured_graphs", none, nothing, nullptr, where_and_how_fast},
      {"train.torch_threads", none, nothing, nullptr, where_and_how_fast},
      {"train.composer_threads", none, nothing, nullptr, where_and_how_fast},
      {"train.bucket_mb", none, nothing, nullptr, where_and_how_fast},
  };
  add_mixing_rows(rows);
  add_peer_rows(rows);
  return rows;
}

}  // namespace

namespace {

// DA-Fusion learns its words from whole pictures, over all timesteps and on the base model alone.
void invert_as_peer(PipelineConfig& config) {
  const auto& peer = peer_of(config);
  if (peer.facts().words != generative::Words::identifier) return;
  auto& invert = config.invert;
  invert.steps = peer.inversion_steps;
  invert.batch = peer.inversion_batch;
  invert.learning_rate = peer.inversion_rate;
  invert.scale_lr = true;
  invert.vectors = 1;
  invert.most_timestep = 999;
  invert.templates = diffusion::InvertTemplates::objects;
  invert.unet = diffusion::InvertUNet::plain;
  invert.latent = diffusion::InvertLatent::picture;
  config.diffusion.init_word = peer.initial_word;
  config.diffusion.init_words.clear();
}

}  // namespace

PipelineConfig effective(PipelineConfig config) {
  auto& augment = config.augment;
  if (augment.method == augment::Method::deda && augment.p_aug == 0) augment.method = augment::Method::plain;
  if (augment.method == augment::Method::edits) {
    if (augment.edits().p_aug == 0)
      augment.method = augment::Method::plain;
    else
      invert_as_peer(config);
  }
  if (augment.policy == augment::Policy::color_jitter && augment.jitter_brightness == 0 &&
      augment.jitter_contrast == 0 && augment.jitter_saturation == 0 && augment.jitter_hue == 0)
    augment.policy = augment::Policy::none;
  if (config.train.objective == training::ObjectiveChoice::automatic)
    config.train.objective = data::has_several_labels(config.dataset.layout)
                                 ? training::ObjectiveChoice::multi_label
                                 : training::ObjectiveChoice::single_label;
  config.decouple.grounding_dino_rules = decoupling::detector_rules(config.decouple);
  const auto& store = config.train.synthetic_store;
  if (store == "none" || (store.empty() && config.diffusion.strength == 0)) augment.p_syn = 0;
  // Without synthetic CDPs nothing is left that would be pasted.
  if (augment.method == augment::Method::deda && augment.real_cdps == augment::RealCdps::untouched &&
      augment.p_syn == 0)
    augment.method = augment::Method::plain;
  auto& mixing = augment.mixing;
  if (const auto* active = mixing.active();
      active != nullptr && active->has("mix_probability") && (*active)["mix_probability"] == 0)
    mixing.chosen = -1;
  mixing.mixed = mixing.chosen >= 0 ? augment.samples() : 0;
  return config;
}

const generative::GenerationSettings& peer_of(const PipelineConfig& config) {
  return config.generate.peers[config.augment.peer];
}
std::string noun_of(const PipelineConfig& config, const std::vector<std::string>& subjects) {
  const auto& noun = peer_of(config).noun;
  if (!noun.empty()) return noun;
  const bool tunes = peer_of(config).facts().words == generative::Words::tuned_identifier;
  if (tunes && config.tune.super_class != "auto") return config.tune.super_class;
  return subjects.size() == 1 ? subjects.front() : config.diffusion.init_word;
}

std::string super_class_of(const PipelineConfig& config, const std::vector<std::string>& subjects) {
  return config.tune.super_class != "auto" ? config.tune.super_class : noun_of(config, subjects);
}

bool uses_parts(const PipelineConfig& effective) {
  return effective.augment.method == augment::Method::deda;
}
bool uses_edits(const PipelineConfig& effective) {
  return effective.augment.method == augment::Method::edits;
}
bool uses_synthetic(const PipelineConfig& effective) {
  return uses_parts(effective) && effective.augment.p_syn > 0;
}
bool uses_identifiers(const PipelineConfig& config) {
  if (uses_edits(config)) return peer_of(config).facts().words == generative::Words::identifier;
  return config.generate.identifier == diffusion::IdentifierChoice::learned;
}

std::string method_name(const PipelineConfig& config) {
  const auto same = effective(config);
  const std::string samples = uses_edits(same)       ? std::string{peer_of(same).facts().name}
                              : !uses_parts(same)    ? "plain"
                              : uses_synthetic(same) ? "deda"
                                                     : "deda-real";
  const auto* mixing = same.augment.mixing.active();
  if (mixing == nullptr) return samples;
  const std::string name{mixing->method().facts().name};
  return samples == "plain" ? name : samples + "+" + name;
}

const std::vector<SettingRow>& setting_rows() {
  static const std::vector<SettingRow> rows = make_rows();
  return rows;
}

std::vector<ConfigValue> settings_of(Stage stage, const PipelineConfig& effective) {
  static const auto by_key = [] {
    std::map<std::string_view, const SettingRow*> found;
    for (const SettingRow& row : setting_rows()) found.emplace(row.key, &row);
    return found;
  }();
  std::vector<ConfigValue> settings;
  for (ConfigValue& setting : config_values(effective)) {
    const auto found = by_key.find(setting.key);
    if (found == by_key.end())
      throw std::logic_error("the key " + setting.key + " has no row in src/pipeline/settings.cpp");
    const SettingRow& row = *found->second;
    const bool concerns =
        row.part == Part::value && std::find(row.stages.begin(), row.stages.end(), stage) != row.stages.end();
    if (concerns && (row.applies == nullptr || row.applies(effective)))
      settings.push_back(std::move(setting));
  }
  return settings;
}

}  // namespace deda::pipeline
