// LoRA beside a UNet's attention against diffusers and peft (tests/golden/lora_tuning.py): what it computes,
// its gradients, how it learns, and files both ways.
#include "models/diffusion/lora_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "models/made_up_weights.h"
#include "models/small_unets.h"
#include "support/temporary_folder.h"

namespace deda::models {
namespace {

using test::made_up;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path golden = DEDA_SOURCE_DIR "/tests/golden/lora_tuning";
constexpr std::uint64_t first_matrix = 60000;  // of lora_tuning.py
constexpr std::int64_t samples = 8;

struct Case {
  std::string name;
  UNetConfig config;
  std::int64_t rank;
  double alpha;
  std::vector<std::int64_t> shape;  // of the input
  std::int64_t tokens;
};
std::vector<Case> cases() {
  return {{"sd15_like", test::sd15_like(), 4, 4, {2, 4, 12, 10}, 7},
          {"sdxl_like", test::sdxl_like(), 2, 6, {2, 4, 8, 14}, 5},
          {"eight_channels", test::eight_channels(), 3, 1, {1, 8, 16, 24}, 9}};
}
Case eight_channels() {
  return cases().back();
}

std::shared_ptr<UNet> base_of(const Case& each) {
  auto unet = std::make_shared<UNet>(each.config);
  test::fill_made_up(*unet);
  freeze(*unet);
  return unet;
}

at::Tensor run(const UNet& unet, const Case& each) {
  UNet::Added added;
  if (each.config.added_time_width > 0)
    added = {made_up(9003, {each.shape[0], 12}), made_up(9004, {each.shape[0], 6}, 0, 1024).floor()};
  return unet.forward(made_up(9001, each.shape), at::tensor({400, 37}).slice(0, 0, each.shape[0]),
                      made_up(9002, {each.shape[0], each.tokens, each.config.cross_attention_dim}), added);
}

// "X.attn1.processor.to_q_lora.down.weight" is peft's "X.attn1.to_q.lora_A.default.weight".
std::string peft_name_of(std::string name) {
  const auto replace = [&](const std::string& from, const std::string& to) {
    if (const auto at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  };
  replace(".processor.", ".");
  replace("to_out_lora", "to_out.0_lora");
  replace("_lora.down.weight", ".lora_A.default.weight");
  replace("_lora.up.weight", ".lora_B.default.weight");
  return name;
}

// In the order of peft's names.
std::vector<LoraMatrix> in_golden_order(const LoraLayers& layers) {
  auto matrices = layers.matrices();
  std::sort(matrices.begin(), matrices.end(),
            [](const auto& a, const auto& b) { return peft_name_of(a.name) < peft_name_of(b.name); });
  return matrices;
}

void fill_as_golden(const LoraLayers& layers) {
  torch::NoGradGuard no_gradients;
  std::uint64_t index = first_matrix;
  for (auto& matrix : in_golden_order(layers))
    matrix.value.copy_(made_up(index++, matrix.value.sizes(), -0.3, 0.3));
}

at::Tensor digest(const at::Tensor& tensor) {
  const auto flat = tensor.detach().flatten();
  std::vector<at::Tensor> numbers{flat.to(at::kDouble).norm().to(at::kFloat)};
  for (std::int64_t i = 0; i < samples; ++i) numbers.push_back(flat[i * (flat.numel() - 1) / (samples - 1)]);
  return at::stack(numbers);
}
at::Tensor digests(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> rows;
  for (const auto& tensor : tensors) rows.push_back(digest(tensor));
  return at::stack(rows);
}

// The largest difference over the largest number.
double deviation(const at::Tensor& found, const at::Tensor& expected) {
  return ((found.detach() - expected).abs().max() / expected.abs().max()).item<double>();
}

std::string problems_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    std::string text;
    for (const auto& problem : error.problems()) text += to_string(problem) + "\n";
    return text;
  }
  return {};
}

class AgainstPeft : public ::testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Configurations, AgainstPeft, ::testing::Values(0, 1, 2),
                         [](const auto& each) { return cases()[each.param].name; });

