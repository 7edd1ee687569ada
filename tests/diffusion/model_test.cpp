// Model folders: whole ones load, and whatever is wrong with one is told before any work, all of it at once.
#include "diffusion/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <fstream>
#include <functional>
#include <limits>

#include "core/error.h"
#include "support/temporary_folder.h"
#include "support/tiny_diffusion_model.h"

namespace deda::diffusion {
namespace {

using test::TinyLayout;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

ModelsConfig config_of(const fs::path& folder) {
  ModelsConfig config;
  config.base = folder;
  return config;
}

DiffusionModel load(const ModelsConfig& config, UNetWeights weights = UNetWeights::merged) {
  return DiffusionModel(config, at::kCPU, weights);
}

// All problems of one DataError, one a line; "" when the model loads.
std::string problems_of(const ModelsConfig& config) {
  try {
    load(config);
  } catch (const DataError& error) {
    std::string text;
    for (const auto& problem : error.problems()) text += to_string(problem) + "\n";
    return text;
  }
  return {};
}

nlohmann::json json_of(const fs::path& file) {
  return nlohmann::json::parse(read_text(file));
}

void change_json(const fs::path& file, const std::string& key, const nlohmann::json& value) {
  auto json = json_of(file);
  json[key] = value;
  write_atomically(file, json.dump(1));
}

void change_tensors(const fs::path& file, const std::function<void(models::NamedTensors&)>& change) {
  auto tensors = models::read_tensors(file);
  change(tensors);
  models::write_tensors(file, tensors);
}

class ModelFolder : public ::testing::TestWithParam<TinyLayout> {
 protected:
  ModelFolder() { test::write_tiny_diffusion_model(folder_.path(), {.layout = GetParam()}); }
  fs::path operator()(const std::string& part) const { return folder_.path() / part; }
  ModelsConfig config() const { return config_of(folder_.path()); }
  bool sdxl() const { return GetParam() == TinyLayout::sdxl; }
  test::TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Layouts, ModelFolder, ::testing::Values(TinyLayout::sd15, TinyLayout::sdxl),
                         [](const auto& layout) {
                           return layout.param == TinyLayout::sdxl ? "sdxl" : "sd15";
                         });

TEST_P(ModelFolder, LoadsAndComputes) {
  const auto model = load(config());
  EXPECT_EQ(model.is_sdxl(), sdxl());
  EXPECT_EQ(model.zeros_for_empty_prompt, sdxl());
  EXPECT_EQ(model.factor(), 4);
  EXPECT_EQ(model.default_resolution(), 32);
  EXPECT_EQ(model.unet_dtype, at::kFloat);
  ASSERT_EQ(model.tokenizers.size(), sdxl() ? 2u : 1u);
  EXPECT_EQ(model.tokenizers[0].pad_id(), model.tokenizers[0].end_id());
  if (sdxl()) {
    EXPECT_EQ(model.tokenizers[1].pad_id(), 0);
  }
  const auto text =
      model.encode_text(model.ids_of(model.tokenizers, {"a photo of a bird", "a photo of a cat"}));
  EXPECT_EQ(text.states.sizes(), (std::vector<std::int64_t>{2, 77, sdxl() ? 40 : 16}));
  EXPECT_EQ(text.pooled.defined(), sdxl());
  const auto added = model.added_conditions(sdxl() ? text.pooled : at::zeros({2, 1}), 32);
  const auto out = model.unet->forward(torch::randn({2, 4, 8, 8}), at::tensor({400, 3}), text.states, added);
  EXPECT_EQ(out.sizes(), (std::vector<std::int64_t>{2, 4, 8, 8}));
  EXPECT_TRUE(at::isfinite(out).all().item<bool>());
  EXPECT_GT(out.std().item<double>(), 1e-3);
  for (const auto& parameter : model.unet->parameters()) EXPECT_FALSE(parameter.requires_grad());
}

TEST_P(ModelFolder, AnEmptyPromptIsZerosForSdxlAlone) {
  const auto model = load(config());
  const auto empty = model.unconditional("");
  EXPECT_EQ(empty.states.abs().max().item<double>() == 0, sdxl());
  if (sdxl()) {
    EXPECT_EQ(empty.pooled.abs().max().item<double>(), 0);
  }
  EXPECT_GT(model.unconditional("a dog").states.abs().max().item<double>(), 0);
  if (!sdxl()) return;
  change_json(folder_ / "model_index.json", "force_zeros_for_empty_prompt", false);
  EXPECT_GT(load(config()).unconditional("").states.abs().max().item<double>(), 0);
}

TEST_P(ModelFolder, HalfPrecisionAndShardsLoadTheSameWeights) {
  const auto whole = load(config());
  // Into two shards with an index, as large models are published.
  const auto file = (*this)("unet/diffusion_pytorch_model.safetensors");
  const std::vector<std::string> shards{"diffusion_pytorch_model-00001-of-00002.safetensors",
                                        "diffusion_pytorch_model-00002-of-00002.safetensors"};
  std::vector<models::NamedTensors> halves(shards.size());
  nlohmann::json index{{"metadata", {{"total_size", 0}}}};
  for (const auto& [name, tensor] : models::read_tensors(file)) {
    const std::size_t which = name < "mid" ? 0 : 1;
    halves[which].emplace(name, tensor);
    index["weight_map"][name] = shards[which];
  }
  for (std::size_t i = 0; i < shards.size(); ++i)
    models::write_tensors((*this)("unet/" + shards[i]), halves[i]);
  write_atomically((*this)("unet/diffusion_pytorch_model.safetensors.index.json"), index.dump());
  fs::remove(file);
  // And the autoencoder as the half-precision variant.
  const auto vae = (*this)("vae/diffusion_pytorch_model.safetensors");
  change_tensors(vae, [](auto& tensors) {
    for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kHalf);
  });
  fs::rename(vae, (*this)("vae/diffusion_pytorch_model.fp16.safetensors"));
  auto with_bf16 = config();
  with_bf16.precision = Precision::bf16;
  const auto again = load(with_bf16);
  EXPECT_EQ(again.unet_dtype, at::kBFloat16);
  EXPECT_EQ(again.vae_dtype, at::kFloat);
  EXPECT_NE(again.identity, whole.identity);
  const auto state = models::state_of(*whole.unet), state_again = models::state_of(*again.unet);
  for (const auto& [name, tensor] : state)
    EXPECT_TRUE(tensor.to(at::kBFloat16).equal(state_again.at(name))) << name;
}

TEST_P(ModelFolder, LayerDiffuseIsMergedUnlessThePlainUNetIsAskedFor) {
  test::write_tiny_layer_diffuse(folder_ / "layer.safetensors", {.layout = GetParam()});
  auto with = config();
  with.layer_diffuse = folder_ / "layer.safetensors";
  const auto plain = load(config()), merged = load(with), asked = load(with, UNetWeights::plain);
  const auto offsets = models::read_tensors(with.layer_diffuse);
  ASSERT_FALSE(offsets.empty());
  const auto state = models::state_of(*plain.unet), changed = models::state_of(*merged.unet);
  for (const auto& [name, tensor] : state) {
    const auto expected = offsets.count(name) ? tensor + offsets.at(name) : tensor;
    EXPECT_TRUE(expected.equal(changed.at(name))) << name;
  }
  EXPECT_TRUE(
      models::state_of(*asked.unet).at(offsets.begin()->first).equal(state.at(offsets.begin()->first)));
  EXPECT_NE(plain.identity, merged.identity);
  EXPECT_EQ(plain.identity, asked.identity);
}

// Offsets far below bf16's steps must not vanish one by one: the sum is rounded once.
TEST_P(ModelFolder, WhatIsMergedIsRoundedOnce) {
  test::write_tiny_layer_diffuse(folder_ / "layer.safetensors", {.layout = GetParam()});
  change_tensors(folder_ / "layer.safetensors", [](auto& tensors) {
    for (auto& [name, tensor] : tensors) tensor = 0.002 * tensor;
  });
  auto with = config();
  with.layer_diffuse = folder_ / "layer.safetensors";
  const auto exact = models::state_of(*load(with).unet);
  with.precision = Precision::bf16;
  const auto rounded = load(with);
  EXPECT_EQ(rounded.unet_dtype, at::kBFloat16);
  for (const auto& [name, tensor] : models::state_of(*rounded.unet))
    EXPECT_TRUE(tensor.equal(exact.at(name).to(at::kBFloat16))) << name;
}

// A LoRA of rank 1 for one matrix of the UNet and one of the text encoder.
void write_small_lora(const fs::path& file, const models::UNet& unet) {
  const std::string module = unet.attention_sites().front().block + ".attn1.to_q";
  const auto width = models::state_of(unet).at(module + ".weight").size(0), text = test::tiny_text_width;
  const std::string words = "text_encoder.text_model.encoder.layers.1.mlp.fc1";
  models::write_tensors(file, {{"unet." + module + ".lora_A.weight", at::full({1, width}, 0.5)},
                               {"unet." + module + ".lora_B.weight", at::full({width, 1}, 0.25)},
                               {words + ".lora_A.weight", at::full({1, text}, 0.5)},
                               {words + ".lora_B.weight", at::full({2 * text, 1}, 0.25)}});
}

TEST_P(ModelFolder, LorasAreAddedAtTheirScaleAndAreKnownByContent) {
  const auto plain = load(config());
  write_small_lora(folder_ / "small=1.safetensors", *plain.unet);
  auto with = config();
  with.lora = {(folder_ / "small=1.safetensors").string() + "=0.5",
               (folder_ / "small=1.safetensors").string()};
  const auto choices = lora_choices(with);
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[0].scale, 0.5);
  EXPECT_EQ(choices[1].scale, 1);
  EXPECT_EQ(choices[1].file, folder_ / "small=1.safetensors");
  const auto merged = load(with);
  const std::string q = plain.unet->attention_sites().front().block + ".attn1.to_q.weight";
  const std::string fc1 = "text_model.encoder.layers.1.mlp.fc1.weight";
  const auto change = [&](const torch::nn::Module& before, const torch::nn::Module& after,
                          const std::string& name) {
    return (models::state_of(after).at(name) - models::state_of(before).at(name) - 1.5 * 0.125)
        .abs()
        .max()
        .item<double>();
  };
  EXPECT_LT(change(*plain.unet, *merged.unet, q), 1e-6);
  EXPECT_LT(change(*plain.text_encoders[0], *merged.text_encoders[0], fc1), 1e-6);
  EXPECT_THAT(merged.lines, ::testing::Contains(HasSubstr("1 matrices of the UNet, 1 of the text encoders")));
  auto other_scale = with;
  other_scale.lora[0] = (folder_ / "small=1.safetensors").string() + "=0.25";
  EXPECT_NE(model_identity(with), plain.identity);
  EXPECT_NE(model_identity(with), model_identity(other_scale));
  fs::rename(folder_ / "small=1.safetensors", folder_ / "other.safetensors");
  EXPECT_THAT(problems_of(with), HasSubstr("Set models.lora"));
}

