// UNet, autoencoder, text encoders, transparent encoder and decoder and LayerDiffuse's merging against
// diffusers and transformers (tests/golden/diffusion_networks.py); names and sizes of the published models.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "models/diffusion/autoencoder.h"
#include "models/diffusion/layer_diffuse.h"
#include "models/diffusion/transparent.h"
#include "models/diffusion/unet.h"
#include "models/made_up_weights.h"
#include "models/registry.h"
#include "models/small_unets.h"
#include "models/text/clip_text.h"
#include "support/temporary_folder.h"

namespace deda::models {
namespace {

using test::eight_channels;
using test::made_up;
using test::sd15_like;
using test::sdxl_like;

// Float32 on both sides; what is left is the order of sums, over tens of layers. The promise is 2e-4.
constexpr double tolerance_of_scale = 2e-5;

const NamedTensors& golden() {
  static const auto tensors = read_tensors(DEDA_SOURCE_DIR "/tests/golden/diffusion_networks.safetensors");
  return tensors;
}

void expect_golden(const std::string& name, const at::Tensor& found) {
  ASSERT_EQ(golden().count(name), 1u) << name;
  const auto& expected = golden().at(name);
  ASSERT_EQ(found.sizes(), expected.sizes()) << name;
  const double scale = expected.abs().max().item<double>();
  EXPECT_LT((found - expected).abs().max().item<double>(), tolerance_of_scale * scale) << name;
}

template <class Network, class... Arguments>
std::shared_ptr<Network> made(Arguments&&... arguments) {
  auto network = std::make_shared<Network>(std::forward<Arguments>(arguments)...);
  test::fill_made_up(*network);
  freeze(*network);
  return network;
}

struct UNetInputs {
  at::Tensor sample, timestep, text;
  UNet::Added added;
};
UNetInputs inputs_of(const std::string& name) {
  if (name == "sdxl_like")
    return {made_up(9001, {2, 4, 8, 14}),
            at::tensor({400, 37}),
            made_up(9002, {2, 5, 40}),
            {made_up(9003, {2, 12}), made_up(9004, {2, 6}, 0, 1024).floor()}};
  if (name == "eight_channels")
    return {made_up(9001, {1, 8, 16, 24}), at::tensor({400}), made_up(9002, {1, 9, 16}), {}};
  return {made_up(9001, {2, 4, 12, 10}), at::tensor({400, 37}), made_up(9002, {2, 7, 24}), {}};
}

TEST(DiffusionNetworks, UNetsEqualDiffusersInAllLayouts) {
  const std::vector<std::pair<std::string, UNetConfig>> cases{
      {"sd15_like", sd15_like()}, {"sdxl_like", sdxl_like()}, {"eight_channels", eight_channels()}};
  for (const auto& [name, config] : cases) {
    const auto network = made<UNet>(config);
    const auto in = inputs_of(name);
    expect_golden("unet." + name, network->forward(in.sample, in.timestep, in.text, in.added));
    expect_golden("unet." + name,
                  network->forward(in.sample, in.timestep, network->keys_of(in.text), in.added));
  }
}

TEST(DiffusionNetworks, GatheredTextKeysEqualTheTextsTheyStandFor) {
  const auto network = made<UNet>(sd15_like());
  const auto texts = made_up(7, {3, 7, 24});
  const auto rows = at::tensor({2, 0, 0, 1, 2}, at::kLong);
  const auto sample = made_up(8, {5, 4, 8, 8});
  const auto time = at::tensor({1, 2, 3, 400, 999});
  const auto whole = network->forward(sample, time, texts.index_select(0, rows));
  const auto gathered = network->forward(sample, time, network->keys_of(texts).for_rows(rows));
  EXPECT_LT((whole - gathered).abs().max().item<double>(), 1e-5);
}

TEST(DiffusionNetworks, LayerDiffusesFoldedReplacementEqualsTheUnfoldedOriginal) {
  test::TemporaryFolder folder;
  NamedTensors file;
  const std::string prefix = "layer_file.";
  for (const auto& [name, tensor] : golden()) {
    if (name.rfind(prefix, 0) == 0) file[name.substr(prefix.size())] = tensor;
  }
  write_tensors(folder / "attn.safetensors", file);
  auto network = made<UNet>(sd15_like());
  EXPECT_EQ(apply_layer_diffuse(*network, folder / "attn.safetensors"),
            LayerDiffuseKind::attention_replacement);
  const auto in = inputs_of("sd15_like");
  expect_golden("layer_diffuse.sd15_like", network->forward(in.sample, in.timestep, in.text));

  // A typo is told, with everything else that is wrong, and changes nothing.
  auto renamed = file.extract("hookers.layers.3.temporal_n.bias");
  renamed.key() = "hookers.layers.3.temporal_n.bios";
  file.insert(std::move(renamed));
  file["hookers.layers.0.to_q_lora.0.up.weight"] = at::zeros({1, 2});
  write_tensors(folder / "typo.safetensors", file);
  auto untouched = made<UNet>(sd15_like());
  try {
    apply_layer_diffuse(*untouched, folder / "typo.safetensors");
    FAIL() << "the typo was not told";
  } catch (const DataError& error) {
    EXPECT_EQ(error.problems().size(), 3u);
  }
  expect_golden("unet.sd15_like", untouched->forward(in.sample, in.timestep, in.text));
}

TEST(DiffusionNetworks, OffsetsAndWebuiLoraMergeIntoSdxl) {
  test::TemporaryFolder folder;
  auto config = sdxl_like();
  config.block_out_channels = {16, 32, 32};
  config.down_attention = {false, true, true};
  config.up_attention = {true, true, false};
  config.heads = {2, 2, 2};
  config.depth = {1, 1, 1};
  const std::string block = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight";
  const auto delta = made_up(5, {32, 32}, -0.01, 0.01);
  write_tensors(folder / "dense.safetensors", {{block, delta.to(at::kHalf)}});
  const auto up = made_up(6, {32, 4}), down = made_up(7, {4, 32});
  const std::string webui = "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight::lora::";
  const auto base = state_of(*made<UNet>(config)).at(block).clone();
  auto dense = made<UNet>(config);
  EXPECT_EQ(apply_layer_diffuse(*dense, folder / "dense.safetensors"), LayerDiffuseKind::offsets);
  EXPECT_LT((state_of(*dense).at(block) - base - delta).abs().max().item<double>(), 1e-5);
  for (const bool up_first : {true, false}) {  // ports disagree about the order
    write_tensors(folder / "lora.safetensors",
                  {{webui + "0", up_first ? up : down}, {webui + "1", up_first ? down : up}});
    auto lora = made<UNet>(config);
    EXPECT_EQ(apply_layer_diffuse(*lora, folder / "lora.safetensors"), LayerDiffuseKind::webui_lora);
    EXPECT_LT((state_of(*lora).at(block) - base - up.mm(down)).abs().max().item<double>(), 1e-5);
  }
}

TEST(DiffusionNetworks, AutoencodersEqualDiffusers) {
  struct Case {
    std::string name;
    AutoencoderConfig config;
    std::int64_t height, width;
  };
  std::vector<Case> cases(3);
  cases[0] = {"four_levels",
              {.block_out_channels = {8, 16, 16, 16}, .layers_per_block = 2, .norm_groups = 8},
              32,
              48};
  cases[1] = {
      "three_levels",
      {.latent_channels = 6, .block_out_channels = {8, 8, 24}, .layers_per_block = 1, .norm_groups = 4},
      20,
      16};
  cases[2] = {"wide", {.block_out_channels = {32, 64}, .layers_per_block = 2, .norm_groups = 32}, 14, 10};
  for (const auto& each : cases) {
    const auto network = made<Autoencoder>(each.config);
    const auto posterior = network->encode(made_up(9001, {2, 3, each.height, each.width}));
    expect_golden("vae." + each.name + ".mean", posterior.mean);
    expect_golden("vae." + each.name + ".logvar", posterior.logvar);
    const auto factor = each.config.factor();
    expect_golden("vae." + each.name + ".decoded",
                  network->decode(made_up(
                      9002, {1, each.config.latent_channels, each.height / factor, each.width / factor})));
  }
}

TEST(DiffusionNetworks, TextEncodersEqualTransformersWithPaddingAndAddedTokens) {
  std::vector<std::pair<std::string, ClipTextConfig>> cases(3);
  cases[0] = {"clip_l_like",
              {.vocab_size = 100,
               .hidden_size = 32,
               .layers = 3,
               .heads = 4,
               .intermediate_size = 64,
               .eos_token_id = 2}};
  cases[1] = {"big_g_like",
              {.vocab_size = 100,
               .hidden_size = 40,
               .layers = 4,
               .heads = 5,
               .intermediate_size = 80,
               .projection = 24,
               .quick_gelu = false,
               .eos_token_id = 99}};
  cases[2] = {"old_eos_projection",
              {.vocab_size = 100,
               .hidden_size = 16,
               .layers = 2,
               .heads = 2,
               .intermediate_size = 48,
               .projection = 8,
               .quick_gelu = false,
               .eos_token_id = 2}};
  auto ids = at::full({3, 77}, 99, at::kLong);
  ids[0].slice(0, 0, 6).copy_(at::tensor({98, 3, 17, 42, 5, 99}));
  ids[1].slice(0, 0, 4).copy_(at::tensor({98, 7, 7, 99}));
  ids[1].slice(0, 4).fill_(0);
  ids[2].slice(0, 0, 5).copy_(at::tensor({98, 3, 100, 101, 99}));
  for (const auto& [name, config] : cases) {
    const auto network = made<ClipText>(config);
    const auto states = network->forward(ids, made_up(9005, {2, config.hidden_size}, -0.5, 0.5));
    expect_golden("text." + name + ".last", states.last.slice(1, 0, 8));
    expect_golden("text." + name + ".tail", states.last.select(1, 76));
    expect_golden("text." + name + ".penultimate", states.penultimate.slice(1, 0, 8));
    if (config.projection > 0) {
      expect_golden("text." + name + ".text_embeds", states.text_embeds);
    } else {
      expect_golden("text." + name + ".pooled", states.pooled);
    }
  }
}

TEST(DiffusionNetworks, TransparentNetworksEqualTheirRestatement) {
  const std::vector<std::pair<std::string, std::vector<std::int64_t>>> encoders{
      {"published", {32, 64, 128, 256}}, {"two_levels", {8, 16}}, {"three_levels", {8, 12, 20}}};
  for (const auto& [name, widths] : encoders)
    expect_golden("transparent_encoder." + name,
                  made<TransparentEncoder>(widths, 4)->forward(made_up(9001, {1, 4, 32, 48}, 0, 1)));
  struct Case {
    std::string name;
    TransparentDecoderConfig config;
    std::int64_t height, width;
  };
  const std::vector<Case> decoders{
      {"small", {.widths = {8, 8, 16, 16}, .first_attention = 2, .latent_level = 2}, 32, 32},
      {"not_square",
       {.widths = {8, 16, 16, 32}, .first_attention = 3, .latent_channels = 6, .latent_level = 3},
       24,
       40},
      {"like_published",
       {.widths = {8, 8, 8, 16, 16, 24, 24}, .first_attention = 4, .latent_level = 3},
       64,
       64}};
  test::TemporaryFolder folder;
  for (const auto& each : decoders) {
    const auto network = made<TransparentDecoder>(each.config);
    const auto factor = std::int64_t{1} << each.config.latent_level;
    const auto pixel = made_up(9001, {1, 3, each.height, each.width}, 0, 1);
    const auto latent =
        made_up(9002, {1, each.config.latent_channels, each.height / factor, each.width / factor});
    // Through a file, whose shapes alone tell the layout.
    save_weights(*network, folder / "decoder.safetensors");
    const auto loaded = load_transparent_decoder(folder / "decoder.safetensors", factor);
    freeze(*loaded);
    const auto run = [&](const at::Tensor& p, const at::Tensor& l) { return loaded->forward(p, l); };
    expect_golden("transparent_decoder." + each.name + ".single", run(pixel, latent));
    expect_golden("transparent_decoder." + each.name + ".median", decode_by_votes(run, pixel, latent));
  }
}

TEST(DiffusionNetworks, EightVotesOfAnEquivariantNetworkChangeNothing) {
  const auto pixel = made_up(1, {2, 3, 16, 16}, 0, 1), latent = made_up(2, {2, 4, 2, 2}, 0, 1);
  const auto stub = [](const at::Tensor& p, const at::Tensor& l) {
    const std::vector<std::int64_t> size{p.size(2), p.size(3)};
    return at::cat({at::upsample_nearest2d(l.slice(1, 0, 1), size), p}, 1);
  };
  EXPECT_TRUE(at::equal(decode_by_votes(stub, pixel, latent), stub(pixel, latent)));
}

// Of eight votes the fourth smallest, not the mean of the middle ones.
TEST(DiffusionNetworks, TheMedianOfEightVotesIsTheLowerMiddleOne) {
  int call = 0;
  const auto stub = [&](const at::Tensor& p, const at::Tensor&) {
    return at::full({1, 4, p.size(2), p.size(3)}, 0.1 * ++call);
  };
  const auto median = decode_by_votes(stub, at::zeros({1, 3, 4, 4}), at::zeros({1, 4, 1, 1}));
  EXPECT_NEAR(median[0][0][0][0].item<double>(), 0.4, 1e-6);
}

TEST(DiffusionNetworks, FullSizeModelsHaveThePublishedNamesShapesAndCounts) {
  const auto full =
      nlohmann::json::parse(read_text(DEDA_SOURCE_DIR "/tests/golden/diffusion_networks.json"))["full_size"];
  const auto check = [&](const std::string& name, const torch::nn::Module& network, std::int64_t published) {
    EXPECT_EQ(parameter_count(network), published) << name;
    EXPECT_EQ(full[name]["parameters"].get<std::int64_t>(), published) << name;
    std::string listing;
    for (const auto& [tensor, value] : state_of(network)) {
      std::string shape;
      for (const auto extent : value.sizes()) shape += (shape.empty() ? "" : "x") + std::to_string(extent);
      listing += tensor + " " + shape + "\n";
    }
    EXPECT_EQ(xxhash128_hex(listing), full[name]["names"].get<std::string>()) << name;
  };
  UNetConfig sdxl;
  sdxl.block_out_channels = {320, 640, 1280};
  sdxl.down_attention = {false, true, true};
  sdxl.up_attention = {true, true, false};
  sdxl.cross_attention_dim = 2048;
  sdxl.heads = {5, 10, 20};
  sdxl.depth = {1, 2, 10};
  sdxl.linear_projection = true;
  sdxl.added_time_width = 256;
  sdxl.added_input_width = 2816;
  check("unet_sd15", UNet(UNetConfig{}), 859'520'964);
  check("unet_sdxl", UNet(sdxl), 2'567'463'684);
  check("vae", Autoencoder(AutoencoderConfig{}), 83'653'863);
  check("clip_l", ClipText(ClipTextConfig{}), 123'060'480);
  check("big_g",
        ClipText({.hidden_size = 1280,
                  .layers = 32,
                  .heads = 20,
                  .intermediate_size = 5120,
                  .projection = 1280,
                  .quick_gelu = false}),
        694'659'840);
  check("transparent_encoder", TransparentEncoder(published_transparent_encoder_widths(), 4), 1'181'764);
  check("transparent_decoder", TransparentDecoder(), 104'104'804);
}

}  // namespace
}  // namespace deda::models
