#include "models/grounding_dino/grounding_dino.h"

#include <limits>

#include "core/error.h"
#include "models/grounding_dino/names.h"
#include "models/grounding_dino/sine_position.h"
#include "models/grounding_dino/text_blocks.h"
#include "models/weights/weight_files.h"

namespace deda::models {
namespace {

// A feature map to the transformer's width: convolution and group norm.
class Projection : public torch::nn::Module {
 public:
  Projection(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
             std::int64_t padding) {
    convolution_ = register_module("0", std::make_shared<Convolution>(in, out, kernel, stride, padding));
    norm_ = register_module("1", std::make_shared<GroupNorm>(projection_norm_groups, out, 1e-5));
  }
  at::Tensor forward(const at::Tensor& x) const { return norm_->forward(convolution_->forward(x)); }

 private:
  std::shared_ptr<Convolution> convolution_;
  std::shared_ptr<GroupNorm> norm_;
};

std::int64_t half_rounded_up(std::int64_t side) {
  return (side + 1) / 2;
}

// Inverse sigmoid, kept finite.
at::Tensor logit(const at::Tensor& x, GroundingDinoRules rules) {
  constexpr double margin_of_transformers = 1e-5, margin_of_original = 1e-3;
  if (rules == GroundingDinoRules::transformers) return at::logit(x, margin_of_transformers);
  return (x.clamp_min(margin_of_original) / (1 - x).clamp_min(margin_of_original)).log();
}

// Centres of the places of one level in pixels of the level: [1, H * W, 2] as (x, y).
at::Tensor centres(const MapSize& level, const at::Device& device) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  const auto y = (at::arange(level.height, options) + 0.5).repeat_interleave(level.width);
  const auto x = (at::arange(level.width, options) + 0.5).repeat({level.height});
  return at::stack({x, y}, -1).unsqueeze(0);
}

// The places as points on every level, [B, S, levels, 2].
at::Tensor encoder_reference(const GroundingDinoPlaces& places) {
  std::vector<at::Tensor> levels;
  for (std::size_t i = 0; i < places.levels.size(); ++i) {
    const auto& level = places.levels[i];
    const auto ratio = places.valid_ratios.narrow(1, static_cast<std::int64_t>(i), 1);
    const auto extent = places.extents[static_cast<std::int64_t>(i)];
    levels.push_back(centres(level, ratio.device()) / (ratio * extent));
  }
  return at::cat(levels, 1).unsqueeze(2) * places.valid_ratios.unsqueeze(1);
}

}  // namespace