// --- What is wrong with a folder
// ---------------------------------------------------------------------------------

struct Damage {
  std::string name;
  std::function<void(const fs::path& folder)> done;
  std::vector<std::string> told;
};

const std::vector<Damage>& damages() {
  static const std::vector<Damage> list{
      {"missing_unet",
       [](const fs::path& f) { fs::remove(f / "unet/diffusion_pytorch_model.safetensors"); },
       {"unet", "has no diffusion_pytorch_model.safetensors", "README, \"Weights\""}},
      {"missing_config", [](const fs::path& f) { fs::remove(f / "vae/config.json"); }, {"vae/config.json"}},
      {"only_bin",
       [](const fs::path& f) {
         fs::rename(f / "unet/diffusion_pytorch_model.safetensors", f / "unet/diffusion_pytorch_model.bin");
       },
       {"holds diffusion_pytorch_model.bin only", ".safetensors file of the same model"}},
      {"missing_tensor",
       [](const fs::path& f) {
         change_tensors(f / "vae/diffusion_pytorch_model.safetensors", [](auto& t) {
           t.erase("quant_conv.bias");
           t.erase("encoder.conv_in.weight");
         });
       },
       {"quant_conv.bias", "encoder.conv_in.weight", "is missing"}},
      {"surplus_tensor",
       [](const fs::path& f) {
         change_tensors(f / "unet/diffusion_pytorch_model.safetensors", [](auto& t) {
           t["conv_inn.weight"] = at::zeros({1, 2});
         });
       },
       {"tensor conv_inn.weight [1, 2] is not part of the network"}},
      {"wrong_shape",
       [](const fs::path& f) {
         change_tensors(f / "unet/diffusion_pytorch_model.safetensors",
                        [](auto& t) { t["conv_in.bias"] = at::zeros({3}); });
       },
       {"tensor conv_in.bias has shape [3], the network needs [16]"}},
      {"not_finite",
       [](const fs::path& f) {
         change_tensors(f / "text_encoder/model.safetensors", [](auto& t) {
           t["text_model.final_layer_norm.bias"][2] = std::numeric_limits<float>::quiet_NaN();
         });
       },
       {"text_model.final_layer_norm.bias", "The file is damaged"}},
      {"truncated",
       [](const fs::path& f) {
         const auto file = f / "vae/diffusion_pytorch_model.safetensors";
         fs::resize_file(file, fs::file_size(file) / 2);
       },
       {"vae/diffusion_pytorch_model.safetensors"}},
      {"empty_file",
       [](const fs::path& f) { fs::resize_file(f / "text_encoder/model.safetensors", 0); },
       {"text_encoder/model.safetensors"}},
      {"missing_shard",
       [](const fs::path& f) {
         fs::remove(f / "unet/diffusion_pytorch_model.safetensors");
         write_atomically(
             f / "unet/diffusion_pytorch_model.safetensors.index.json",
             R"({"weight_map": {"conv_in.bias": "one.safetensors", "conv_in.weight": "../two.safetensors"}})");
       },
       {"one.safetensors", "../two.safetensors, which is no plain file name"}},
      {"config_of_another_part",
       [](const fs::path& f) {
         fs::copy_file(f / "vae/config.json", f / "unet/config.json", fs::copy_options::overwrite_existing);
       },
       {"unet/config.json", "AutoencoderKL"}},
      {"config_of_another_size",
       [](const fs::path& f) {
         change_json(f / "unet/config.json", "block_out_channels", {16, 24});
       },
       {"the network needs"}},
      {"unsupported_block",
       [](const fs::path& f) {
         change_json(f / "unet/config.json", "down_block_types", {"SkipDownBlock2D", "Down"});
       },
       {"SkipDownBlock2D"}},
      {"unknown_scheduler",
       [](const fs::path& f) {
         change_json(f / "scheduler/scheduler_config.json", "_class_name", "FlowMatchEulerDiscreteScheduler");
       },
       {"scheduler_config.json", "FlowMatchEulerDiscreteScheduler"}},
      {"broken_json",
       [](const fs::path& f) {
         write_atomically(f / "scheduler/scheduler_config.json", "{\"beta_start\": ");
       },
       {"scheduler_config.json"}},
      {"another_tokenizer",
       [](const fs::path& f) {
         models::write_word_tokenizer(f / "tokenizer", {"other", "words"}, 77);
       },
       {"tokenizer 1 has", "The parts are of different models."}},
      {"broken_vocabulary",
       [](const fs::path& f) { write_atomically(f / "tokenizer/vocab.json", "[1, 2"); },
       {"tokenizer/vocab.json"}},
      {"missing_merges",
       [](const fs::path& f) { fs::remove(f / "tokenizer/merges.txt"); },
       {"tokenizer/merges.txt"}},
      {"missing_transparent_encoder",
       [](const fs::path& f) { fs::remove(f / "transparent_encoder.safetensors"); },
       {"models.transparent_encoder", "there is no such file"}},
      {"exchanged_transparent_networks",
       [](const fs::path& f) {
         fs::rename(f / "transparent_encoder.safetensors", f / "x");
         fs::rename(f / "transparent_decoder.safetensors", f / "transparent_encoder.safetensors");
         fs::rename(f / "x", f / "transparent_decoder.safetensors");
       },
       {"is no transparent encoder", "is no transparent decoder"}},
      {"transparent_encoder_of_another_factor",
       [](const fs::path& f) {
         models::TransparentEncoder other({8, 16}, 4);
         test::write_tiny_network(f / "transparent_encoder.safetensors", other, 3);
       },
       {"shrinks 2 times, the autoencoder 4 times"}},
      {"other_text_width",
       [](const fs::path& f) {
         change_json(f / "text_encoder/config.json", "hidden_size", 32);
         const auto config = models::read_clip_text_config(f / "text_encoder/config.json");
         models::ClipText other(config);
         test::write_tiny_network(f / "text_encoder/model.safetensors", other, 3);
       },
       {"the UNet takes texts of width"}},
  };
  return list;
}

