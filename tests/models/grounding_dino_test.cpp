// GroundingDINO against transformers (tests/golden/grounding_dino.py): whole networks in three
// configurations, the parts that can be checked alone, names and sizes of the published models, and the files
// they come in.
#include "models/grounding_dino/grounding_dino.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "core/error.h"
#include "core/hash.h"
#include "models/grounding_dino/text_blocks.h"
#include "models/made_up_grounding_dino.h"
#include "models/registry.h"
#include "support/temporary_folder.h"

namespace deda::models {
namespace {

using test::made_up;

// Float32 on both sides; the promise is 5e-4.
constexpr double tolerance_of_scale = 5e-5;

const NamedTensors& golden() {
  static const auto tensors = read_tensors(DEDA_SOURCE_DIR "/tests/golden/grounding_dino.safetensors");
  return tensors;
}

void expect_near(const at::Tensor& found, const at::Tensor& expected, double tolerance,
                 const std::string& name) {
  ASSERT_EQ(found.sizes(), expected.sizes()) << name;
  const auto finite = expected.isfinite();
  ASSERT_TRUE(at::equal(found.isfinite(), finite)) << name << ": infinite elsewhere";
  const auto a = found.masked_select(finite).to(at::kDouble),
             b = expected.masked_select(finite).to(at::kDouble);
  EXPECT_LT((a - b).abs().max().item<double>(), tolerance * b.abs().max().item<double>()) << name;
}

struct Inputs {
  at::Tensor pixels, pixel_mask, ids, attention_mask;
};

Inputs inputs_of(const std::string& name) {
  std::vector<std::array<std::int64_t, 2>> sizes{{75, 110}};
  std::vector<std::vector<std::int64_t>> ids{{101, 5, 900, 1012, 102}};
  if (name == "padded") {
    sizes = {{96, 90}, {70, 131}, {61, 64}};
    ids = {{101, 7, 1012, 8, 9, 10, 1012, 102, 0, 0, 0},
           {101, 11, 12, 1029, 13, 1012, 14, 15, 16, 1012, 102},
           {101, 17, 18, 102, 0, 0, 0, 0, 0, 0, 0}};
  } else if (name == "five_levels") {
    sizes = {{64, 50}, {64, 50}};
    ids = {{101, 20, 21, 22, 1012, 23, 1012, 102}, {101, 24, 1012, 25, 1012, 26, 1012, 102}};
  }
  std::int64_t height = 0, width = 0;
  for (const auto& size : sizes) {
    height = std::max(height, size[0]);
    width = std::max(width, size[1]);
  }
  const auto batch = static_cast<std::int64_t>(sizes.size());
  Inputs inputs{
      made_up(9001, {batch, 3, height, width}), at::zeros({batch, height, width}, at::kLong), {}, {}};
  std::vector<at::Tensor> rows;
  for (std::int64_t row = 0; row < batch; ++row) {
    const auto& size = sizes[static_cast<std::size_t>(row)];
    inputs.pixel_mask[row].slice(0, 0, size[0]).slice(1, 0, size[1]).fill_(1);
    rows.push_back(at::tensor(ids[static_cast<std::size_t>(row)], at::kLong));
  }
  inputs.pixels.mul_(inputs.pixel_mask.unsqueeze(1));
  inputs.ids = at::stack(rows);
  inputs.attention_mask = inputs.ids.ne(0).to(at::kLong);
  return inputs;
}

GroundingDino::Output run(const GroundingDino& network, const Inputs& in) {
  const at::NoGradGuard no_gradients;
  const auto dtype = network.parameters().front().scalar_type();
  return network.forward(in.pixels.to(dtype), in.pixel_mask, network.encode_text(in.ids, in.attention_mask));
}

void expect_golden(const std::string& name, const GroundingDino::Output& output) {
  expect_near(output.encoder_text, golden().at(name + ".encoder_text"), tolerance_of_scale, name + " text");
  expect_near(output.encoder_vision.slice(1, 0, c10::nullopt, 7), golden().at(name + ".encoder_vision"),
              tolerance_of_scale, name + " vision");
  expect_near(output.init_reference_points, golden().at(name + ".init_reference_points"), tolerance_of_scale,
              name + " queries");
  expect_near(output.logits, golden().at(name + ".logits"), tolerance_of_scale, name + " logits");
  expect_near(output.pred_boxes, golden().at(name + ".pred_boxes"), tolerance_of_scale, name + " boxes");
}

std::size_t problems_of(const std::function<void()>& part) {
  try {
    part();
  } catch (const DataError& error) {
    return error.problems().size();
  }
  return 0;
}

TEST(GroundingDino, EqualsTransformersInThreeConfigurations) {
  for (const std::string name : {"single", "padded", "five_levels"}) {
    test::TemporaryFolder folder;
    test::write_grounding_dino(folder.path(), name);
    const auto network = load_grounding_dino(folder.path(), at::kFloat);
    expect_golden(name, run(*network, inputs_of(name)));
  }
}

TEST(GroundingDino, LoadsEveryKindOfFile) {
  const std::string name = "five_levels";
  test::TemporaryFolder folder;
  const auto config = test::write_grounding_dino_config(folder.path(), name);
  const auto published = test::made_up_grounding_dino(config);
  const auto expect_loads = [&](const NamedTensors& tensors, const std::string& kind) {
    SCOPED_TRACE(kind);
    write_tensors(folder / "model.safetensors", tensors);
    expect_golden(name, run(*load_grounding_dino(folder.path(), at::kFloat), inputs_of(name)));
  };
  const std::string backbone = "model.backbone.conv_encoder.model.", head = "bbox_embed.0.";

  // As transformers 5.x saves: with the backbone's last norm, which nothing uses.
  NamedTensors saved = published;
  saved[backbone + "swin.layernorm.weight"] = saved[backbone + "swin.layernorm.bias"] = at::ones({32});
  std::vector<std::string> names;
  for (const auto& [tensor, value] : saved) names.push_back(tensor);
  EXPECT_EQ(names, test::grounding_dino_golden().at(name).at("file_names").get<std::vector<std::string>>());
  expect_loads(saved, "saved by transformers 5");

  // As base is published: the box head under the decoder's name, index buffers beside the tables.
  NamedTensors base;
  for (const auto& [tensor, value] : published) {
    if (tensor.rfind(head, 0) == 0) {
      base["model.decoder.bbox_embed.1." + tensor.substr(head.size())] = value;
    } else {
      base[tensor] = value;
    }
  }
  base[backbone + "encoder.layers.0.blocks.0.attention.self.relative_position_index"] =
      at::zeros({25, 25}, at::kLong);
  expect_loads(base, "base");

  // A file with all twins.
  NamedTensors twins = published;
  for (const auto& [tensor, value] : published) {
    if (tensor.rfind(head, 0) != 0) continue;
    twins["bbox_embed.1." + tensor.substr(head.size())] = value;
    twins["model.decoder.bbox_embed.0." + tensor.substr(head.size())] = value;
  }
  expect_loads(twins, "twins");
}

// A published name as the original's .pth files have it, "" where it is one of the packed three.
std::string original_name(std::string name) {
  const std::vector<std::pair<std::string, std::string>> rules{
      {"model.backbone.conv_encoder.model.embeddings.patch_embeddings.projection.",
       "backbone.0.patch_embed.proj."},
      {"model.backbone.conv_encoder.model.embeddings.norm.", "backbone.0.patch_embed.norm."},
      {"model.backbone.conv_encoder.model.hidden_states_norms.stage1.", "backbone.0.norm0."},
      {"model.backbone.conv_encoder.model.hidden_states_norms.stage3.", "backbone.0.norm2."},
      {"model.backbone.conv_encoder.model.encoder.", "backbone.0."},
      {"model.text_backbone.", "bert."},
      {"model.text_projection.", "feat_map."},
      {"model.input_proj_vision.", "input_proj."},
      {"model.query_position_embeddings.", "transformer.tgt_embed."},
      {"model.encoder_output_bbox_embed.", "transformer.enc_out_bbox_embed."},
      {"model.decoder.layer_norm.", "transformer.decoder.norm."},
      {"model.decoder.reference_points_head.", "transformer.decoder.ref_point_head."},
      {"model.", "transformer."},
      // Swin
      {".layernorm_before.", ".norm1."},
      {".layernorm_after.", ".norm2."},
      {".attention.output.dense.", ".attn.proj."},
      {".attention.self.relative", ".attn.relative"},
      {".intermediate.dense.", ".mlp.fc1."},
      {".output.dense.", ".mlp.fc2."},
      // transformer
      {"encoder.layers.0.fusion_layer.", "encoder.fusion_layers.0."},
      {"encoder.layers.0.text_enhancer_layer.", "encoder.text_layers.0."},
      {"encoder.layers.0.deformable_layer.", "encoder.layers.0."},
      {"layer_norm_vision", "layer_norm_v"},
      {"layer_norm_text", "layer_norm_l"},
      {"attn.vision_proj", "attn.v_proj"},
      {"attn.text_proj", "attn.l_proj"},
      {"values_vision_proj", "values_v_proj"},
      {"values_text_proj", "values_l_proj"},
      {"out_vision_proj", "out_v_proj"},
      {"out_text_proj", "out_l_proj"},
      {"vision_param", "gamma_v"},
      {"text_param", "gamma_l"},
      {"layer_norm_before", "norm1"},
      {"layer_norm_after", "norm2"},
      {".fc1.", ".linear1."},
      {".fc2.", ".linear2."}};
  const bool is_swin = name.find("conv_encoder") != std::string::npos;
  const bool is_bert = name.find("text_backbone") != std::string::npos;
  const bool is_decoder = name.rfind("model.decoder.layers.", 0) == 0;
  for (const auto& [from, to] : rules) {
    if (is_bert && from.front() == '.') continue;
    if (is_swin && (from == ".fc1." || from == ".fc2.")) continue;
    if (const auto at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  }
  const std::vector<std::pair<std::string, std::string>> norms =
      is_decoder
          ? std::vector<std::pair<std::string, std::string>>{{"encoder_attn_text_layer_norm", "catext_norm"},
                                                             {"encoder_attn_layer_norm", "norm1"},
                                                             {"self_attn_layer_norm", "norm2"},
                                                             {"final_layer_norm", "norm3"},
                                                             {"encoder_attn_text.", "ca_text."},
                                                             {"encoder_attn.", "cross_attn."}}
          : std::vector<std::pair<std::string, std::string>>{{"self_attn_layer_norm", "norm1"},
                                                             {"final_layer_norm", "norm2"}};
  for (const auto& [from, to] : norms) {
    if (const auto at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  }
  return name;
}

TEST(GroundingDino, LoadsTheOriginalsNames) {
  const std::string name = "five_levels";
  test::TemporaryFolder folder;
  const auto config = test::write_grounding_dino_config(folder.path(), name);
  NamedTensors original;
  const std::string wrapped = "module.";  // saved while wrapped for several devices
  const auto published = test::made_up_grounding_dino(config);
  for (const auto& [tensor, value] : published) {
    const auto query = tensor.rfind(".query.");
    const bool is_bert = tensor.find("text_backbone") != std::string::npos;
    if (!is_bert &&
        (tensor.find(".key.") != std::string::npos || tensor.find(".value.") != std::string::npos))
      continue;
    if (!is_bert && query != std::string::npos) {
      const auto sibling = [&](const char* which) {
        return published.at(tensor.substr(0, query + 1) + which + tensor.substr(query + 6));
      };
      const bool is_swin = tensor.find("attention.self") != std::string::npos;
      const auto before = is_swin
                              ? tensor.substr(0, query - std::string("attention.self").size()) + "attn.qkv."
                              : tensor.substr(0, query) + ".in_proj_";
      original[wrapped + original_name(before) + tensor.substr(query + 7)] =
          at::cat({value, sibling("key"), sibling("value")});
    } else {
      original[wrapped + original_name(tensor)] = value;
    }
  }
  original["module.label_enc.weight"] = at::zeros({91, 32});
  original["module.bert.pooler.dense.weight"] = at::zeros({32, 32});
  original["module.bert.embeddings.position_ids"] = at::arange(16).unsqueeze(0);
  EXPECT_EQ(original.count("module.transformer.decoder.layers.1.ca_text.in_proj_weight"), 1u);
  EXPECT_EQ(original.count("module.backbone.0.layers.0.blocks.1.attn.qkv.bias"), 1u);
  EXPECT_EQ(original.count("module.transformer.encoder.text_layers.0.norm2.weight"), 1u);
  write_tensors(folder / "model.safetensors", original);
  expect_golden(name, run(*load_grounding_dino(folder.path(), at::kFloat), inputs_of(name)));
}

TEST(GroundingDino, ListsAllThatIsWrongWithAFile) {
  test::TemporaryFolder folder;
  const auto config = test::write_grounding_dino_config(folder.path(), "five_levels");
  auto tensors = test::made_up_grounding_dino(config);
  tensors.erase("model.level_embed");
  for (const std::string part : {"weight", "bias"}) tensors.erase("bbox_embed.0.layers.2." + part);
  tensors["model.level_embedding"] = at::zeros({5, 32});
  tensors["model.enc_output.weight"] = at::zeros({32, 31});
  write_tensors(folder / "model.safetensors", tensors);
  EXPECT_EQ(problems_of([&] { load_grounding_dino(folder.path(), at::kFloat); }), 5u);
  tensors = test::made_up_grounding_dino(config);
  tensors["model.level_embed"][0][0] = 1e6;
  write_tensors(folder / "model.safetensors", tensors);
  EXPECT_EQ(problems_of([&] { load_grounding_dino(folder.path(), at::kHalf); }), 1u);
}

TEST(GroundingDino, ListsAllThatIsWrongWithAConfiguration) {
  test::TemporaryFolder folder;
  auto json = test::grounding_dino_golden().at("single").at("config");
  json["two_stage"] = false;
  json["d_model"] = 100;
  json["backbone_config"]["hidden_act"] = "relu";
  json["backbone_config"]["num_heads"] = {3, 6, 12};
  json["text_config"]["model_type"] = "roberta";
  json["num_feature_levels"] = 2;
  write_atomically(folder / "config.json", json.dump());
  EXPECT_GE(problems_of([&] { read_grounding_dino_config(folder / "config.json"); }), 6u);
  json["backbone_config"] = 3;
  json["text_config"] = nullptr;
  write_atomically(folder / "config.json", json.dump());
  EXPECT_GE(problems_of([&] { read_grounding_dino_config(folder / "config.json"); }), 2u);
}

TEST(GroundingDino, ThePublishedTinyConfigurationLeavesDefaultsOut) {
  test::TemporaryFolder folder;
  write_atomically(
      folder / "config.json",
      R"({"model_type": "grounding-dino", "backbone_config": {"model_type": "swin", "out_indices": [2, 3, 4]},
                       "text_config": {"model_type": "bert"}})");
  const auto config = read_grounding_dino_config(folder / "config.json");
  EXPECT_EQ(config.backbone.embed_dim, 96);
  EXPECT_EQ(config.backbone.window_size, 7);
  EXPECT_EQ(config.text.positions, 512);
  EXPECT_EQ(config.queries, 900);
}

TEST(GroundingDino, APromptInCompanyGivesWhatItGivesAlone) {
  test::TemporaryFolder folder;
  test::write_grounding_dino(folder.path(), "padded");
  const auto network = load_grounding_dino(folder.path(), at::kFloat);
  const Inputs both{made_up(9001, {2, 3, 80, 90}),
                    {},
                    at::tensor({101, 7, 1012, 102, 0, 0, 101, 8, 9, 10, 1012, 102}, at::kLong).view({2, 6}),
                    {}};
  const auto mask = both.ids.ne(0).to(at::kLong);
  const at::NoGradGuard no_gradients;
  const auto together = network->forward(both.pixels, {}, network->encode_text(both.ids, mask));
  for (std::int64_t row = 0; row < 2; ++row) {
    const auto ids = both.ids.narrow(0, row, 1).slice(1, 0, row == 0 ? 4 : 6);
    const auto alone = network->forward(both.pixels.narrow(0, row, 1), {}, network->encode_text(ids));
    expect_near(together.logits.narrow(0, row, 1), alone.logits, 1e-4, "logits");
    expect_near(together.pred_boxes.narrow(0, row, 1), alone.pred_boxes, 1e-4, "boxes");
  }
}

TEST(GroundingDino, TokensBeyondTheLimitAreCutAfterTheBlocksAreFound) {
  test::TemporaryFolder folder;
  test::write_grounding_dino(folder.path(), "five_levels");  // 12 tokens, 16 positions
  const auto network = load_grounding_dino(folder.path(), at::kFloat);
  auto ids = at::full({1, 14}, 9, at::kLong);
  ids[0][0] = 101;
  ids[0][12] = 1012;
  ids[0][13] = 102;
  const at::NoGradGuard no_gradients;
  const auto text = network->encode_text(ids);
  EXPECT_EQ(text.features.size(1), 12);
  EXPECT_EQ(text.positions[0][11].item<std::int64_t>(), 10);  // still inside of the block that was cut
  EXPECT_TRUE(text.attends[0][1][11].item<bool>());
  const auto output = network->forward(made_up(1, {1, 3, 64, 50}), {}, text);
  EXPECT_EQ(output.logits.size(2), 12);
  EXPECT_TRUE(output.logits.isfinite().all().item<bool>());

  auto endless = at::full({1, 40}, 9, at::kLong);
  endless[0][38] = 1012;
  EXPECT_NO_THROW(network->encode_text(endless));  // what is cut does not count
  test::TemporaryFolder wider;
  test::write_grounding_dino(wider.path(), "padded");  // 24 tokens, 16 positions
  EXPECT_EQ(problems_of([&] { load_grounding_dino(wider.path(), at::kFloat)->encode_text(endless); }), 1u);
  EXPECT_THROW(network->forward(made_up(1, {1, 3, 8, 8}), {}, text), DataError);
}

TEST(GroundingDino, HalfPrecisionStaysNearFloat) {
  test::TemporaryFolder folder;
  test::write_grounding_dino(folder.path(), "padded");
  const auto in = inputs_of("padded");
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    const auto output = run(*load_grounding_dino(folder.path(), dtype), in);
    // Mantissas of 8 and 11 bits over some twenty layers.
    const double tolerance = dtype == at::kHalf ? 0.02 : 0.1;
    expect_near(output.encoder_text.to(at::kFloat), golden().at("padded.encoder_text"), tolerance, "text");
    expect_near(output.encoder_vision.to(at::kFloat).slice(1, 0, c10::nullopt, 7),
                golden().at("padded.encoder_vision"), tolerance, "vision");
    EXPECT_EQ(output.pred_boxes.scalar_type(), at::kFloat);
    EXPECT_TRUE(output.pred_boxes.isfinite().all().item<bool>());
  }
}

TEST(GroundingDino, RulesDifferOnlyWhereASideTouchesTheBorder) {
  test::TemporaryFolder folder;
  test::write_grounding_dino(folder.path(), "single");
  const auto one =
      run(*load_grounding_dino(folder.path(), at::kFloat, GroundingDinoRules::original), inputs_of("single"));
  const auto other = run(*load_grounding_dino(folder.path(), at::kFloat), inputs_of("single"));
  EXPECT_LT((one.pred_boxes - other.pred_boxes).abs().max().item<double>(), 1e-2);
}

// Acceptance test T1: the grid_sample form against four neighbours and their weights, in float64.
at::Tensor sampled_naively(const at::Tensor& value, const std::vector<MapSize>& levels,
                           const at::Tensor& places, const at::Tensor& weights) {
  const auto batch = value.size(0), heads = value.size(2), width = value.size(3);
  auto out = at::zeros({batch, places.size(1), heads, width}, at::kDouble);
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t q = 0; q < places.size(1); ++q) {
      for (std::int64_t h = 0; h < heads; ++h) {
        std::int64_t begin = 0;
        for (std::size_t l = 0; l < levels.size(); begin += levels[l++].places()) {
          for (std::int64_t p = 0; p < places.size(4); ++p) {
            const auto place = places[b][q][h][static_cast<std::int64_t>(l)][p];
            const double x = place[0].item<double>() * static_cast<double>(levels[l].width) - 0.5;
            const double y = place[1].item<double>() * static_cast<double>(levels[l].height) - 0.5;
            const auto weight = weights[b][q][h][static_cast<std::int64_t>(l)][p].item<double>();
            for (int corner = 0; corner < 4; ++corner) {
              const double column = std::floor(x) + corner % 2, row = std::floor(y) + corner / 2;
              if (column < 0 || row < 0 || column >= static_cast<double>(levels[l].width) ||
                  row >= static_cast<double>(levels[l].height))
                continue;
              const double share = (1 - std::abs(x - column)) * (1 - std::abs(y - row));
              out[b][q][h] += weight * share *
                              value[b][begin + static_cast<std::int64_t>(row) * levels[l].width +
                                       static_cast<std::int64_t>(column)][h];
            }
          }
        }
      }
    }
  }
  return out.flatten(2);
}

