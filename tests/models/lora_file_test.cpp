// LoRA files against diffusers and peft (tests/golden/loras.py), under every kind of names, and a genuine one
// of a third party on the full-size networks it was made for.
#include "models/diffusion/lora_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "core/error.h"
#include "core/files.h"
#include "models/made_up_weights.h"
#include "models/small_unets.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

namespace deda::models {
namespace {

using test::made_up;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path golden = DEDA_SOURCE_DIR "/tests/golden/loras";
constexpr double scale = 0.7;  // of loras.py
constexpr double tolerance_of_scale = 2e-5;

void expect_output(const std::string& name, const at::Tensor& found) {
  static const auto outputs = read_tensors(golden / "outputs.safetensors");
  const auto& expected = outputs.at(name);
  ASSERT_EQ(found.sizes(), expected.sizes()) << name;
  EXPECT_LT((found - expected).abs().max().item<double>(),
            tolerance_of_scale * expected.abs().max().item<double>())
      << name;
}

struct Networks {
  std::shared_ptr<UNet> unet;
  std::shared_ptr<ClipText> text;
  LoraTargets targets() const { return {unet.get(), {text.get()}}; }
};
Networks sd15_networks() {
  Networks networks{std::make_shared<UNet>(test::sd15_like()),
                    std::make_shared<ClipText>(ClipTextConfig{.vocab_size = 100,
                                                              .hidden_size = 32,
                                                              .layers = 3,
                                                              .heads = 4,
                                                              .intermediate_size = 64,
                                                              .eos_token_id = 2})};
  test::fill_made_up(*networks.unet);
  test::fill_made_up(*networks.text);
  freeze(*networks.unet);
  freeze(*networks.text);
  return networks;
}

void expect_diffusers_output(const Networks& networks) {
  expect_output("diffusers.unet", networks.unet->forward(made_up(9001, {2, 4, 12, 10}), at::tensor({400, 37}),
                                                         made_up(9002, {2, 7, 24})));
  expect_output("diffusers.text",
                networks.text->forward(at::tensor({98, 3, 17, 42, 5, 99}).unsqueeze(0)).last);
}

std::string problems_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const DataError& error) {
    std::string text;
    for (const auto& problem : error.problems()) text += to_string(problem) + "\n";
    return text;
  }
  return {};
}

