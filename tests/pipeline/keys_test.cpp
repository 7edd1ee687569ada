// Which setting and which file changes which key: every key of the configuration has its row here, held
// against what the plan does when the value changes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "mixing/method.h"
#include "pipeline/example_experiment.h"
#include "pipeline/settings.h"

namespace deda::pipeline {
namespace {

using Settings = std::vector<std::string>;

// What each row starts from, by name. "other": nothing of it can be changed by one setting alone, tested
// below.
const std::map<std::string, Settings> bases{
    {"deda", {}},
    {"plain", {"augment.method=plain"}},
    {"real", {"augment.p_syn=0"}},
    {"networks",
     {"decouple.sources=[\"text_box_sam\",\"semantic\",\"box_grabcut\"]"}},  // with the networks' folders
    {"faithful", {"decouple.mode=faithful"}},
    {"telea", {"decouple.fill=telea"}},
    {"no mix", {"augment.p_mix=0"}},
    {"native", {"augment.scale=native"}},
    {"in place", {"augment.placement=in_place", "augment.p_mix=0"}},
    {"in place, mixed", {"augment.placement=in_place"}},
    {"randaugment", {"augment.policy=randaugment"}},
    {"color jitter", {"augment.policy=color_jitter"}},
    {"cosine", {"train.schedule=cosine"}},
    {"fp16", {"train.precision=fp16"}},
    {"unguided", {"generate.guidance=1"}},
    {"own timestep", {"invert.most_timestep=700"}},
    {"held out", {"train.held_out=0.25"}},
    {"names", {"generate.identifier=class_name"}},
    {"weights", {}},  // with a weights file
    {"labels", {"train.objective=multi_label"}},
    {"nine copies", {"generate.store_copies=9"}},
    {"cutmix", {"augment.method=cutmix"}},
    {"diff-mix", {"augment.method=diff-mix"}},  // with a folder of CLIP
    {"cutmix of deda", {"augment.method=cutmix", "augment.mixed_samples=deda"}},
};

struct Row {
  const char* key;
  const char* value;
  // First stage whose key changes; all that need it follow, but where it says "alone". "": none.
  const char* changes;
  const char* base = "deda";
};

// PATH/ stands for the experiment's folder.
const std::vector<Row> rows{
    {"run.name", "\"another\"", ""},
    {"run.output", "\"PATH/elsewhere\"", ""},
    {"run.seed", "7", "train"},
    {"run.seed", "7", "train", "plain"},
    {"run.threads", "3", ""},
    {"run.time_limit_s", "9", ""},

    {"toy.classes", "2", "toy"},
    {"toy.train_per_class", "5", "toy"},
    {"toy.test_per_class", "3", "toy"},
    {"toy.size", "17", "toy"},
    {"toy.background_correlation", "0.5", "toy"},
    {"toy.seed", "2", "toy"},

    {"dataset.layout", "", "other"},
    {"dataset.root", "\"PATH/moved\"", ""},  // nothing is drawn in either: the same dataset to come
    {"dataset.masks", "", "other"},
    {"dataset.test_share", "0.5", ""},  // another layout's
    {"dataset.images_per_class", "2", "decouple"},
    {"dataset.subset_seed", "5", ""},          // all pictures are kept
    {"dataset.orientation", "\"apply\"", ""},  // no picture is turned
    {"dataset.strip_banner", "true", ""},
    {"dataset.test_root", "", "other"},
    {"dataset.test_layout", "\"cub\"", ""},  // of no test_root

    {"decouple.sources", "[\"annotated\",\"box_grabcut\"]", "decouple"},
    {"decouple.sources", "[\"annotated\",\"box_grabcut\"]", "", "plain"},
    {"decouple.mode", "\"faithful\"", "decouple"},
    {"decouple.parts_per", "\"picture\"", "decouple"},
    {"decouple.split", "\"all\"", "decouple"},
    {"decouple.trimap_border", "\"inside\"", "decouple"},
    {"decouple.trimap_border", "\"inside\"", "", "networks"},
    {"decouple.min_mask_share", "0.1", "decouple"},
    {"decouple.min_mask_share", "0.1", "", "faithful"},
    {"decouple.max_mask_share", "0.9", "decouple"},
    {"decouple.max_mask_share", "0.9", "", "faithful"},
    {"decouple.hole_dilation_pixels", "4", "decouple"},
    {"decouple.hole_dilation_share", "0.02", "decouple"},
    {"decouple.fill", "\"telea\"", "decouple"},
    {"decouple.pyramid_ratio", "1.5", "decouple"},
    {"decouple.pyramid_ratio", "1.5", "", "telea"},
    {"decouple.max_hole_share", "0.9", "decouple"},
    {"decouple.feather_sigma", "2", "decouple"},
    {"decouple.erode_pixels", "1", "decouple"},
    {"decouple.margin_share", "0.1", "decouple"},
    {"decouple.margin_pixels", "5", "decouple"},
    {"decouple.cip_shorter_side", "64", "decouple"},
    {"decouple.cdp_longer_side", "64", "decouple"},
    {"decouple.grabcut_side", "64", ""},
    {"decouple.grabcut_side", "64", "decouple", "networks"},
    {"decouple.grabcut_iterations", "2", ""},
    {"decouple.grabcut_iterations", "2", "decouple", "networks"},
    {"decouple.grabcut_box_growth", "0.1", ""},
    {"decouple.grabcut_box_growth", "0.1", "decouple", "networks"},
    {"decouple.grabcut_seed_share", "0.5", ""},
    {"decouple.grabcut_seed_share", "0.5", "decouple", "networks"},
    {"decouple.prompt", "\"beetle\"", ""},
    {"decouple.prompt", "\"beetle\"", "decouple", "networks"},
    {"decouple.semantic_classes", "[\"bird\"]", ""},
    {"decouple.semantic_classes", "[\"bird\"]", "decouple", "networks"},
    {"decouple.grounding_dino_rules", "\"transformers\"", ""},
    {"decouple.grounding_dino_rules", "\"transformers\"", "decouple", "networks"},
    {"decouple.grounding_dino_rules", "\"original\"", "", "networks"},  // what auto stands for there
    {"decouple.box_threshold", "0.4", ""},
    {"decouple.box_threshold", "0.4", "decouple", "networks"},
    {"decouple.text_threshold", "0.4", ""},
    {"decouple.text_threshold", "0.4", "decouple", "networks"},
    {"decouple.retry_box_threshold", "0.1", ""},
    {"decouple.retry_box_threshold", "0.1", "decouple", "networks"},
    {"decouple.min_box_agreement", "0.4", ""},
    {"decouple.min_box_agreement", "0.4", "decouple", "networks"},
    {"decouple.box_suppression", "0.5", ""},
    {"decouple.box_suppression", "0.5", "decouple", "networks"},
    {"decouple.best_box_only", "true", ""},
    {"decouple.best_box_only", "true", "decouple", "networks"},
    {"decouple.annotated_box_only", "true", ""},
    {"decouple.annotated_box_only", "true", "decouple", "networks"},
    {"decouple.min_component_share", "0.1", ""},
    {"decouple.min_component_share", "0.1", "decouple", "networks"},
    {"decouple.fill_mask_holes", "true", ""},
    {"decouple.fill_mask_holes", "true", "decouple", "networks"},
    {"decouple.grounding_dino", "\"PATH/deeplab\"", ""},
    {"decouple.grounding_dino", "\"PATH/deeplab\"", "decouple", "networks"},
    {"decouple.sam", "\"PATH/lora.safetensors\"", ""},
    {"decouple.sam", "\"PATH/lora.safetensors\"", "decouple", "networks"},
    {"decouple.deeplab", "\"PATH/dino\"", ""},
    {"decouple.deeplab", "\"PATH/dino\"", "decouple", "networks"},
    {"decouple.device", "\"cpu\"", ""},
    {"decouple.precision", "\"bf16\"", ""},
    {"decouple.precision", "\"bf16\"", "decouple", "networks"},
    {"decouple.batch", "8", ""},
    {"decouple.batch", "8", "decouple", "networks"},
    {"decouple.networks_at_once", "2", "", "networks"},
    {"decouple.exclude", "\"PATH/exclude.txt\"", "decouple"},
    {"decouple.items_per_segment", "8", "decouple"},
    {"decouple.max_failed_share", "0.5", ""},
    {"decouple.allow_empty", "true", ""},

    {"models.base", "\"PATH/other_model\"", "invert"},
    {"models.base", "\"PATH/other_model\"", "", "real"},
    {"models.layer_diffuse", "\"PATH/layer_diffuse.safetensors\"", "invert"},
    {"models.lora", "[\"PATH/lora.safetensors=0.5\"]", "invert"},
    {"models.transparent_encoder", "\"PATH/other_encoder.safetensors\"", "invert"},
    {"models.transparent_decoder", "\"PATH/other_decoder.safetensors\"", "generate"},
    {"models.calibration", "", "other"},
    {"models.instruct", "\"PATH/instruct\"", ""},  // of a generative peer, below
    {"models.clip", "\"PATH/clip\"", ""},
    {"models.device", "\"cpu\"", ""},
    {"models.captured_graphs", "true", ""},
    {"models.channels_last", "false", ""},
    {"models.pad_attention_heads", "true", ""},
    {"models.precision", "\"bf16\"", "invert"},
    {"models.vae_precision", "\"bf16\"", "invert"},

    {"diffusion.seed", "2", "invert"},
    {"diffusion.strength", "0.5", "invert"},
    {"diffusion.strength", "0.5", "generate", "own timestep"},
    {"diffusion.strength", "0.5", "", "real"},
    {"diffusion.resolution", "128", "invert"},
    {"diffusion.resolution", "64", ""},  // the model's own
    {"diffusion.margin_share", "0.2", "invert"},
    {"diffusion.offset_gain", "\"300\"", "invert"},
    {"diffusion.offset_gain", "\"1\"", ""},  // what auto is for these weights
    {"diffusion.prompt", "\"a picture of a {token}\"", "generate"},
    {"diffusion.init_word", "\"beetle\"", "invert"},
    {"diffusion.init_word", "\"beetle\"", "", "names"},
    {"diffusion.init_words", "[\"striped beetle=beetle\"]", "invert"},
    {"diffusion.encode_batch", "2", ""},

    {"invert.steps", "10", "invert"},
    {"invert.steps", "10", "", "names"},
    {"invert.batch", "2", "invert"},
    {"invert.learning_rate", "1e-3", "invert"},
    {"invert.scale_lr", "true", "invert"},
    {"invert.weight_decay", "0.1", "invert"},
    {"invert.most_timestep", "999", "invert"},
    {"invert.most_timestep", "400", ""},  // floor(1000 * 0.4)
    {"invert.vectors", "2", "invert"},
    {"invert.templates", "\"photo\"", "invert"},
    {"invert.flip", "0", "invert"},
    {"invert.unet", "\"plain\"", "invert"},
    {"invert.latent", "\"rgb_on_grey\"", "invert"},
    {"invert.classes_per_batch", "2", "invert"},
    {"invert.micro_batch", "1", ""},
    {"invert.nan", "\"fail\"", "invert"},
    {"invert.nan_retries", "1", "invert"},
    {"invert.checkpoint_every", "7", ""},
    {"invert.report_every", "7", "invert"},
    {"invert.held_out", "1", "invert"},
    {"invert.cache_megabytes", "7", ""},

    {"tune.rank", "4", "tune", "diff-mix"},
    {"tune.rank", "4", ""},  // of no Diff-Mix
    {"tune.alpha", "3", "tune", "diff-mix"},
    {"tune.steps", "7", "tune", "diff-mix"},
    {"tune.batch", "4", "tune", "diff-mix"},
    {"tune.micro_batch", "1", "tune", "diff-mix"},
    {"tune.learning_rate", "0.1", "tune", "diff-mix"},
    {"tune.token_learning_rate", "0.1", "tune", "diff-mix"},
    {"tune.weight_decay", "0.1", "tune", "diff-mix"},
    {"tune.max_grad_norm", "2", "tune", "diff-mix"},
    {"tune.super_class", "\"fly\"", "tune", "diff-mix"},
    {"tune.init_word", "\"fly\"", "tune", "diff-mix"},
    {"tune.resolution", "64", "tune", "diff-mix"},
    {"tune.crop", "\"center\"", "tune", "diff-mix"},
    {"tune.crop_positions", "3", "tune", "diff-mix"},
    {"tune.flip", "0", "tune", "diff-mix"},
    {"tune.nan", "\"fail\"", "tune", "diff-mix"},
    {"tune.nan_retries", "1", "tune", "diff-mix"},
    {"tune.checkpoint_every", "3", "", "diff-mix"},
    {"tune.report_every", "3", "tune", "diff-mix"},
    {"tune.cache_megabytes", "3", "", "diff-mix"},
    {"models.base", "\"PATH/other_model\"", "tune", "diff-mix"},
    {"models.transparent_decoder", "\"PATH/other_decoder.safetensors\"", "", "diff-mix"},

    {"generate.copies", "2", "generate"},
    {"generate.copies", "2", "", "real"},
    {"generate.copies", "2", "train", "nine copies"},  // of the same store
    {"generate.store_copies", "3", ""},                // as many as copies
    {"generate.store_copies", "9", "generate alone"},  // training uses the same three of them
    {"generate.store_copies", "9", "", "real"},
    {"generate.steps", "10", "generate"},
    {"generate.guidance", "5", "generate"},
    {"generate.sampler", "\"ddim_leading\"", "generate"},
    {"generate.negative_prompt", "\"blurry\"", "generate"},
    {"generate.decoder_latent", "\"scaled\"", "generate"},
    {"generate.decoder_latent", "\"unscaled\"", ""},  // what auto is for these weights
    {"generate.decoder_pixel", "\"raw\"", "generate"},
    {"generate.decoder_votes", "1", "generate"},
    {"generate.least_alpha", "0.1", "generate"},
    {"generate.least_component_share", "0.1", "generate"},
    {"generate.least_alpha_inside", "0.4", "generate"},
    {"generate.least_area_ratio", "0.4", "generate"},
    {"generate.most_area_ratio", "3", "generate"},
    {"generate.batch_cdps", "2", "generate"},
    {"generate.autoencoder_batch", "2", "generate"},
    {"generate.identifier", "", "other"},
    {"generate.items_per_segment", "8", "generate"},
    {"generate.max_failed_share", "0.5", ""},
    {"generate.allow_empty", "true", ""},

    {"pretrain.seed", "9", ""},
    {"pretrain.per_class", "20", ""},
    {"pretrain.toy_seed", "9", ""},
    {"pretrain.resolution", "32", ""},
    {"pretrain.autoencoder_steps", "9", ""},
    {"pretrain.transparent_steps", "9", ""},
    {"pretrain.unet_steps", "9", ""},
    {"pretrain.autoencoder_batch", "9", ""},
    {"pretrain.transparent_batch", "9", ""},
    {"pretrain.unet_batch", "9", ""},
    {"pretrain.autoencoder_rate", "0.1", ""},
    {"pretrain.transparent_rate", "0.1", ""},
    {"pretrain.unet_rate", "0.1", ""},

    {"augment.method", "", "other"},
    {"augment.resize", "\"square\"", "train"},
    {"augment.resize", "\"square\"", "train", "plain"},
    {"augment.resize_shorter", "600", "train"},
    {"augment.resize_shorter", "600", "train", "plain"},
    {"augment.pad", "8", "train"},
    {"augment.pad", "8", "train", "plain"},
    {"augment.crop", "400", "train"},
    {"augment.crop", "400", "train", "plain"},
    {"augment.p_aug", "0.4", "train"},
    {"augment.p_aug", "0.4", "", "plain"},
    {"augment.p_syn", "0.4", "train"},
    {"augment.p_syn", "0.4", "", "plain"},
    {"augment.p_mix", "0.4", "train"},
    {"augment.p_mix", "0.4", "", "plain"},
    {"augment.anchor", "\"random\"", "train"},
    {"augment.anchor", "\"random\"", "", "plain"},
    {"augment.real_cdps", "\"untouched\"", "train"},
    {"augment.real_cdps", "\"untouched\"", "", "plain"},
    {"augment.mix", "\"any\"", "train"},
    {"augment.mix", "\"any\"", "", "no mix"},
    {"augment.placement", "\"in_place\"", "train"},
    {"augment.placement", "\"in_place\"", "", "plain"},
    {"augment.label_area", "\"whole\"", "train"},
    {"augment.label_area", "\"whole\"", "", "no mix"},
    {"augment.scale", "\"native\"", "", "in place"},
    {"augment.scale", "\"native\"", "train", "in place, mixed"},
    {"augment.scale_min", "0.4", "", "in place, mixed"},
    {"augment.mix_scale_min", "0.3", "train", "in place, mixed"},
    {"augment.max_enlarge", "2", "", "in place"},
    {"augment.rotation_degrees", "5", "", "in place"},
    {"augment.rotation_degrees", "5", "train", "in place, mixed"},
    {"augment.cdp_flip", "0.1", "", "in place"},
    {"augment.cip", "\"any\"", "train"},
    {"augment.cip", "\"any\"", "", "plain"},
    {"augment.scale", "\"native\"", "train"},
    {"augment.scale", "\"native\"", "", "plain"},
    {"augment.scale_min", "0.4", "train"},
    {"augment.scale_min", "0.4", "", "native"},
    {"augment.scale_max", "0.9", "train"},
    {"augment.scale_max", "0.9", "", "plain"},
    {"augment.mix_scale_min", "0.3", "train"},
    {"augment.mix_scale_min", "0.3", "", "no mix"},
    {"augment.mix_scale_max", "0.7", "train"},
    {"augment.mix_scale_max", "0.7", "", "native"},
    {"augment.max_enlarge", "2", "train"},
    {"augment.max_enlarge", "2", "", "plain"},
    {"augment.edge_sigma", "1.5", "train"},
    {"augment.edge_sigma", "1.5", "", "plain"},
    {"augment.rotation_degrees", "5", "train"},
    {"augment.rotation_degrees", "5", "", "plain"},
    {"augment.cdp_flip", "0.1", "train"},
    {"augment.cdp_flip", "0.1", "", "plain"},
    {"augment.flip", "0.1", "train"},
    {"augment.flip", "0.1", "train", "plain"},
    {"augment.max_occlusion", "0.3", "train"},
    {"augment.max_occlusion", "0.3", "", "no mix"},
    {"augment.placement_tries", "3", "train"},
    {"augment.placement_tries", "3", "", "no mix"},
    {"augment.min_mask_share", "0.02", "train"},
    {"augment.min_mask_share", "0.02", "", "plain"},
    {"augment.max_mask_share", "0.9", "train"},
    {"augment.max_mask_share", "0.9", "", "plain"},
    {"augment.policy", "\"randaugment\"", "train"},
    {"augment.policy", "\"trivialaugment\"", "train", "plain"},
    {"augment.randaugment_operations", "3", ""},
    {"augment.randaugment_operations", "3", "train", "randaugment"},
    {"augment.randaugment_operations", "3", "", "color jitter"},
    {"augment.randaugment_magnitude", "12", ""},
    {"augment.randaugment_magnitude", "12", "train", "randaugment"},
    {"augment.randaugment_magnitude", "12", "", "color jitter"},
    {"augment.jitter_brightness", "0.2", ""},
    {"augment.jitter_brightness", "0.2", "train", "color jitter"},
    {"augment.jitter_brightness", "0.2", "", "randaugment"},
    {"augment.jitter_contrast", "0.2", ""},
    {"augment.jitter_contrast", "0.2", "train", "color jitter"},
    {"augment.jitter_contrast", "0.2", "", "randaugment"},
    {"augment.jitter_saturation", "0.2", ""},
    {"augment.jitter_saturation", "0.2", "train", "color jitter"},
    {"augment.jitter_saturation", "0.2", "", "randaugment"},
    {"augment.jitter_hue", "0.2", ""},
    {"augment.jitter_hue", "0.2", "train", "color jitter"},
    {"augment.jitter_hue", "0.2", "", "randaugment"},
    {"augment.mixed_label", "\"area\"", ""},
    {"augment.mixed_label", "\"area\"", "train", "labels"},
    {"augment.min_background", "0.4", ""},
    {"augment.min_background", "0.4", "train", "labels"},
    {"augment.paste_on", "true", ""},
    {"augment.paste_on", "true", "train", "labels"},
    {"augment.allow_empty", "true", ""},
    {"augment.cache_megabytes", "7", ""},
    {"augment.ring_batches", "7", ""},
    {"augment.mixed_samples", "deda", ""},  // of no image-mixing method
    {"augment.mixed_samples", "deda", "", "plain"},
    {"augment.p_aug", "0.4", "", "cutmix"},
    {"augment.p_aug", "0.4", "train", "cutmix of deda"},

    {"train.network", "\"resnet50\"", "train"},
    {"train.network", "\"densenet121\"", "train"},
    {"train.network", "\"vit_b_16\"", "train"},
    {"train.weights", "\"PATH/weights.safetensors\"", "train"},
    {"train.weights_head", "\"fresh\"", "train", "weights"},
    {"train.store", "", "other"},
    {"train.synthetic_store", "", "other"},
    {"train.epochs", "3", "train"},
    {"train.batch_size", "8", "train"},
    {"train.last_batch", "\"drop\"", "train"},
    {"train.learning_rate", "0.1", "train"},
    {"train.momentum", "0.8", "train"},
    {"train.nesterov", "false", "train"},
    {"train.weight_decay", "0", "train"},
    {"train.schedule", "\"cosine\"", "train"},
    {"train.milestones", "[2]", "train"},
    {"train.milestones", "[2]", "", "cosine"},
    {"train.decay", "0.2", "train"},
    {"train.decay", "0.2", "", "cosine"},
    {"train.cosine_length", "\"all_steps\"", ""},
    {"train.cosine_length", "\"all_steps\"", "train", "cosine"},
    {"train.minimum_learning_rate", "0.001", ""},
    {"train.minimum_learning_rate", "0.001", "train", "cosine"},
    {"train.warmup_share", "0.1", "train"},
    {"train.warmup_epochs", "2", "train"},
    {"train.label_smoothing", "0.1", "train"},
    {"train.objective", "\"multi_label\"", "train"},
    {"train.objective", "\"single_label\"", ""},  // what auto stands for here
    {"train.objective", "\"single_label\"", "train", "labels"},
    {"train.held_out", "0.25", "invert"},
    {"train.held_out", "0.25", "generate", "names"},
    {"train.held_out", "0.25", "train", "real"},
    {"train.held_out", "0.25", "train", "plain"},
    {"train.held_out", "0.5", "invert", "held out"},
    {"train.held_out_seed", "2", ""},
    {"train.held_out_seed", "2", "invert", "held out"},
    {"run.seed", "7", "train", "held out"},
    {"train.evaluate_every", "2", "train"},
    {"train.evaluate_first", "3", "train"},
    {"train.evaluate_first", "1", ""},  // evaluate_every: what 0 stands for
    {"train.evaluation_batch", "2", ""},
    {"train.checkpoint_every", "2", ""},
    {"train.keep_checkpoints", "3", ""},
    {"train.keep_finished_checkpoints", "true", ""},
    {"train.device", "\"cpu\"", ""},
    {"train.precision", "\"bf16\"", "train"},
    {"train.loss_scale", "1024", ""},
    {"train.loss_scale", "1024", "train", "fp16"},
    {"train.loss_scale_interval", "100", ""},
    {"train.loss_scale_interval", "100", "train", "fp16"},
    {"train.batch_norm", "\"global\"", "train"},
    {"train.memory_order", "\"channels_last\"", ""},
    {"train.kernels", "\"fastest\"", ""},
    {"train.recompute_concatenations", "true", ""},
    {"train.captured_graphs", "true", ""},
    {"train.torch_threads", "1", ""},
    {"train.composer_threads", "1", ""},
    {"train.bucket_mb", "1", ""},
};

using Keys = std::map<Stage, std::string>;

Keys keys_of(const Plan& plan) {
  Keys keys;
  for (const auto& node : plan.nodes) keys[node.stage] = node.key;
  return keys;
}

std::string changed(const Keys& before, const Keys& after) {
  std::string names;
  for (const Stage stage : all_stages) {
    const auto a = before.find(stage), b = after.find(stage);
    const bool same = a == before.end() ? b == after.end() : b != after.end() && a->second == b->second;
    if (!same) names += (names.empty() ? "" : " ") + std::string{name_of(stage)};
  }
  return names;
}

// The stages of a plan from `first` on: what needs it, the toy dataset's pictures being everybody's.
std::string from_on(const std::string& first, const Keys& present) {
  if (first.empty()) return "";
  static const std::map<std::string, std::vector<Stage>> needers{
      {"toy", {Stage::toy, Stage::decouple, Stage::invert, Stage::generate, Stage::train}},
      {"decouple", {Stage::decouple, Stage::invert, Stage::generate, Stage::train}},
      {"invert", {Stage::invert, Stage::generate, Stage::train}},
      {"tune", {Stage::tune, Stage::generate, Stage::train}},
      {"generate", {Stage::generate, Stage::train}},
      {"generate alone", {Stage::generate}},
      {"train", {Stage::train}}};
  std::string names;
  for (const Stage stage : needers.at(first)) {
    if (present.count(stage) > 0) names += (names.empty() ? "" : " ") + std::string{name_of(stage)};
  }
  return names;
}

std::string with_path(std::string text, const std::filesystem::path& path) {
  for (std::size_t at; (at = text.find("PATH/")) != std::string::npos;)
    text.replace(at, 5, path.string() + '/');
  return text;
}

std::string key_of(const mixing::Method& method, const mixing::Key& key) {
  return "augment." + std::string{method.facts().name} + "." + std::string{key.name};
}

// One that is neither the default nor a bound.
std::string another_value(const mixing::Key& key) {
  if (key.kind == mixing::Key::Kind::flag) return key.standard == 0 ? "true" : "false";
  const double middle = key.standard < key.max ? (key.standard + key.max) / 2 : (key.min + key.max) / 2;
  if (key.kind == mixing::Key::Kind::whole) return std::to_string(static_cast<std::int64_t>(middle));
  return std::to_string(middle);
}

// Keys of the generative peers' sections: another value, the first stage that it changes, and the peers that
// have it ("": all).
struct PeerRow {
  const char* section;  // generate or augment
  const char* key;
  const char* value;
  const char* changes;
  std::vector<const char*> methods;
};
const std::vector<const char*> all_peers{"real-guidance", "da-fusion", "diff-mix", "diffusemix"},
    noised_peers{"real-guidance", "da-fusion", "diff-mix"}, da_fusion{"da-fusion"}, diff_mix{"diff-mix"},
    diffusemix{"diffusemix"};
const std::vector<PeerRow> peer_rows{
    {"generate", "copies", "2", "generate", all_peers},
    {"generate", "prompt", "\"a drawing of a {token}\"", "generate", noised_peers},
    {"generate", "prompts", "[\"winter\"]", "generate", diffusemix},
    {"generate", "strengths", "[0.3]", "generate", noised_peers},
    {"generate", "steps", "40", "generate", all_peers},
    {"generate", "guidance", "3", "generate", all_peers},
    {"generate", "image_guidance", "2", "generate", diffusemix},
    {"generate", "sampler", "\"dpmpp2m_linspace\"", "generate", {"da-fusion", "diffusemix"}},
    {"generate", "sampler", "\"pndm_faithful\"", "generate", {"real-guidance", "diff-mix"}},
    {"generate", "resolution", "128", "generate", all_peers},
    {"generate", "stored_side", "100", "generate", all_peers},
    {"generate", "filter", "\"none\"", "generate", {"real-guidance", "diff-mix"}},
    {"generate", "filter", "\"above_chance\"", "generate", {"da-fusion", "diffusemix"}},
    {"generate", "noun", "\"fly\"", "tune", diff_mix},  // captions and prompts have the same
    {"generate",
     "noun",
     "\"fly\"",
     "",
     {"real-guidance", "da-fusion", "diffusemix"}},  // of no prompt of theirs
    {"generate", "initial_word", "\"a\"", "invert", da_fusion},
    {"generate", "inversion_steps", "7", "invert", da_fusion},
    {"generate", "inversion_batch", "2", "invert", da_fusion},
    {"generate", "inversion_rate", "0.1", "invert", da_fusion},
    {"generate", "fractal_share", "0.3", "generate", diffusemix},
    {"generate", "fractals", "\"PATH/fractals\"", "generate", diffusemix},
    {"augment", "p_aug", "0.25", "train", all_peers},
    {"augment", "pool", "\"target_class\"", "train", all_peers},
    {"augment", "gamma", "0.5", "train", diff_mix},
    {"augment", "drop_lowest", "20", "train", all_peers},
    {"augment", "filtered", "false", "train", all_peers},
};
std::map<std::string, std::string> keys_of_peer_row(const PeerRow& row) {
  std::map<std::string, std::string> keys;
  for (const auto* method : row.methods)
    keys[method] = std::string{row.section} + '.' + method + '.' + row.key;
  return keys;
}

class Experiment : public testing::Test {
 protected:
  Settings peer_settings(const std::string& method) const {
    return {"augment.method=" + method, "models.clip=" + example.quoted("clip"),
            "models.instruct=" + example.quoted("instruct"), "generate.diff-mix.noun=beetle"};
  }
  Settings base_settings(const std::string& name) const {
    auto settings = bases.at(name);
    if (name == "networks") {
      settings.push_back("decouple.grounding_dino=" + example.quoted("dino"));
      settings.push_back("decouple.sam=" + example.quoted("sam.safetensors"));
      settings.push_back("decouple.deeplab=" + example.quoted("deeplab"));
    }
    if (name == "diff-mix") settings = peer_settings(name);
    if (name == "weights") settings.push_back("train.weights=" + example.quoted("weights.safetensors"));
    return settings;
  }
  test::ExampleExperiment example;
};

TEST_F(Experiment, EveryKeyOfTheConfigurationHasARowHereAndInTheTable) {
  std::set<std::string> here, table, configuration;
  for (const auto& row : rows) here.insert(row.key);
  // Of image-mixing methods below.
  for (const auto* method : mixing::methods()) {
    for (const auto& key : method->facts().keys) here.insert(key_of(*method, key));
  }
  // Of generative peers too.
  for (const auto& row : peer_rows) {
    for (const auto& [section, key] : keys_of_peer_row(row)) here.insert(key);
  }
  for (const auto& row : setting_rows()) {
    EXPECT_TRUE(table.insert(std::string{row.key}).second) << row.key << " has two rows";
    if (row.part != Part::value)
      EXPECT_FALSE(row.reason.empty()) << row.key << " is no plain value: its row has to say why";
    else
      EXPECT_FALSE(row.stages.empty()) << row.key;
  }
  for (const auto& value : config_values(PipelineConfig{})) configuration.insert(value.key);
  EXPECT_EQ(table, configuration);
  EXPECT_EQ(here, configuration);
}

TEST_F(Experiment, EachSettingChangesTheKeysOfItsRowAndNoOthers) {
  std::filesystem::copy(example.folder / "model", example.folder / "other_model",
                        std::filesystem::copy_options::recursive);
  test::ExampleExperiment::change_a_byte(example.folder / "other_model" / "unet" /
                                         "diffusion_pytorch_model.safetensors");
  std::map<std::string, Keys> before;
  for (const auto& [name, settings] : bases) before[name] = keys_of(example.plan(base_settings(name)));
  for (const auto& row : rows) {
    if (std::string{row.changes} == "other") continue;
    auto settings = base_settings(row.base);
    settings.push_back(with_path(std::string{row.key} + '=' + row.value, example.folder.path()));
    const auto after = keys_of(example.plan(settings));
    EXPECT_EQ(changed(before[row.base], after), from_on(row.changes, before[row.base]))
        << row.key << " = " << row.value << " from \"" << row.base << '"';
  }
}

// Settings of a method count where it is chosen, for training alone, and nowhere else.
TEST_F(Experiment, SettingsOfAnImageMixingMethodCountWhereItIsChosen) {
  std::set<std::string> keys_of_training;
  const auto training_key = [&](const Settings& settings) {
    return example.plan(settings).at(Stage::train).key;
  };
  const auto deda = keys_of(example.plan()), plain = keys_of(example.plan({"augment.method=plain"}));
  for (const auto* method : mixing::methods()) {
    const std::string name{method->facts().name}, chosen = "augment.method=" + name;
    const std::string other = name == "mixup" ? "augment.method=cutmix" : "augment.method=mixup";
    const auto before = keys_of(example.plan({chosen}));
    EXPECT_EQ(changed(plain, before), "train") << name;
    EXPECT_TRUE(keys_of_training.insert(before.at(Stage::train)).second) << name << " is another training";
    const auto of_deda = keys_of(example.plan({chosen, "augment.mixed_samples=deda"}));
    EXPECT_EQ(changed(deda, of_deda), "train") << name << " of De-DA's samples has its parts";
    EXPECT_TRUE(keys_of_training.insert(of_deda.at(Stage::train)).second) << name;
    for (const auto& key : method->facts().keys) {
      const auto setting = key_of(*method, key) + '=' + another_value(key);
      EXPECT_EQ(changed(before, keys_of(example.plan({chosen, setting}))), "train") << setting;
      EXPECT_EQ(changed(of_deda, keys_of(example.plan({chosen, "augment.mixed_samples=deda", setting}))),
                "train")
          << setting;
      EXPECT_EQ(changed(deda, keys_of(example.plan({setting}))), "") << setting;
      EXPECT_EQ(changed(plain, keys_of(example.plan({"augment.method=plain", setting}))), "") << setting;
      EXPECT_EQ(training_key({other, setting}), training_key({other})) << setting;
    }
    if (!mixing::Settings(*method).has("mix_probability")) continue;
    const auto never = "augment." + name + ".mix_probability=0";
    EXPECT_EQ(changed(plain, keys_of(example.plan({chosen, never}))), "") << name;
    EXPECT_EQ(changed(deda, keys_of(example.plan({chosen, "augment.mixed_samples=deda", never}))), "")
        << name;
  }
  // Nothing is combined, and natural pictures are left to be mixed.
  EXPECT_EQ(training_key({"augment.method=cutmix", "augment.mixed_samples=deda", "augment.p_aug=0"}),
            training_key({"augment.method=cutmix"}));
  EXPECT_EQ(example.plan({"augment.method=cutmix"}).find(Stage::decouple), nullptr);
}

TEST_F(Experiment, SettingsOfAGenerativePeerCountWhereItIsChosen) {
  const auto deda = keys_of(example.plan());
  for (const auto& row : peer_rows) {
    for (const auto& [method, key] : keys_of_peer_row(row)) {
      const auto setting = with_path(key + '=' + row.value, example.folder.path());
      auto settings = peer_settings(method);
      const auto before = keys_of(example.plan(settings));
      settings.push_back(setting);
      const auto after = keys_of(example.plan(settings));
      const std::string first =
          // Its side is the inversion's too.
          method == "da-fusion" && std::string{row.key} == "resolution" ? "invert" : row.changes;
      EXPECT_EQ(changed(before, after), from_on(first, before)) << setting;
      EXPECT_EQ(changed(deda, keys_of(example.plan({setting}))), "") << setting << " is none of De-DA's";
    }
  }
}

TEST_F(Experiment, AGenerativePeerEditsWholePictures) {
  for (const auto* method : all_peers) {
    const auto plan = example.plan(peer_settings(method));
    EXPECT_EQ(plan.find(Stage::decouple), nullptr) << method;
    ASSERT_NE(plan.find(Stage::generate), nullptr) << method;
    EXPECT_EQ(plan.find(Stage::invert) != nullptr, std::string{method} == "da-fusion") << method;
    auto never = peer_settings(method);
    never.push_back("augment." + std::string{method} + ".p_aug=0");
    EXPECT_EQ(example.plan(never).at(Stage::train).key,
              example.plan({"augment.method=plain"}).at(Stage::train).key)
        << method;
    EXPECT_EQ(plan.find(Stage::tune) != nullptr, std::string{method} == "diff-mix") << method;
    // Neither masks nor the transparent networks are theirs, nor the settings of De-DA.
    const auto before = keys_of(plan);
    for (const char* other :
         {"decouple.fill=telea", "diffusion.strength=0.3", "generate.copies=2", "generate.steps=9",
          "augment.p_syn=0.1", "invert.steps=3", "diffusion.margin_share=0.3"}) {
      auto settings = peer_settings(method);
      settings.emplace_back(other);
      EXPECT_EQ(changed(before, keys_of(example.plan(settings))), "") << method << ", " << other;
    }
    auto mixed = peer_settings(method);
    mixed.push_back("augment.mixed_samples=" + std::string{method});
    mixed[0] = "augment.method=cutmix";
    EXPECT_EQ(changed(before, keys_of(example.plan(mixed))), "train") << method;
  }
}

TEST_F(Experiment, WhatAGenerativePeerLacksIsNamed) {
  const auto problem = [&](const Settings& settings) -> std::string {
    try {
      example.plan(settings);
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  };
  using testing::AllOf;
  using testing::HasSubstr;
  EXPECT_THAT(problem({"augment.method=real-guidance"}), HasSubstr("models.clip"));
  EXPECT_THAT(problem({"augment.method=diffusemix"}), HasSubstr("models.instruct"));
  EXPECT_THAT(problem({"augment.method=diff-mix", "models.clip=" + example.quoted("clip")}),
              HasSubstr("generate.diff-mix.noun"));
  EXPECT_THAT(problem({"augment.method=real-guidance", "models.clip=" + example.quoted("model")}),
              HasSubstr("preprocessor_config.json"));
  auto several = peer_settings("real-guidance");
  several.emplace_back("train.objective=multi_label");
  EXPECT_THAT(problem(several), HasSubstr("several labels"));
  several[0] = "augment.method=diffusemix";
  EXPECT_EQ(problem(several), "none") << "DiffuseMix keeps all labels";
  EXPECT_THAT(problem({"invert.latent=picture"}), HasSubstr("invert.latent"));
}

TEST_F(Experiment, MethodsAreCalledByWhatTheyMix) {
  const auto name = [](const Settings& settings) {
    PipelineConfig config;
    read_config(config, {.files = {}, .overrides = settings});
    return method_name(config);
  };
  EXPECT_EQ(name({"augment.method=cutmix"}), "cutmix");
  EXPECT_EQ(name({"augment.method=cutmix", "augment.mixed_samples=deda"}), "deda+cutmix");
  EXPECT_EQ(name({"augment.method=guided-sr", "augment.mixed_samples=deda", "augment.p_syn=0"}),
            "deda-real+guided-sr");
  EXPECT_EQ(name({"augment.method=cutmix", "augment.mixed_samples=deda", "augment.p_aug=0"}), "cutmix");
  EXPECT_EQ(name({"augment.method=cutmix", "augment.cutmix.mix_probability=0"}), "plain");
  EXPECT_EQ(name({"augment.method=cutmix", "augment.mixed_samples=deda", "augment.cutmix.mix_probability=0"}),
            "deda");
  EXPECT_EQ(name({"augment.method=diffusemix"}), "diffusemix");
  EXPECT_EQ(name({"augment.method=cutmix", "augment.mixed_samples=diff-mix"}), "diff-mix+cutmix");
  EXPECT_EQ(name({"augment.method=diff-mix", "augment.diff-mix.p_aug=0"}), "plain");
  EXPECT_EQ(name({"augment.mixed_samples=deda"}), "deda");
  EXPECT_EQ(name({"augment.method=plain", "augment.mixed_samples=deda"}), "plain");
}

TEST_F(Experiment, SeveralLabelsRefuseMethodsThatAreNotDefinedForThem) {
  for (const auto* method : mixing::methods()) {
    const Settings settings{"augment.method=" + std::string{method->facts().name},
                            "train.objective=multi_label"};
    if (method->facts().several_labels)
      EXPECT_NO_THROW(example.plan(settings)) << method->facts().name;
    else
      EXPECT_THROW(example.plan(settings), ConfigError) << method->facts().name;
  }
}

TEST_F(Experiment, EqualExperimentsHaveEqualKeys) {
  const auto train = [&](const Settings& settings) { return example.plan(settings).at(Stage::train).key; };
  EXPECT_EQ(train({"augment.p_aug=0"}), train({"augment.method=plain"}));
  EXPECT_EQ(train({"diffusion.strength=0"}), train({"augment.p_syn=0"}));
  EXPECT_EQ(train({"train.synthetic_store=none"}), train({"augment.p_syn=0"}));
  EXPECT_EQ(train({"augment.p_syn=0", "augment.real_cdps=untouched"}), train({"augment.method=plain"}));
  EXPECT_EQ(train({"augment.policy=color_jitter", "augment.jitter_brightness=0", "augment.jitter_contrast=0",
                   "augment.jitter_saturation=0", "augment.jitter_hue=0"}),
            train({}));
  EXPECT_NE(train({"augment.p_syn=0"}), train({}));
  EXPECT_NE(train({"augment.method=plain"}), train({"augment.p_syn=0"}));
  EXPECT_NE(train({"generate.identifier=class_name"}), train({}));
  EXPECT_EQ(example.plan({"augment.p_syn=0"}).find(Stage::generate), nullptr);
  EXPECT_EQ(example.plan({"augment.p_aug=0"}).find(Stage::decouple), nullptr);
  EXPECT_EQ(example.plan({"generate.identifier=class_name"}).find(Stage::invert), nullptr);
}

TEST_F(Experiment, AChangedByteChangesItsStageAndWhatNeedsIt) {
  example.draw();
  const Settings settings{"models.layer_diffuse=" + example.quoted("layer_diffuse.safetensors"),
                          "models.lora=[" + example.quoted("lora.safetensors") + "]",
                          "train.weights=" + example.quoted("weights.safetensors"),
                          "decouple.exclude=" + example.quoted("exclude.txt")};
  const std::vector<std::pair<const char*, const char*>> files{
      {"toy/images/train/00001.png", "decouple"},
      {"toy/masks/train/00001.png", "decouple"},
      {"toy/images/test/00001.png", "train"},
      {"toy/images/test_swapped/00001.png", "train"},
      {"toy/masks/test/00001.png", ""},  // nobody reads it
      {"model/unet/diffusion_pytorch_model.safetensors", "invert"},
      {"model/vae/diffusion_pytorch_model.safetensors", "invert"},
      {"model/text_encoder/model.safetensors", "invert"},
      {"model/tokenizer/vocab.json", "invert"},
      {"model/tokenizer/merges.txt", "invert"},
      {"model/tokenizer/tokenizer_config.json", "invert"},
      {"model/scheduler/scheduler_config.json", "invert"},
      {"model/transparent_encoder.safetensors", "invert"},
      {"model/transparent_decoder.safetensors", "generate"},
      {"layer_diffuse.safetensors", "invert"},
      {"lora.safetensors", "invert"},
      {"adapter_config.json", "invert"},  // beside the LoRA: its scale
      {"weights.safetensors", "train"}};
  for (const auto& [file, changes] : files) {
    const auto before = keys_of(example.plan(settings));
    test::ExampleExperiment::change_a_byte(example.folder / file);
    auto after = keys_of(example.plan(settings));
    EXPECT_EQ(changed(before, after), from_on(changes, before)) << file;
  }
  // A list of other pictures; a list of the same pictures in other words.
  const auto before = keys_of(example.plan(settings));
  test::ExampleExperiment::write(example.folder / "exclude.txt", "# doubtful\nimages/train/00000.png\n\n");
  EXPECT_EQ(changed(before, keys_of(example.plan(settings))), "");
  test::ExampleExperiment::write(example.folder / "exclude.txt", "images/train/00002.png\n");
  EXPECT_EQ(changed(before, keys_of(example.plan(settings))), from_on("decouple", before));
}

TEST_F(Experiment, NetworksOfMaskSourcesCountByContent) {
  const auto settings = base_settings("networks");
  for (const char* file : {"sam.safetensors", "dino/model.safetensors", "deeplab/graph.json"}) {
    const auto before = keys_of(example.plan(settings));
    test::ExampleExperiment::change_a_byte(example.folder / file);
    EXPECT_EQ(changed(before, keys_of(example.plan(settings))), from_on("decouple", before)) << file;
  }
}

TEST_F(Experiment, TheToyDatasetHasItsKeyBeforeItIsDrawn) {
  const auto before = keys_of(example.plan());
  const auto few = keys_of(example.plan({"dataset.images_per_class=2"}));
  example.draw();
  EXPECT_EQ(changed(before, keys_of(example.plan())), "");
  EXPECT_EQ(changed(few, keys_of(example.plan({"dataset.images_per_class=2"}))), "");
}

TEST_F(Experiment, MovedFilesKeepTheirKeys) {
  example.draw();
  const auto before = keys_of(example.plan());
  std::filesystem::rename(example.folder / "toy", example.folder / "moved_toy");
  std::filesystem::rename(example.folder / "model", example.folder / "moved_model");
  EXPECT_EQ(changed(before, keys_of(example.plan({"dataset.root=" + example.quoted("moved_toy"),
                                                  "models.base=" + example.quoted("moved_model")}))),
            "");
}

TEST_F(Experiment, ACalibrationCountsByTheSwitchesThatItSettles) {
  const auto before = keys_of(example.plan());
  const auto identity = example.plan().at(Stage::generate).inputs.at("model");
  const auto calibrate = [&](const std::string& gain, const std::string& latent) {
    test::ExampleExperiment::write(example.folder / "calibration.json",
                                   R"({"model_identity":")" + identity + R"(","chosen":{"offset_gain":)" +
                                       gain + R"(,"decoder_latent":")" + latent + "\"}}");
    return keys_of(example.plan({"models.calibration=" + example.quoted("calibration.json")}));
  };
  EXPECT_EQ(changed(before, calibrate("1", "unscaled")), "") << "what auto is without it";
  EXPECT_EQ(changed(before, calibrate("300", "unscaled")), from_on("invert", before));
  EXPECT_EQ(changed(before, calibrate("1", "scaled")), from_on("generate", before));
}

TEST_F(Experiment, TestPicturesOfAnotherDatasetCountForTrainingAlone) {
  example.draw();
  const auto copy = [&](int number, const std::string& to) {
    std::filesystem::create_directories((example.folder / to).parent_path());
    std::filesystem::copy_file(
        example.folder / "toy/images/train" / ("0000" + std::to_string(number) + ".png"),
        example.folder / to);
  };
  for (int i = 0; i < 4; ++i)
    copy(i, std::string{"images/"} + (i % 2 == 0 ? "a/" : "b/") + std::to_string(i) + ".png");
  for (const char* kind : {"a", "b"}) {
    copy(5, std::string{"others/train/"} + kind + "/5.png");
    copy(6, std::string{"others/test/"} + kind + "/6.png");
  }
  const auto plan = [&](const Settings& further) {
    Settings settings{"dataset.layout=folder", "dataset.root=" + example.quoted("images"),
                      "dataset.test_share=0.5", "decouple.sources=[\"box_grabcut\"]"};
    settings.insert(settings.end(), further.begin(), further.end());
    return keys_of(example.plan(settings));
  };
  const Settings others{"dataset.test_layout=folder", "dataset.test_root=" + example.quoted("others")};
  const auto own = plan({}), before = plan(others);
  EXPECT_EQ(changed(own, before), "train");
  test::ExampleExperiment::change_a_byte(example.folder / "others/train/a/5.png");
  EXPECT_EQ(changed(before, plan(others)), "") << "its training pictures are nobody's";
  test::ExampleExperiment::change_a_byte(example.folder / "others/test/a/6.png");
  const auto after = plan(others);
  EXPECT_EQ(changed(before, after), "train");
  std::filesystem::rename(example.folder / "others", example.folder / "moved");
  EXPECT_EQ(
      changed(after, plan({"dataset.test_layout=folder", "dataset.test_root=" + example.quoted("moved")})),
      "");
  EXPECT_THROW(plan({"dataset.layout=toy", "dataset.root=" + example.quoted("toy"),
                     "dataset.test_root=" + example.quoted("moved")}),
               ConfigError);
}

TEST_F(Experiment, SeveralLabelsRefuseLabelSmoothing) {
  EXPECT_THROW(example.plan({"train.objective=multi_label", "train.label_smoothing=0.1"}), ConfigError);
  EXPECT_NO_THROW(example.plan({"train.label_smoothing=0.1"}));
}

TEST_F(Experiment, AnImageFolderCountsByItsPicturesMasksAndSplit) {
  example.draw();
  for (int i = 0; i < 8; ++i) {
    const auto name = "0000" + std::to_string(i) + ".png";
    const std::string kind = i % 2 == 0 ? "a" : "b";
    for (const char* what : {"images", "masks"}) {
      std::filesystem::create_directories(example.folder / what / kind);
      std::filesystem::copy_file(example.folder / "toy" / what / "train" / name,
                                 example.folder / what / kind / name);
    }
  }
  const auto plan = [&](const Settings& further) {
    Settings settings{"dataset.layout=folder", "dataset.root=" + example.quoted("images"),
                      "dataset.masks=" + example.quoted("masks")};
    settings.insert(settings.end(), further.begin(), further.end());
    return keys_of(example.plan(settings));
  };
  const auto before = plan({});
  EXPECT_EQ(before.count(Stage::toy), 0u);
  EXPECT_EQ(changed(before, plan({"dataset.test_share=0.5"})), from_on("decouple", before));
  EXPECT_EQ(changed(plan({"dataset.images_per_class=1"}),
                    plan({"dataset.images_per_class=1", "dataset.subset_seed=2"})),
            from_on("decouple", before));
  std::filesystem::rename(example.folder / "masks", example.folder / "moved_masks");
  EXPECT_EQ(changed(before, plan({"dataset.masks=" + example.quoted("moved_masks")})), "");
}

// The recipe files stand behind a dataset's; A is what the program does anyway.
TEST(Recipes, AreReadableAndRecipeAIsTheDefaults) {
  const auto values = [](const std::vector<std::string>& recipes) {
    PipelineConfig config;
    ConfigSources sources{.files = {DEDA_SOURCE_DIR "/configs/datasets/cub.toml"}, .overrides = {}};
    for (const auto& recipe : recipes)
      sources.files.emplace_back(DEDA_SOURCE_DIR "/configs/recipes/" + recipe + ".toml");
    sources.overrides = {"train.weights=weights.safetensors"};  // B and C start from weights
    read_config(config, sources);
    std::map<std::string, std::string> found;
    for (const auto& value : config_values(config)) found[value.key] = value.json;
    return found;
  };
  const auto differing = [](const std::map<std::string, std::string>& a,
                            const std::map<std::string, std::string>& b) {
    std::vector<std::string> keys;
    for (const auto& [key, json] : a) {
      if (b.at(key) != json) keys.push_back(key);
    }
    return keys;
  };
  const auto defaults = values({}), b = values({"b"}), c = values({"c"});
  EXPECT_THAT(differing(defaults, values({"a"})),
              testing::ElementsAre("train.batch_norm", "train.checkpoint_every"));
  EXPECT_EQ(b.at("train.last_batch"), "\"drop\"");
  EXPECT_EQ(b.at("train.warmup_share"), "0.1");
  EXPECT_EQ(b.at("augment.pad"), "8");
  EXPECT_EQ(b.at("augment.resize"), "\"square\"");
  EXPECT_THAT(
      differing(b, c),
      testing::ElementsAre("augment.crop", "augment.resize_shorter", "train.batch_norm", "train.batch_size",
                           "train.evaluation_batch", "train.learning_rate", "train.network"));
}

}  // namespace
}  // namespace deda::pipeline