class GroundingDino::Model : public torch::nn::Module {
 public:
  explicit Model(const GroundingDinoConfig& config) {
    const auto options = parameter_options();
    auto backbone = std::make_shared<torch::nn::Module>("backbone");
    auto encoder = std::make_shared<torch::nn::Module>("conv_encoder");
    swin = encoder->register_module("model", std::make_shared<Swin>(config.backbone));
    backbone->register_module("conv_encoder", encoder);
    register_module("backbone", backbone);
    projections = register_module("input_proj_vision", std::make_shared<List<Projection>>());
    std::int64_t in = 0;
    for (const auto stage : config.backbone.out_stages) {
      in = config.backbone.width(stage);
      projections->add(in, config.width, 1, 1, 0);
    }
    while (static_cast<std::int64_t>(projections->size()) < config.levels) {
      projections->add(in, config.width, 3, 2, 1);
      in = config.width;
    }
    text_backbone = register_module("text_backbone", std::make_shared<Bert>(config.text));
    text_projection =
        register_module("text_projection", std::make_shared<Linear>(config.text.hidden_size, config.width));
    queries = register_module("query_position_embeddings",
                              std::make_shared<Embedding>(config.queries, config.width));
    level_embed = register_parameter("level_embed", at::empty({config.levels, config.width}, options));
    auto fusing = std::make_shared<torch::nn::Module>("encoder");
    encoder_layers = fusing->register_module("layers", std::make_shared<List<GroundingDinoEncoderLayer>>());
    for (std::int64_t i = 0; i < config.encoder_layers; ++i) encoder_layers->add(config);
    register_module("encoder", fusing);
    auto decoder = std::make_shared<torch::nn::Module>("decoder");
    decoder_layers = decoder->register_module("layers", std::make_shared<List<GroundingDinoDecoderLayer>>());
    for (std::int64_t i = 0; i < config.decoder_layers; ++i) decoder_layers->add(config);
    decoder_norm = decoder->register_module("layer_norm",
                                            std::make_shared<LayerNorm>(config.width, config.norm_epsilon));
    reference_head = decoder->register_module(
        "reference_points_head",
        std::make_shared<Perceptron>(2 * config.width, config.width, config.width, 2));
    register_module("decoder", decoder);
    proposal = register_module("enc_output", std::make_shared<Linear>(config.width, config.width));
    proposal_norm =
        register_module("enc_output_norm", std::make_shared<LayerNorm>(config.width, config.norm_epsilon));
    proposal_box = register_module("encoder_output_bbox_embed",
                                   std::make_shared<Perceptron>(config.width, config.width, 4, 3));
  }
  std::shared_ptr<Swin> swin;
  std::shared_ptr<List<Projection>> projections;
  std::shared_ptr<Bert> text_backbone;
  std::shared_ptr<Linear> text_projection;
  std::shared_ptr<Embedding> queries;
  at::Tensor level_embed;
  std::shared_ptr<List<GroundingDinoEncoderLayer>> encoder_layers;
  std::shared_ptr<List<GroundingDinoDecoderLayer>> decoder_layers;
  std::shared_ptr<LayerNorm> decoder_norm, proposal_norm;
  std::shared_ptr<Perceptron> reference_head, proposal_box;
  std::shared_ptr<Linear> proposal;
};

GroundingDino::GroundingDino(const GroundingDinoConfig& config) : config_{config} {
  model_ = register_module("model", std::make_shared<Model>(config));
  box_heads_ = register_module("bbox_embed", std::make_shared<List<Perceptron>>());
  box_heads_->add(config.width, config.width, 4, 3);
}

std::int64_t GroundingDino::places(std::int64_t height, std::int64_t width) const {
  const auto& backbone = config_.backbone;
  const auto patches = [&](std::int64_t side) {
    return (side + backbone.patch_size - 1) / backbone.patch_size;
  };
  MapSize map{patches(height), patches(width)};
  const auto halve = [&] { map = {half_rounded_up(map.height), half_rounded_up(map.width)}; };
  std::int64_t count = 0, stage = 1;
  for (const auto out : backbone.out_stages) {
    for (; stage < out; ++stage) halve();
    count += map.places();
  }
  for (auto level = static_cast<std::int64_t>(backbone.out_stages.size()); level < config_.levels; ++level) {
    halve();
    count += map.places();
  }
  return count;
}

GroundingDinoText GroundingDino::encode_text(const at::Tensor& ids, const at::Tensor& attention_mask,
                                             const at::Tensor& token_types) const {
  const auto blocks = text_blocks(ids, config_.max_text_len);
  const auto cut = [&](const at::Tensor& t) { return t.slice(1, 0, config_.max_text_len); };
  GroundingDinoText text;
  text.attends = blocks.attends;
  text.positions = blocks.positions;
  text.real = cut(attention_mask.defined() ? attention_mask.ne(0) : at::ones_like(ids, at::kBool));
  const auto longest = text.positions.max().item<std::int64_t>() + 1;
  if (longest > config_.text.positions)
    throw DataError("a phrase of the prompt has " + std::to_string(longest) +
                        " tokens, the text encoder takes at most " + std::to_string(config_.text.positions),
                    {}, "Separate phrases by dots.");
  const auto types = token_types.defined() ? cut(token_types) : at::zeros_like(cut(ids));
  text.features = model_->text_projection->forward(
      model_->text_backbone->forward(cut(ids), types, text.positions, text.attends));
  return text;
}