// Both are float32 sums in other orders: 1e-5 of the largest number for one pass. AdamW
// divides by the root of the second moment, which carries a gradient's rounding into the matrices: 2e-4 after
// ten steps of 1e-2.
TEST_P(AgainstPeft, ForwardBackwardAndTenStepsAreTheSame) {
  const auto each = cases()[GetParam()];
  const auto expected = read_tensors(golden / "digests.safetensors");
  const auto of = [&](const std::string& what) { return expected.at(each.name + "." + what); };
  const auto unet = base_of(each);
  LoraLayers layers(*unet, {.rank = each.rank, .alpha = each.alpha});
  fill_as_golden(layers);
  std::vector<at::Tensor> parameters;
  for (const auto& matrix : in_golden_order(layers)) parameters.push_back(matrix.value);
  ASSERT_EQ(static_cast<std::int64_t>(parameters.size()), of("gradients").size(0));
  torch::optim::AdamW optimizer(parameters, torch::optim::AdamWOptions(1e-2).weight_decay(1e-2));
  constexpr int steps = 10;
  for (int step = 0; step < steps; ++step) {
    const auto output = run(*unet, each);
    const auto loss = at::mse_loss(output, made_up(9005, output.sizes()));
    const auto gradients = torch::autograd::grad({loss}, parameters);
    if (step == 0) {
      EXPECT_LT(deviation(output, of("output")), 1e-5);
      EXPECT_LT(deviation(loss.reshape({1}), of("loss")), 1e-5);
      EXPECT_LT(deviation(digests(gradients), of("gradients")), 1e-5);
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].mutable_grad() = gradients[i];
    optimizer.step();
  }
  EXPECT_LT(deviation(digests(parameters), of("matrices_after")), 2e-4);
  torch::NoGradGuard no_gradients;
  const auto after = run(*unet, each);
  EXPECT_LT(deviation(after, of("output_after")), 2e-4);
  EXPECT_GT(deviation(after, of("output")), 0.05) << "it did learn";
  for (const auto& parameter : unet->parameters()) EXPECT_FALSE(parameter.requires_grad());
}

TEST(LoraLayers, FreshOnesChangeNothingAndDependOnSeedAndNameAlone) {
  const auto each = cases().front();
  const auto unet = base_of(each);
  torch::NoGradGuard no_gradients;
  const auto before = run(*unet, each);
  at::Tensor values;
  {
    const LoraLayers layers(*unet, {.rank = 10, .seed = 7});
    EXPECT_TRUE(run(*unet, each).equal(before));
    values = layers.values().clone();
    std::vector<at::Tensor> downs;
    for (const auto& matrix : layers.matrices()) {
      if (matrix.name.find(".down.") == std::string::npos) {
        EXPECT_EQ(matrix.value.abs().max().item<double>(), 0) << matrix.name;
      } else {
        downs.push_back(matrix.value.flatten());
      }
    }
    const auto all = at::cat(downs).to(at::kDouble);
    // Some 38,000 numbers: a deviation estimated from so many is right to 0.4 %.
    EXPECT_NEAR(all.std().item<double>() * 10, 1, 0.01);
    EXPECT_NEAR(all.mean().item<double>(), 0, 0.002);
    EXPECT_EQ(layers.alpha(), 10);
  }
  EXPECT_TRUE(run(*unet, each).equal(before)) << "detached again";
  EXPECT_TRUE(LoraLayers(*unet, {.rank = 10, .seed = 7}).values().equal(values));
  EXPECT_FALSE(LoraLayers(*unet, {.rank = 10, .seed = 8}).values().equal(values));
  // A matrix of a UNet with more blocks has the same numbers.
  auto larger = each.config;
  larger.layers_per_block = 3;
  UNet other(larger);
  const LoraLayers of_other(other, {.rank = 10, .seed = 7});
  const LoraLayers of_unet(*unet, {.rank = 10, .seed = 7});
  ASSERT_GT(of_other.matrices().size(), of_unet.matrices().size());
  const auto& name = of_unet.matrices().front().name;
  const auto found = std::find_if(of_other.matrices().begin(), of_other.matrices().end(),
                                  [&](const auto& matrix) { return matrix.name == name; });
  ASSERT_NE(found, of_other.matrices().end());
  EXPECT_TRUE(found->value.equal(of_unet.matrices().front().value));
}