TEST_P(ModelFolder, EveryDamageIsTold) {
  for (const auto& damage : damages()) {
    test::TemporaryFolder copy;
    fs::copy(folder_.path(), copy.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    damage.done(copy.path());
    const auto problems = problems_of(config_of(copy.path()));
    EXPECT_NE(problems, "") << damage.name;
    for (const auto& told : damage.told) EXPECT_THAT(problems, HasSubstr(told)) << damage.name;
  }
}

// One message names them all, whatever part they are in.
TEST_P(ModelFolder, EverythingThatIsWrongIsInOneMessage) {
  const std::vector<std::string> together{"missing_tensor", "wrong_shape",    "unknown_scheduler",
                                          "not_finite",     "missing_merges", "missing_transparent_encoder"};
  std::size_t done = 0;
  for (const auto& damage : damages()) {
    if (std::find(together.begin(), together.end(), damage.name) == together.end()) continue;
    damage.done(folder_.path());
    ++done;
  }
  ASSERT_EQ(done, together.size());
  const auto problems = problems_of(config());
  for (const auto& damage : damages()) {
    if (std::find(together.begin(), together.end(), damage.name) == together.end()) continue;
    for (const auto& told : damage.told) EXPECT_THAT(problems, HasSubstr(told)) << damage.name;
  }
}

TEST_P(ModelFolder, NumbersThatHalfPrecisionCannotHoldAreTold) {
  change_tensors((*this)("unet/diffusion_pytorch_model.safetensors"),
                 [](auto& tensors) { tensors["conv_in.weight"][0][0][0][0] = 1e6; });
  auto half = config();
  half.precision = Precision::fp16;
  EXPECT_THAT(problems_of(half), HasSubstr("tensor conv_in.weight holds numbers that Half cannot"));
  EXPECT_EQ(problems_of(config()), "");
  half.precision = Precision::automatic;
  half.vae_precision = Precision::fp16;
  EXPECT_EQ(problems_of(half) != "", sdxl());  // its autoencoder says force_upcast
}

TEST(Models, SdxlWithoutItsSecondTextEncoderIsTold) {
  test::TemporaryFolder folder;
  test::write_tiny_diffusion_model(folder.path(), {.layout = TinyLayout::sdxl});
  change_json(folder / "text_encoder_2/config.json", "architectures", {"CLIPTextModel"});
  EXPECT_THAT(problems_of(config_of(folder.path())), HasSubstr("tensor text_projection.weight"));
  change_tensors(folder / "text_encoder_2/model.safetensors",
                 [](auto& tensors) { tensors.erase("text_projection.weight"); });
  EXPECT_THAT(problems_of(config_of(folder.path())),
              HasSubstr("pooled text of width 24, the last text encoder gives none"));
  fs::remove_all(folder / "text_encoder_2");
  EXPECT_THAT(problems_of(config_of(folder.path())), HasSubstr("text_encoder_2"));
  fs::remove_all(folder / "tokenizer_2");
  EXPECT_THAT(problems_of(config_of(folder.path())), HasSubstr("SDXL needs text_encoder_2"));
}

TEST(Models, AFolderThatIsNotThereOrEmptyIsTold) {
  test::TemporaryFolder empty;
  EXPECT_THAT(problems_of(config_of(empty / "nothing")), HasSubstr("there is no model folder"));
  const auto problems = problems_of(config_of(empty.path()));
  for (const std::string part :
       {"scheduler_config.json", "vocab.json", "text_encoder", "unet", "vae", "transparent_decoder"})
    EXPECT_THAT(problems, HasSubstr(part));
}

TEST(Models, TheIdentityChangesWithAnyFile) {
  test::TemporaryFolder folder;
  test::write_tiny_diffusion_model(folder.path());
  const auto before = load(config_of(folder.path())).identity;
  EXPECT_EQ(load(config_of(folder.path())).identity, before);
  for (const std::string file : {"unet/diffusion_pytorch_model.safetensors",
                                 "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors",
                                 "transparent_encoder.safetensors", "transparent_decoder.safetensors"}) {
    const auto bytes = read_bytes(folder / file);
    change_tensors(folder / file, [](auto& tensors) { tensors.begin()->second.view(-1)[0] += 1; });
    EXPECT_NE(load(config_of(folder.path())).identity, before) << file;
    write_atomically(folder / file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  EXPECT_EQ(load(config_of(folder.path())).identity, before);
}

}  // namespace
}  // namespace deda::diffusion