TEST(DeformableAttention, GridSampleEqualsTheNaiveLoop) {
  const std::vector<MapSize> levels{{5, 7}, {3, 4}, {1, 2}};
  const auto value = made_up(1, {2, 49, 2, 3}).to(at::kDouble);
  const auto places = made_up(2, {2, 6, 2, 3, 4, 2}, -0.3, 1.3).to(at::kDouble);  // outside too
  const auto weights = made_up(3, {2, 6, 2, 3, 4}, 0, 1).to(at::kDouble);
  const auto found = sample_deformably(value, levels, places, weights);
  EXPECT_LT((found - sampled_naively(value, levels, places, weights)).abs().max().item<double>(), 1e-10);
}

TEST(DeformableAttention, PointsAndBoxesAreWhereTheyBelong) {
  const std::vector<MapSize> levels{{4, 6}, {2, 3}};
  const at::NoGradGuard no_gradients;
  DeformableAttention attention(8, 2, 2, 3);
  test::fill_made_up(attention);
  const auto state = state_of(attention);
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    return at::linear(x, state.at(name + ".weight"), state.at(name + ".bias"));
  };
  const auto query = made_up(4, {1, 5, 8}), values = made_up(5, {1, 30, 8});
  const auto extents = extents_of(levels, at::kCPU);
  auto padding = at::zeros({1, 30}, at::kBool);
  padding[0][23] = true;
  const auto value = linear("value_proj", values).masked_fill(padding.unsqueeze(-1), 0).view({1, 30, 2, 4});
  const auto offsets = linear("sampling_offsets", query).view({1, 5, 2, 2, 3, 2});
  const auto weights =
      linear("attention_weights", query).view({1, 5, 2, 6}).softmax(-1).view({1, 5, 2, 2, 3});
  const auto check = [&](const at::Tensor& reference, const at::Tensor& places) {
    const auto expected =
        linear("output_proj", sampled_naively(value, levels, places, weights).to(at::kFloat));
    EXPECT_LT((attention.forward(query, values, padding, reference, levels, extents) - expected)
                  .abs()
                  .max()
                  .item<double>(),
              1e-5);
  };
  const auto points = made_up(6, {1, 5, 2, 2}, 0, 1), boxes = made_up(7, {1, 5, 2, 4}, 0, 1);
  const auto extent = at::tensor({6.0f, 4.0f, 3.0f, 2.0f}).view({1, 1, 1, 2, 1, 2});
  check(points, points.view({1, 5, 1, 2, 1, 2}) + offsets / extent);
  const auto box = boxes.view({1, 5, 1, 2, 1, 4});
  check(boxes, box.slice(-1, 0, 2) + offsets / 3 * box.slice(-1, 2, 4) * 0.5);
}