GroundingDinoPlaces GroundingDino::encode_picture(const at::Tensor& pixel_values,
                                                  const at::Tensor& pixel_mask) const {
  const auto maps = model_->swin->forward(pixel_values);
  GroundingDinoPlaces places;
  std::vector<at::Tensor> features, positions, masks, ratios;
  at::Tensor projected;
  for (std::size_t i = 0; i < model_->projections->size(); ++i) {
    // Coarser levels than the backbone's: the first from its last map, the others from the level before.
    const auto& source = i < maps.size() ? maps[i] : i == maps.size() ? maps.back() : projected;
    projected = (*model_->projections)[i].forward(source);
    const auto height = projected.size(2), width = projected.size(3);
    const auto mask =
        pixel_mask.defined()
            ? at::upsample_nearest2d(pixel_mask.ne(0).to(at::kFloat).unsqueeze(1), {height, width})
                  .squeeze(1)
                  .to(at::kBool)
            : at::ones({projected.size(0), height, width}, projected.options().dtype(at::kBool));
    const auto code = sine_map(mask, config_.width / 2, config_.position_temperature);
    positions.push_back(code.to(projected.scalar_type()) + model_->level_embed[static_cast<std::int64_t>(i)]);
    features.push_back(projected.flatten(2).transpose(1, 2));
    masks.push_back(mask.flatten(1));
    const auto valid = [&](std::int64_t axis) {
      return mask.select(3 - axis, 0).sum(1, /*keepdim=*/false, at::kFloat) / mask.size(axis);
    };
    ratios.push_back(at::stack({valid(2), valid(1)}, -1));
    places.levels.push_back({height, width});
  }
  places.features = at::cat(features, 1);
  places.position = at::cat(positions, 1);
  places.valid_ratios = at::stack(ratios, 1);
  places.extents = extents_of(places.levels, places.features.device());
  if (pixel_mask.defined()) {  // else nothing is padded, and nobody need wait to learn it
    const auto padding = at::cat(masks, 1).logical_not();
    if (padding.any().item<bool>()) places.padding = padding;
  }
  return places;
}

// Similarity of features [B, n, d] to every token, float32; -inf for tokens that are padding.
at::Tensor GroundingDino::contrast(const at::Tensor& features, const GroundingDinoText& text) const {
  return at::matmul(features.to(at::kFloat), text.features.to(at::kFloat).transpose(-1, -2))
      .masked_fill_(text.real.logical_not().unsqueeze(1), -std::numeric_limits<float>::infinity());
}

namespace {

// A box around each place, [B, S, 4]: centre x, centre y, width, height over the picture's size.
at::Tensor proposal_boxes(const GroundingDinoPlaces& places) {
  constexpr double smallest_side = 0.05;  // of the picture, on the finest level; twice that on the next
  const auto batch = places.features.size(0);
  std::vector<at::Tensor> boxes;
  double side = smallest_side;
  for (std::size_t i = 0; i < places.levels.size(); ++i, side *= 2) {
    const auto& level = places.levels[i];
    const auto ratio = places.valid_ratios.narrow(1, static_cast<std::int64_t>(i), 1);
    const auto extent = places.extents[static_cast<std::int64_t>(i)];
    const auto centre = centres(level, ratio.device()) / (ratio * extent).round();  // whole places
    boxes.push_back(at::cat({centre, at::full_like(centre, side)}, -1).expand({batch, -1, -1}));
  }
  return at::cat(boxes, 1);
}

}  // namespace