std::string swapped(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(LoraFile, OfDiffusersMergesAsDiffusersComputes) {
  const auto networks = sd15_networks();
  const auto file = read_lora(golden / "diffusers.safetensors");
  EXPECT_EQ(file.naming, LoraNaming::diffusers);
  for (const auto& module : file.modules) EXPECT_EQ(module.alpha, 3) << module.name;
  const auto counts = apply_lora(networks.targets(), file, scale);
  EXPECT_EQ(counts.unet + counts.text_encoders, file.modules.size());
  EXPECT_EQ(counts.text_encoders, 15u);
  expect_diffusers_output(networks);
}

TEST(LoraFile, OfKohyaForSdxlMergesAsDiffusersComputes) {
  UNet unet(test::sdxl_like());
  test::fill_made_up(unet);
  freeze(unet);
  const auto file = read_lora(golden / "kohya_xl.safetensors");
  EXPECT_EQ(file.naming, LoraNaming::kohya);
  EXPECT_EQ(apply_lora({&unet, {}}, file, scale).unet, 20u);
  expect_output("kohya_xl.unet",
                unet.forward(made_up(9001, {2, 4, 8, 14}), at::tensor({400, 37}), made_up(9002, {2, 5, 40}),
                             {made_up(9003, {2, 12}), made_up(9004, {2, 6}, 0, 1024).floor()}));
}

// The same numbers under other programs' names.
TEST(LoraFile, EveryKindOfNamesMeansTheSame) {
  test::TemporaryFolder folder;
  const auto original = read_lora(golden / "diffusers.safetensors");
  const auto try_names = [&](const std::string& kind, LoraNaming naming, const auto& rename, bool with_alpha,
                             const std::map<std::string, std::string>& metadata = {}) {
    NamedTensors tensors;
    for (const auto& module : original.modules) {
      const auto [down, up, alpha] = rename(module);
      tensors[down] = module.down;
      tensors[up] = module.up;
      if (with_alpha) tensors[alpha] = at::full({}, 3.0);
    }
    write_tensors(folder / "x.safetensors", tensors, metadata);
    const auto networks = sd15_networks();
    const auto file = read_lora(folder / "x.safetensors");
    EXPECT_EQ(file.naming, naming) << kind;
    apply_lora(networks.targets(), file, with_alpha || !metadata.empty() ? scale : scale * 3 / 2);
    SCOPED_TRACE(kind);
    expect_diffusers_output(networks);
  };
  using Names = std::array<std::string, 3>;
  try_names(
      "kohya", LoraNaming::kohya,
      [](const LoraModule& m) {
        auto stem = (m.network == "unet" ? "lora_unet_" : "lora_te_") + m.name;
        std::replace(stem.begin(), stem.end(), '.', '_');
        return Names{stem + ".lora_down.weight", stem + ".lora_up.weight", stem + ".alpha"};
      },
      true);
  try_names(
      "old diffusers", LoraNaming::diffusers,
      [](const LoraModule& m) {
        const auto stem = m.network + "." + m.name;
        const std::string middle = m.network == "unet" ? ".lora." : ".lora_linear_layer.";
        return Names{stem + middle + "down.weight", stem + middle + "up.weight", stem + ".alpha"};
      },
      true);
  try_names(
      "attention processors", LoraNaming::diffusers,
      [](const LoraModule& m) {
        auto stem = m.network + "." + m.name;
        const bool attention =
            stem.find(".to_") != std::string::npos || stem.find("self_attn") != std::string::npos;
        for (const std::string which : {"1", "2"})
          stem = swapped(stem, "attn" + which + ".to", "attn" + which + ".processor.to");
        stem = swapped(stem, "to_out.0", "to_out");
        for (const std::string which : {"q", "k", "v", "out"})
          stem = swapped(stem, "self_attn." + which + "_proj", "self_attn.to_" + which);
        stem += attention ? "_lora" : ".lora";
        return Names{stem + ".down.weight", stem + ".up.weight", stem};
      },
      false);
}

TEST(LoraFile, PeftsFolderTellsTheScaleBesideIt) {
  test::TemporaryFolder folder;
  NamedTensors tensors;
  for (const auto& module : read_lora(golden / "diffusers.safetensors").modules) {
    if (module.network != "unet") continue;
    tensors["base_model.model." + module.name + ".lora_A.weight"] = module.down;
    tensors["base_model.model." + module.name + ".lora_B.weight"] = module.up;
  }
  const auto path = folder / "adapter_model.safetensors";
  write_tensors(path, tensors);
  EXPECT_THAT(problems_of([&] { read_lora(path); }), HasSubstr("adapter_config.json"));
  write_atomically(folder / "adapter_config.json",
                   R"({"r": 2, "lora_alpha": 3, "use_rslora": true, "alpha_pattern": {"conv_out": 5}})");
  for (const auto& module : read_lora(path).modules)
    EXPECT_NEAR(module.alpha, (module.name == "conv_out" ? 5 : 3) * std::sqrt(2), 1e-12) << module.name;
  write_atomically(folder / "adapter_config.json", R"({"use_dora": true})");
  EXPECT_THAT(problems_of([&] { read_lora(path); }), HasSubstr("DoRA"));
}

TEST(LoraFile, IsWrittenAgainWithoutLoss) {
  test::TemporaryFolder folder;
  for (const std::string name : {"diffusers.safetensors", "kohya_xl.safetensors"}) {
    const auto file = read_lora(golden / name);
    write_lora(folder / "a.safetensors", file);
    const auto again = read_lora(folder / "a.safetensors");
    EXPECT_EQ(again.metadata, file.metadata);
    ASSERT_EQ(again.tensors.size(), file.tensors.size());
    for (const auto& [key, tensor] : file.tensors) {
      EXPECT_EQ(again.tensors.at(key).scalar_type(), tensor.scalar_type());
      EXPECT_TRUE(again.tensors.at(key).equal(tensor)) << key;
    }
    write_lora(folder / "b.safetensors", again);
    EXPECT_EQ(read_bytes(folder / "a.safetensors"), read_bytes(folder / "b.safetensors"));
  }
}

// Full size: 3.4 GB of weights that are never touched, except for the matrices that change.
TEST(LoraFile, AGenuineOneFitsTheFullSizeNetworksAndIsSavedWithoutLoss) {
  const auto path = test::test_data() / "weights" / "lora" / "lora_disney.safetensors";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is not here";
  const auto file = read_lora(path);
  EXPECT_EQ(file.naming, LoraNaming::by_index);
  EXPECT_EQ(file.tensors.size(), 386u);
  EXPECT_EQ(file.modules.size(), 192u);
  EXPECT_EQ(file.embeddings.size(), 2u);
  EXPECT_EQ(file.embeddings.at("<s1>").numel(), 768);

  UNet unet{UNetConfig{}};
  ClipText text{ClipTextConfig{}};
  freeze(unet);
  freeze(text);
  const auto state = state_of(unet), text_state = state_of(text);
  const std::string last_of_all = "mid_block.attentions.0.transformer_blocks.0.";
  const std::map<std::string, std::string> watched{
      {"unet:0", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"},
      {"unet:4", "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj"},
      {"unet:6", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"},
      {"unet:54", "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"},
      {"unet:139", last_of_all + "ff.net.0.proj"},
      {"unet:143", last_of_all + "attn2.to_out.0"},
      {"text_encoder:0", "text_model.encoder.layers.0.self_attn.k_proj"},
      {"text_encoder:46", "text_model.encoder.layers.11.self_attn.q_proj"}};
  const auto weight_of = [&](const std::string& key) {
    return (key[0] == 'u' ? state : text_state).at(watched.at(key) + ".weight");
  };
  // All matrices that change begin as zeros: what is added shows alone.
  for (const auto* each : {&state, &text_state}) {
    for (const auto& [name, tensor] : *each) {
      const bool changes =
          name.find("attn") != std::string::npos || name.find("ff.net.0.proj") != std::string::npos;
      if (changes && tensor.dim() == 2) at::Tensor(tensor).zero_();
    }
  }
  const auto counts = apply_lora({&unet, {&text}}, file, scale);
  EXPECT_EQ(counts.unet, 144u);
  EXPECT_EQ(counts.text_encoders, 48u);
  for (const auto& [key, module] : watched) {
    const auto expected = scale * file.tensors.at(key + ":up").mm(file.tensors.at(key + ":down"));
    EXPECT_GT(expected.abs().max().item<double>(), 0) << key;
    EXPECT_LT((weight_of(key) - expected).abs().max().item<double>(), 1e-7) << key;
  }

  test::TemporaryFolder folder;
  write_lora(folder / "again.safetensors", file);
  const auto again = read_lora(folder / "again.safetensors");
  EXPECT_EQ(again.metadata, file.metadata);
  ASSERT_EQ(again.tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) EXPECT_TRUE(again.tensors.at(name).equal(tensor)) << name;
}

TEST(LoraFile, WhatIsNoPlainLoraIsNamedAndAllOfItTold) {
  test::TemporaryFolder folder;
  const auto told = [&](const NamedTensors& tensors) {
    write_tensors(folder / "x.safetensors", tensors);
    return problems_of([&] { read_lora(folder / "x.safetensors"); });
  };
  const auto down = at::zeros({2, 8}), up = at::zeros({8, 2});
  const std::string q = "lora_unet_mid_to_q", k = "lora_unet_mid_to_k";
  EXPECT_THAT(told({{q + ".hada_w1_a", down}}), HasSubstr("is of LoHa"));
  EXPECT_THAT(told({{q + ".lora_down.weight", down}, {q + ".lora_up.weight", up}, {q + ".dora_scale", up}}),
              HasSubstr("is of DoRA"));
  EXPECT_THAT(told({{"<bird>", down}}), HasSubstr("tensor <bird> [2, 8] is not part of a LoRA"));
  EXPECT_THAT(told({}), HasSubstr("holds no LoRA weights"));
  EXPECT_THAT(told({{"transformer.x.lora_A.weight", down}, {"transformer.x.lora_B.weight", up}}),
              HasSubstr("of no network that is known here"));
  const auto both =
      told({{q + ".lora_down.weight", down}, {k + ".lora_down.weight", down}, {k + ".lora_up.weight", down}});
  EXPECT_THAT(both, HasSubstr(q + " lacks its up half"));
  EXPECT_THAT(both, HasSubstr(k + " has halves [2, 8] and [2, 8], which do not multiply"));
  EXPECT_THAT(told({{q + ".lora_down.weight", at::full({2, 8}, std::numeric_limits<float>::quiet_NaN())},
                    {q + ".lora_up.weight", up}}),
              HasSubstr("not a number"));
}

TEST(LoraFile, OfAnotherModelIsToldAndChangesNothing) {
  test::TemporaryFolder folder;
  const auto networks = sd15_networks();
  const auto before = state_of(*sd15_networks().unet);
  auto tensors = read_tensors(golden / "diffusers.safetensors");
  const std::string block = "unet.mid_block.attentions.0.transformer_blocks.0.";
  tensors[block + "attn1.to_qq.lora_A.weight"] = at::zeros({2, 64});
  tensors[block + "attn1.to_qq.lora_B.weight"] = at::zeros({64, 2});
  tensors[block + "attn1.to_q.lora_A.weight"] = at::zeros({2, 99});
  tensors["text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight"] = at::zeros({2, 32});
  tensors["text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj.lora_B.weight"] = at::zeros({32, 2});
  write_tensors(folder / "x.safetensors", tensors);
  const auto problems =
      problems_of([&] { apply_lora(networks.targets(), read_lora(folder / "x.safetensors")); });
  EXPECT_THAT(problems, HasSubstr("to_qq is not part of the network"));
  EXPECT_THAT(problems, HasSubstr("changes a matrix [64, 99], the network's is [64, 64]"));
  EXPECT_THAT(problems, HasSubstr("the model has no such network"));
  for (const auto& [name, tensor] : state_of(*networks.unet))
    EXPECT_TRUE(tensor.equal(before.at(name))) << name;
}

}  // namespace
}  // namespace deda::models