TEST(LoraLayers, MatricesAreViewsOfOnePiece) {
  const auto each = eight_channels();
  const auto unet = base_of(each);
  const LoraLayers layers(*unet, {.rank = 3, .alpha = 1});
  std::int64_t count = 0;
  std::set<std::string> names;
  for (const auto& matrix : layers.matrices()) {
    count += matrix.value.numel();
    names.insert(matrix.name);
    EXPECT_TRUE(matrix.value.requires_grad() && matrix.value.is_leaf()) << matrix.name;
  }
  EXPECT_EQ(count, layers.values().numel());
  EXPECT_EQ(names.size(), layers.matrices().size());
  EXPECT_EQ(names.count("mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.up.weight"),
            1u);
  torch::NoGradGuard no_gradients;
  const auto before = run(*unet, each);
  layers.values().add_(0.1);
  EXPECT_GT(deviation(run(*unet, each), before), 1e-3) << "the UNet sees what the optimizer changes";
}

// The program's own files: bytes as kept, so that what Python was shown (lora_tuning.py check) is what is
// written today.
TEST(LoraLayers, FilesAreWrittenAsKeptAndMergedGiveTheSameOutput) {
  test::TemporaryFolder folder;
  const auto each = eight_channels();
  const auto unet = base_of(each);
  at::Tensor expected;
  {
    const LoraLayers layers(*unet, {.rank = each.rank, .alpha = each.alpha});
    fill_as_golden(layers);
    torch::NoGradGuard no_gradients;
    expected = run(*unet, each);
    write_lora(folder / "processors.safetensors", layers.file(LoraFileNames::processors));
    write_lora(folder / "peft_names.safetensors", layers.file(LoraFileNames::peft));
    write_tensors(folder / "output.safetensors", {{"output", expected}});
  }
  if (const char* keep = std::getenv("DEDA_WRITE_LORA_FILES")) {  // a tool: makes the golden files anew
    for (const char* name : {"processors.safetensors", "peft_names.safetensors", "output.safetensors"})
      fs::copy_file(folder / name, fs::path(keep) / name, fs::copy_options::overwrite_existing);
  }
  EXPECT_LT(deviation(read_tensors(golden / "output.safetensors").at("output"), expected), 1e-5);
  for (const char* name : {"processors.safetensors", "peft_names.safetensors"}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(read_bytes(folder / name), read_bytes(golden / name));
    torch::NoGradGuard no_gradients;
    const auto file = read_lora(folder / name);
    const auto merged = base_of(each);
    const auto counts = apply_lora({merged.get(), {}}, file);
    EXPECT_EQ(counts.unet, file.tensors.size() / 2);
    EXPECT_LT(deviation(run(*merged, each), expected), 1e-5);
    const auto continued = base_of(each);
    const LoraLayers again(*continued, file);
    EXPECT_EQ(again.rank(), each.rank);
    EXPECT_LT(deviation(run(*continued, each), expected), 1e-5);
  }
}

TEST(LoraLayers, AFileOfPeftIsGoneOnWithAndWrittenWithoutLoss) {
  test::TemporaryFolder folder;
  const auto each = eight_channels();
  const auto file = read_lora(golden / "peft.safetensors");
  const auto expected = read_tensors(golden / "peft_output.safetensors").at("output");
  const auto unet = base_of(each);
  const LoraLayers layers(*unet, file);
  EXPECT_EQ(layers.rank(), 3);
  EXPECT_EQ(layers.alpha(), 1);
  torch::NoGradGuard no_gradients;
  EXPECT_LT(deviation(run(*unet, each), expected), 1e-5);
  write_lora(folder / "again.safetensors", layers.file(LoraFileNames::peft));
  const auto again = read_lora(folder / "again.safetensors");
  ASSERT_EQ(again.tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors)
    EXPECT_TRUE(again.tensors.at(name).equal(tensor.to(at::kFloat))) << name;
}