// The boxes of the places that resemble the text most, [B, queries, 4]. Places of no picture or too near to
// its border share one score and the box (1, 1, 1, 1).
at::Tensor GroundingDino::select_queries(const GroundingDinoPlaces& places,
                                         const GroundingDinoText& text) const {
  constexpr double border = 0.01;
  const auto boxes = proposal_boxes(places);
  auto usable = (boxes > border).logical_and(boxes < 1 - border).all(-1, /*keepdim=*/true);
  if (places.padding.defined()) usable = usable.logical_and(places.padding.logical_not().unsqueeze(-1));
  const auto unusable = usable.logical_not();
  const auto features =
      model_->proposal_norm->forward(model_->proposal->forward(places.features.masked_fill(unusable, 0)));
  const auto scores = std::get<0>(contrast(features, text).max(-1));
  const auto best = std::get<1>(scores.topk(config_.queries, 1)).unsqueeze(-1);
  const auto chosen = features.gather(1, best.expand({-1, -1, config_.width}));
  const auto logits =
      (boxes / (1 - boxes)).log().masked_fill(unusable, std::numeric_limits<float>::infinity());
  return (model_->proposal_box->forward(chosen).to(at::kFloat) + logits.gather(1, best.expand({-1, -1, 4})))
      .sigmoid();
}

void GroundingDino::decode(Output& output, const GroundingDinoPlaces& places,
                           const GroundingDinoText& text) const {
  const auto batch = places.features.size(0);
  const auto box_of = [&](const at::Tensor& queries, const at::Tensor& reference) {
    return ((*box_heads_)[0].forward(queries).to(at::kFloat) + logit(reference, config_.rules)).sigmoid();
  };
  const auto ratios = at::cat({places.valid_ratios, places.valid_ratios}, -1).unsqueeze(1);
  auto queries = model_->queries->weight.unsqueeze(0).expand({batch, -1, -1});
  auto reference = output.init_reference_points;
  for (std::size_t i = 0; i < model_->decoder_layers->size(); ++i) {
    const auto boxes = reference.unsqueeze(2) * ratios;
    const auto code = sine_code(boxes.select(2, 0), config_.width / 2).to(queries.scalar_type());
    queries = (*model_->decoder_layers)[i].forward(queries, model_->reference_head->forward(code), boxes,
                                                   places, text);
    // The last box is refined from the normalised queries, and from the box before.
    if (i + 1 < model_->decoder_layers->size()) reference = box_of(queries, reference);
  }
  queries = model_->decoder_norm->forward(queries);
  output.pred_boxes = box_of(queries, reference);
  const auto logits = contrast(queries, text);
  output.logits = at::constant_pad_nd(logits, {0, config_.max_text_len - logits.size(2)},
                                      -std::numeric_limits<float>::infinity());
}

GroundingDino::Output GroundingDino::forward(const at::Tensor& pixel_values, const at::Tensor& pixel_mask,
                                             GroundingDinoText text) const {
  const auto available = places(pixel_values.size(2), pixel_values.size(3));
  if (available < config_.queries)
    throw DataError("a picture of " + std::to_string(pixel_values.size(2)) + "x" +
                        std::to_string(pixel_values.size(3)) + " pixels (height x width) gives " +
                        std::to_string(available) + " places, fewer than the " +
                        std::to_string(config_.queries) + " queries",
                    {}, "Use a larger picture.");
  auto encoded = encode_picture(pixel_values, pixel_mask);
  const auto reference = encoder_reference(encoded);
  const auto text_position =
      sine_code(text.positions.unsqueeze(-1), config_.width).to(text.features.scalar_type());
  for (const auto& layer : *model_->encoder_layers) layer->forward(encoded, text, text_position, reference);
  Output output;
  output.encoder_vision = encoded.features;
  output.encoder_text = text.features;
  output.init_reference_points = select_queries(encoded, text);
  decode(output, encoded, text);
  return output;
}

std::shared_ptr<GroundingDino> load_grounding_dino(const std::filesystem::path& folder, at::ScalarType dtype,
                                                   GroundingDinoRules rules) {
  auto config = read_grounding_dino_config(folder / "config.json");
  config.rules = rules;
  const auto files = open_weight_files(folder, "model");
  auto network = build_as(dtype, [&] { return std::make_shared<GroundingDino>(config); });
  const auto box_head = grounding_dino_box_head(files);
  load_packed_weight_files(*network, files,
                           [&](const std::string& name) { return grounding_dino_names(name, box_head); });
  freeze(*network);
  network->eval();
  return network;
}

}  // namespace deda::models
