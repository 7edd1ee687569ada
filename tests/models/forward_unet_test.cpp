// `deda forward unet`: UNets of InstructPix2Pix's kind at fractional timesteps against diffusers
// (tests/golden/eight_channel_unets.py), LoRA files merged, inputs that are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "core/files.h"
#include "models/diffusion/lora_file.h"
#include "models/made_up_weights.h"
#include "models/registry.h"
#include "models/small_unets.h"
#include "support/temporary_folder.h"

namespace deda::models {
namespace {

using test::made_up;
using ::testing::HasSubstr;

// Float32 on both sides; what is left is the order of sums, over tens of layers. The promise is 2e-4.
constexpr double tolerance_of_scale = 2e-5;

UNetConfig three_levels() {
  auto config = test::sd15_like();
  config.in_channels = 8;
  return config;
}

UNetConfig two_levels() {
  UNetConfig config;
  config.in_channels = 8;
  config.block_out_channels = {16, 48};
  config.down_attention = {false, true};
  config.up_attention = {true, false};
  config.layers_per_block = 1;
  config.cross_attention_dim = 20;
  config.heads = {4, 6};
  config.depth = {1, 2};
  config.linear_projection = true;
  config.norm_groups = 4;
  return config;
}

struct Case {
  std::string name;
  UNetConfig config;
  std::int64_t batch, height, width, tokens;
};

void write_unet(const std::filesystem::path& folder, const UNetConfig& config) {
  UNet network(config);
  test::fill_made_up(network);
  make_folder(folder);
  save_weights(network, folder / "diffusion_pytorch_model.safetensors", {{"format", "pt"}});
  write_atomically(folder / "config.json", to_json(config));
}

ForwardRequest request_for(const std::filesystem::path& weights, const Case& each) {
  ForwardRequest request;
  request.weights = weights;
  request.inputs_from = "in.safetensors";
  request.inputs["sample"] = made_up(9001, {each.batch, each.config.in_channels, each.height, each.width});
  request.inputs["encoder_hidden_states"] =
      made_up(9002, {each.batch, each.tokens, each.config.cross_attention_dim});
  request.inputs["timestep"] =
      at::tensor({946.4210815429688f, 52.578948974609375f, 0.0f}).slice(0, 0, each.batch);
  return request;
}

at::Tensor forward(const ForwardRequest& request) {
  return forward_model("unet").run(request).at("sample");
}

double difference_of_scale(const at::Tensor& found, const at::Tensor& expected) {
  return (found - expected).abs().max().item<double>() / expected.abs().max().item<double>();
}

std::string refusal_of(const ForwardRequest& request) {
  std::string told;
  try {
    forward(request);
  } catch (const DataError& error) {
    for (const auto& problem : error.problems()) told += to_string(problem) + "\n";
  }
  return told;
}

TEST(ForwardUNet, WithEightChannelsAndFractionalTimestepsIsDiffusers) {
  const auto golden = read_tensors(DEDA_SOURCE_DIR "/tests/golden/eight_channel_unets.safetensors");
  const test::TemporaryFolder folder;
  for (const auto& each :
       {Case{"four_levels", test::eight_channels(), 2, 16, 24, 9},
        Case{"three_levels", three_levels(), 3, 12, 8, 7}, Case{"two_levels", two_levels(), 2, 6, 10, 5}}) {
    // As a part of a whole model's folder.
    write_unet(folder / each.name / "unet", each.config);
    auto request = request_for(folder / each.name, each);
    const auto& expected = golden.at(each.name);
    const double difference = difference_of_scale(forward(request), expected);
    std::printf("%-12s %.1e of scale\n", each.name.c_str(), difference);
    EXPECT_LT(difference, tolerance_of_scale) << each.name;
    auto whole = request;
    whole.inputs["timestep"] = request.inputs["timestep"].to(at::kLong);
    EXPECT_GT(difference_of_scale(forward(whole), expected), 1e-3)
        << each.name << ": cut off to whole numbers it is another result";
    // In half precision timesteps stay what they are: bf16 has no 946.42.
    request.dtype = at::kBFloat16;
    constexpr double bfloat16_rounding = 0.05;
    EXPECT_LT(difference_of_scale(forward(request), expected), bfloat16_rounding) << each.name;
  }
}

TEST(ForwardUNet, TakesWholeTimestepsAsIntegersOrAsNumbers) {
  const test::TemporaryFolder folder;
  const Case each{"two_levels", two_levels(), 2, 6, 10, 5};
  write_unet(folder.path(), each.config);
  auto request = request_for(folder.path(), each);
  request.inputs["timestep"] = at::tensor({400.0, 37.0});
  const auto as_numbers = forward(request);
  request.inputs["timestep"] = at::tensor({400, 37}, at::kLong);
  EXPECT_TRUE(at::equal(forward(request), as_numbers));
}

TEST(ForwardUNet, MergesALora) {
  const test::TemporaryFolder folder;
  const Case each{"two_levels", two_levels(), 2, 6, 10, 5};
  write_unet(folder.path(), each.config);
  const std::string module = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q";
  const NamedTensors unet_part{{"unet." + module + ".lora_A.weight", made_up(1, {3, 48})},
                               {"unet." + module + ".lora_B.weight", made_up(2, {48, 3})}};
  write_tensors(folder / "lora.safetensors", unet_part);
  auto request = request_for(folder.path(), each);
  const auto plain = forward(request);
  request.lora = folder / "lora.safetensors";
  const auto merged = forward(request);
  UNet expected(each.config);
  test::fill_made_up(expected);
  apply_lora({&expected, {}}, read_lora(request.lora));
  freeze(expected);
  const auto& in = request.inputs;
  EXPECT_TRUE(at::equal(
      merged, expected.forward(in.at("sample"), in.at("timestep"), in.at("encoder_hidden_states"))));
  EXPECT_GT(difference_of_scale(merged, plain), 1e-3);

  // Its part for a text encoder is passed over, a file without one for the UNet refused.
  const std::string text = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj";
  const NamedTensors text_part{{text + ".lora_A.weight", made_up(3, {3, 16})},
                               {text + ".lora_B.weight", made_up(4, {16, 3})}};
  auto both = unet_part;
  both.insert(text_part.begin(), text_part.end());
  write_tensors(folder / "both.safetensors", both);
  request.lora = folder / "both.safetensors";
  EXPECT_TRUE(at::equal(forward(request), merged));
  write_tensors(folder / "text.safetensors", text_part);
  request.lora = folder / "text.safetensors";
  EXPECT_THAT(refusal_of(request), HasSubstr("changes no matrix of a UNet"));
  write_tensors(folder / "other.safetensors", {{"unet." + module + ".lora_A.weight", made_up(1, {3, 320})},
                                               {"unet." + module + ".lora_B.weight", made_up(2, {320, 3})}});
  request.lora = folder / "other.safetensors";
  EXPECT_THAT(refusal_of(request), HasSubstr("The file is of another model."));
  request.lora = folder / "nothing.safetensors";
  EXPECT_NE(refusal_of(request), "");
}

TEST(ForwardUNet, RefusesInputsThatMeanNothingAllAtOnce) {
  const test::TemporaryFolder folder;
  const Case each{"two_levels", two_levels(), 2, 6, 10, 5};
  write_unet(folder.path(), each.config);
  auto request = request_for(folder.path(), each);
  request.inputs["timestep"] = at::tensor({-1.0f, std::numeric_limits<float>::quiet_NaN()});
  request.inputs["sample"] = made_up(1, {2, 4, 6, 10});
  const auto told = refusal_of(request);
  EXPECT_THAT(told, HasSubstr("`timestep` holds timesteps below 0 or not finite"));
  EXPECT_THAT(told, HasSubstr("`sample` has shape [2, 4, 6, 10], expected [-1, 8, -1, -1]"));
  request = request_for(folder.path(), each);
  request.inputs["sample"] = at::zeros({});
  EXPECT_THAT(refusal_of(request), HasSubstr("`sample` has shape"));
}

// What is a whole number by nature is not cut off without a word.
TEST(ForwardInputs, FractionsAmongIntegersAreRefused) {
  const test::TemporaryFolder folder;
  ForwardRequest request;
  request.inputs_from = "in.safetensors";
  ClipText text({.vocab_size = 20, .hidden_size = 8, .layers = 1, .heads = 1, .intermediate_size = 8});
  test::fill_made_up(text);
  save_weights(text, folder / "model.safetensors", {{"format", "pt"}});
  write_atomically(folder / "config.json", to_json(text.config()));
  request.weights = folder.path();
  request.inputs["input_ids"] = at::tensor({1.0f, 2.5f}).view({1, 2});
  try {
    forward_model("text_encoder").run(request);
    FAIL() << "the fraction was cut off";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("`input_ids` must hold whole numbers"));
  }
  request.inputs["input_ids"] = at::tensor({1.0f, 2.0f}).view({1, 2});
  EXPECT_NO_THROW(forward_model("text_encoder").run(request));
}

}  // namespace
}  // namespace deda::models