// diffusers' save_attn_procs names no network.
TEST(LoraLayers, AFileOfTheUNetAloneNeedsNoPrefix) {
  test::TemporaryFolder folder;
  const auto each = eight_channels();
  const auto unet = base_of(each);
  const LoraLayers layers(*unet, {.rank = 2});
  NamedTensors tensors;
  for (const auto& matrix : layers.matrices()) tensors.emplace(matrix.name, matrix.value.detach());
  write_tensors(folder / "pytorch_lora_weights.safetensors", tensors);
  const auto file = read_lora(folder / "pytorch_lora_weights.safetensors");
  EXPECT_EQ(file.modules.size(), layers.matrices().size() / 2);
  for (const auto& module : file.modules) {
    EXPECT_EQ(module.network, "unet");
    EXPECT_EQ(module.alpha, 2);
  }
  const auto other = base_of(each);
  EXPECT_TRUE(LoraLayers(*other, file).values().equal(layers.values()));
}

TEST(LoraLayers, WhatDoesNotFitIsAllTold) {
  test::TemporaryFolder folder;
  const auto each = eight_channels();
  const auto unet = base_of(each);
  auto file = LoraLayers(*unet, {.rank = 2}).file(LoraFileNames::peft);
  const auto told = [&](const NamedTensors& tensors) {
    write_tensors(folder / "x.safetensors", tensors);
    return problems_of([&] { const LoraLayers layers(*unet, read_lora(folder / "x.safetensors")); });
  };
  auto tensors = file.tensors;
  const std::string block = "unet.mid_block.attentions.0.transformer_blocks.0.";
  tensors.erase(block + "attn1.to_q.lora_A.weight");
  tensors.erase(block + "attn1.to_q.lora_B.weight");
  tensors[block + "attn1.to_k.lora_A.weight"] = at::zeros({2, 99});
  tensors[block + "attn2.to_v.lora_A.weight"] = at::zeros({5, 16});
  tensors[block + "attn2.to_v.lora_B.weight"] = at::zeros({48, 5});
  tensors[block + "ff.net.0.proj.lora_A.weight"] = at::zeros({2, 48});
  tensors[block + "ff.net.0.proj.lora_B.weight"] = at::zeros({384, 2});
  // A name that would leave a folder, were it one.
  tensors["unet.down_blocks.../../etc/passwd.lora_A.weight"] = at::zeros({2, 48});
  tensors["unet.down_blocks.../../etc/passwd.lora_B.weight"] = at::zeros({48, 2});
  const auto problems = told(tensors);
  EXPECT_THAT(problems, HasSubstr("lacks mid_block.attentions.0.transformer_blocks.0.attn1.to_q"));
  EXPECT_THAT(problems, HasSubstr("attn1.to_k has matrices [2, 99] and [48, 2], here they are [2, 48]"));
  EXPECT_THAT(problems, HasSubstr("attn2.to_v has matrices [5, 16] and [48, 5]"));
  EXPECT_THAT(problems, HasSubstr("ff.net.0.proj, which is no attention projection"));
  EXPECT_THAT(problems, HasSubstr("down_blocks.../../etc/passwd, which is no attention projection"));
  // Another base: every matrix is of another width.
  const auto other = base_of(cases().front());
  EXPECT_THAT(problems_of([&] {
                write_lora(folder / "base.safetensors", file);
                const LoraLayers layers(*other, read_lora(folder / "base.safetensors"));
              }),
              HasSubstr("more"));
  EXPECT_THAT(problems_of([&] { LoraLayers(*unet, {.rank = 0}); }), HasSubstr("no rank"));
  EXPECT_THAT(problems_of([&] { LoraLayers(*unet, {.rank = 2, .alpha = -1}); }), HasSubstr("no alpha"));
  const LoraLayers first(*unet, {.rank = 2});
  EXPECT_THAT(problems_of([&] { LoraLayers(*unet, {.rank = 2}); }), HasSubstr("has LoRA layers already"));
}

}  // namespace
}  // namespace deda::models