TEST(GroundingDino, FullSizeModelsHaveThePublishedNamesShapesAndCounts) {
  const auto& full = test::grounding_dino_golden().at("full_size");
  const auto check = [&](const std::string& name, const GroundingDino& network, std::int64_t published) {
    EXPECT_EQ(parameter_count(network), published) << name;
    EXPECT_EQ(full[name]["parameters"].get<std::int64_t>(), published) << name;
    std::string listing;
    for (const auto& [tensor, value] : state_of(network)) {
      std::string shape;
      for (const auto extent : value.sizes()) shape += (shape.empty() ? "" : "x") + std::to_string(extent);
      listing += tensor + " " + shape + "\n";
    }
    EXPECT_EQ(xxhash128_hex(listing), full[name]["names"].get<std::string>()) << name;
    // Acceptance test T5.
    EXPECT_EQ(network.places(800, 1200), 19'947);
    EXPECT_EQ(network.places(800, 1066), 17'821);
    EXPECT_EQ(network.places(800, 1333), 22'223);
  };
  GroundingDinoConfig base;
  base.backbone.embed_dim = 128;
  base.backbone.depths = {2, 2, 18, 2};
  base.backbone.heads = {4, 8, 16, 32};
  base.backbone.window_size = 12;
  check("tiny", GroundingDino(GroundingDinoConfig{}), 172'249'090);
  check("base", GroundingDino(base), 232'313'216);
}

TEST(ForwardGroundingDino, GivesTheGoldenOutputsAndListsWrongInputs) {
  const std::string name = "padded";
  test::TemporaryFolder folder;
  test::write_grounding_dino(folder.path(), name);
  const auto in = inputs_of(name);
  ForwardRequest request;
  request.weights = folder.path();
  request.inputs_from = "in.safetensors";
  request.inputs = {{"pixel_values", in.pixels},
                    {"pixel_mask", in.pixel_mask},
                    {"input_ids", in.ids},
                    {"attention_mask", in.attention_mask},
                    {"token_type_ids", at::zeros_like(in.ids)}};
  const auto& model = forward_model("grounding_dino");
  const auto outputs = model.run(request);
  expect_near(outputs.at("logits"), golden().at(name + ".logits"), tolerance_of_scale, "logits");
  expect_near(outputs.at("pred_boxes"), golden().at(name + ".pred_boxes"), tolerance_of_scale, "boxes");
  request.inputs["input_ids"][0][0] = 1'000'000;
  request.inputs["pixel_mask"] = at::ones({1, 2, 3});
  request.inputs["mask"] = at::ones({1});
  request.inputs["attention_mask"] = at::zeros_like(in.ids);
  EXPECT_EQ(problems_of([&] { model.run(request); }), 4u);
  request.inputs.clear();
  EXPECT_EQ(problems_of([&] { model.run(request); }), 2u);
}

}  // namespace
}  // namespace deda::models
