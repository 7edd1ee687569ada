// ResNet-50, DenseNet-121 and Vision Transformers against torchvision: names, shapes, parameters, forward
// passes and gradients on pictures of odd sides; how every parameter starts; DenseNet with less memory.
#include <ATen/autocast_mode.h>

#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include "core/error.h"
#include "models/classifiers/densenet.h"
#include "models/classifiers/facts.h"
#include "models/classifiers/initialise.h"
#include "models/classifiers/resnet.h"
#include "models/classifiers/vision_transformer.h"
#include "models/golden_network.h"
#include "models/layers.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "support/counting_allocator.h"

namespace deda::models {
namespace {

using test::expect_all_near;
using test::expect_digest;

// Golden numbers are float64: what is left is the order of sums.
constexpr double double_tolerance = 1e-9;

ClassifierOptions options_of(std::int64_t classes, std::int64_t side = 0) {
  ClassifierOptions options;
  options.classes = classes;
  options.side = side;
  return options;
}

constexpr VisionTransformerSize small_vit{.layers = 3, .width = 64, .heads = 4, .mlp_width = 96};

std::vector<std::vector<std::string>> rows_of(const std::string& file) {
  std::vector<std::vector<std::string>> rows;
  std::ifstream lines(DEDA_SOURCE_DIR "/tests/golden/" + file);
  std::string line;
  std::getline(lines, line);  // headings
  while (std::getline(lines, line)) {
    auto& row = rows.emplace_back();
    std::stringstream fields(line);
    for (std::string field; std::getline(fields, field, ',');) row.push_back(field);
  }
  return rows;
}

TEST(Classifiers, HaveTorchvisionsNamesShapesAndParameterCounts) {
  std::map<std::string, std::map<std::string, std::string>> expected;
  for (const auto& row : rows_of("classifier_tensors.csv")) expected[row[0]][row[1]] = row[2] + " " + row[3];
  ASSERT_EQ(expected["densenet121"].size(), 727u);
  ASSERT_EQ(expected["vit_b_16"].size(), 152u);
  const std::map<std::string, std::int64_t> parameters{
      {"resnet18", 11689512}, {"resnet50", 25557032}, {"densenet121", 7978856}, {"vit_b_16", 86859496}};
  for (const auto& facts : classifier_facts) {
    const std::string name{facts.name};
    const auto ours = make_classifier(name, 1000);
    EXPECT_EQ(parameter_count(*ours), parameters.at(name)) << name;
    EXPECT_EQ(ours->head_name(), facts.head) << name;
    EXPECT_EQ(state_of(*ours).count(ours->head_name() + ".weight"), 1u) << name;
    EXPECT_EQ(ours->classes(), 1000) << name;
    if (expected.count(name) == 0) continue;  // ResNets: resnet_test.cpp
    std::map<std::string, std::string> found;
    const auto describe = [&](const auto& dictionary, const std::string& kind) {
      for (const auto& entry : dictionary) {
        std::string text;
        for (const auto extent : entry.value().sizes())
          text += (text.empty() ? "" : "x") + std::to_string(extent);
        found[entry.key()] = (text.empty() ? "scalar" : text) + " " + kind;
      }
    };
    describe(ours->named_parameters(), "param");
    describe(ours->named_buffers(), "buffer");
    EXPECT_EQ(found, expected[name]) << name;
  }
}

void expect_torchvisions(Classifier& network, const nlohmann::json& golden, std::int64_t batch,
                         double tolerance) {
  test::fill_as_golden(network);
  const auto dtype = network.parameters().front().scalar_type();
  const auto pictures = test::golden_pictures(0, batch, golden.at("sides")).to(dtype);
  {
    const torch::NoGradGuard no_gradients;
    network.eval();
    expect_all_near(network.forward(pictures), golden.at("logits_eval"), tolerance, "eval");
  }
  network.train();
  const auto logits = network.forward(pictures);
  expect_all_near(logits, golden.at("logits_train"), tolerance, "train");
  at::cross_entropy_loss(logits, test::golden_labels(0, batch).to(dtype)).backward();
  for (const auto& entry : network.named_parameters())
    expect_digest(entry.value().grad(), golden.at("gradients").at(entry.key()), tolerance, entry.key());
}

TEST(Classifiers, MatchTorchvisionsLogitsAndGradientsOnPicturesOfOddSides) {
  const auto golden = test::golden_classifiers();
  const auto batch = golden.at("batch").get<std::int64_t>();
  const auto check = [&](const std::string& name, const std::shared_ptr<Classifier>& network) {
    SCOPED_TRACE(name);
    network->to(torch::kDouble);
    expect_torchvisions(*network, golden.at(name), batch, double_tolerance);
  };
  check("resnet50", make_resnet50(5));
  check("densenet121", make_densenet121(options_of(5)));
  auto recomputing = options_of(5);
  recomputing.recompute_concatenations = true;
  check("densenet121", make_densenet121(recomputing));
  check("small_vit", make_vision_transformer(small_vit, options_of(5, 48)));
}

// 86 million parameters, therefore in float32: logits reach 2, twelve layers round.
TEST(Classifiers, TheWholeViTB16MatchesTorchvision) {
  const auto golden = test::golden_classifiers();
  const auto network = make_vit_b_16(options_of(5, 32));
  expect_torchvisions(*network, golden.at("vit_b_16"), golden.at("batch").get<std::int64_t>(), 1e-4);
}

TEST(Classifiers, GiveTheSameInChannelsLastOrder) {
  const torch::NoGradGuard no_gradients;
  for (const auto& [name, side] : std::vector<std::pair<std::string, std::int64_t>>{
           {"resnet50", 41}, {"densenet121", 45}, {"vit_b_16", 32}}) {
    const auto network = make_classifier(name, options_of(5, side));
    initialise(*network, 3);
    initialise_fresh_head(*network, 3);
    network->eval();
    const auto pictures = test::golden_pictures(1, 2, side, side).to(torch::kFloat);
    const auto plain = network->forward(pictures);
    use_channels_last(*network);
    const auto ordered = network->forward(pictures.contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_LT((plain - ordered).norm().item<double>(), 1e-5 * plain.norm().item<double>()) << name;
  }
}

TEST(Classifiers, TakeTheSidesThatTheirFactsSay) {
  const torch::NoGradGuard no_gradients;
  for (const auto& facts : classifier_facts) {
    const std::string name{facts.name};
    const auto side = facts.smallest_side;
    EXPECT_EQ(why_not_sides(facts, side, side), "") << name;
    const auto network = make_classifier(name, options_of(2, side));
    initialise(*network, 1);
    network->eval();
    EXPECT_EQ(network->forward(at::zeros({1, 3, side, side})).sizes(), at::IntArrayRef({1, 2})) << name;
    EXPECT_EQ(why_not_sides(facts, network->small_side(), network->small_side()), "") << name;
    if (side == 1) continue;
    EXPECT_NE(why_not_sides(facts, side - 1, side), "") << name;
    // One pixel less leaves nothing to average, which the network itself says, too.
    EXPECT_ANY_THROW(network->forward(at::zeros({1, 3, side - 1, side - 1}))) << name;
  }
  const auto& vit = facts_of_classifier("vit_b_16");
  const auto problem = why_not_sides(vit, 450, 450);
  for (const auto* part : {"vit_b_16", "multiples of 16, not 450", "448 or 464"})
    EXPECT_NE(problem.find(part), std::string::npos) << problem;
  EXPECT_NE(why_not_sides(vit, 384, 400), "");
  EXPECT_EQ(why_not_sides(facts_of_classifier("densenet121"), 97, 75), "");
  EXPECT_THROW(make_classifier("vit_b_16", options_of(2, 100)), ConfigError);
  EXPECT_THROW(make_classifier("densnet121", 2), ConfigError);
}

TEST(Initialise, EveryParameterStartsAsInTorchvisionsNetworks) {
  std::map<std::string, std::shared_ptr<Classifier>> networks;
  std::map<std::string, std::size_t> rows;
  for (const auto& row : rows_of("classifier_initial_values.csv")) {
    const auto& name = row[0];
    if (networks.count(name) == 0) {
      networks[name] = make_classifier(name, 1000);
      initialise(*networks[name], 7);
    }
    ++rows[name];
    SCOPED_TRACE(name + " " + row[1]);
    const auto ours = networks[name]->named_parameters()[row[1]].detach().to(torch::kDouble);
    const double mean = std::stod(row[2]), deviation = std::stod(row[3]), lowest = std::stod(row[4]),
                 highest = std::stod(row[5]);
    const double our_lowest = ours.min().item<double>(), our_highest = ours.max().item<double>();
    if (deviation == 0) {
      EXPECT_EQ(our_lowest, lowest);
      EXPECT_EQ(our_highest, highest);
      continue;
    }
    // Six standard errors of the difference of two samples; 4000 comparisons see one in 10^8 by chance.
    const auto count = static_cast<double>(ours.numel());
    EXPECT_NEAR(ours.mean().item<double>(), mean, 6 * deviation * std::sqrt(2 / count));
    EXPECT_NEAR(ours.std(/*unbiased=*/false).item<double>(), deviation, 6 * deviation / std::sqrt(count));
    const double reach = std::max(highest, -lowest), our_reach = std::max(our_highest, -our_lowest);
    const bool uniform = reach < 1.8 * deviation;  // its bound is sqrt(3) deviations away
    if (uniform) {
      EXPECT_NEAR(our_reach, reach, 15 * reach / count);
      EXPECT_LE(our_reach, reach * (1 + 15 / count));
    } else {
      EXPECT_GT(our_reach, 2 * deviation);
      EXPECT_LT(our_reach, 7 * deviation);
    }
  }
  for (const auto& [name, network] : networks)
    EXPECT_EQ(rows[name], network->named_parameters().size()) << name;
  EXPECT_EQ(networks.size(), classifier_facts.size());
}

TEST(Initialise, IsAFunctionOfSeedAndNameAlone) {
  for (const std::string name : {"densenet121", "vit_b_16"}) {
    const auto first = make_classifier(name, options_of(7, 32)),
               second = make_classifier(name, options_of(3, 64));
    torch::manual_seed(123);
    initialise(*first, 5);
    use_channels_last(*second);
    initialise(*second, 5);
    const auto a = state_of(*first), b = state_of(*second);
    for (const auto& [key, tensor] : a) {
      if (key.rfind(first->head_name(), 0) == 0 || key == "encoder.pos_embedding") continue;
      EXPECT_TRUE(at::equal(tensor, b.at(key))) << key;
    }
    initialise(*second, 6);
    EXPECT_FALSE(at::equal(a.at(name == "vit_b_16" ? "conv_proj.weight" : "features.conv0.weight"),
                           b.at(name == "vit_b_16" ? "conv_proj.weight" : "features.conv0.weight")));
  }
}

TEST(Initialise, AFreshHeadIsPyTorchsPlainLinearLayer) {
  for (const auto& facts : classifier_facts) {
    const auto network = make_classifier(std::string{facts.name}, options_of(200, 32));
    initialise(*network, 5);
    initialise_fresh_head(*network, 5);
    const auto state = state_of(*network);
    const auto weight = state.at(network->head_name() + ".weight"),
               bias = state.at(network->head_name() + ".bias");
    const double bound = 1 / std::sqrt(static_cast<double>(weight.size(1)));
    for (const auto& tensor : {weight, bias}) {
      EXPECT_LE(tensor.abs().max().item<double>(), bound) << facts.name;
      EXPECT_GT(tensor.abs().max().item<double>(), 0.95 * bound) << facts.name;
    }
  }
}

struct StepOfDenseNet {
  std::map<std::string, at::Tensor> gradients, buffers;
  at::Tensor logits;
  std::int64_t most_bytes = 0;  // above what lay there before the step
};

StepOfDenseNet step_of_densenet(bool recompute) {
  auto options = options_of(5);
  options.recompute_concatenations = recompute;
  const auto network = make_densenet121(options);
  initialise(*network, 2);
  network->train();
  const auto pictures = test::golden_pictures(0, 4, 96, 80).to(torch::kFloat);
  const auto labels = test::golden_labels(0, 4).to(torch::kFloat);
  for (const auto& parameter : network->parameters()) parameter.mutable_grad() = at::zeros_like(parameter);
  const auto before = test::CountingAllocator::restart();
  StepOfDenseNet step;
  step.logits = network->forward(pictures);
  at::cross_entropy_loss(step.logits, labels).backward();
  step.most_bytes = test::CountingAllocator::most_so_far() - before;
  step.logits = step.logits.detach();
  for (const auto& entry : network->named_parameters()) step.gradients[entry.key()] = entry.value().grad();
  for (const auto& entry : network->named_buffers()) step.buffers[entry.key()] = entry.value();
  return step;
}

TEST(DenseNet, RecomputedConcatenationsGiveTheSameBitsWithLessMemory) {
  test::CountingAllocator::install();
  const auto kept = step_of_densenet(false), recomputed = step_of_densenet(true);
  EXPECT_TRUE(at::equal(kept.logits, recomputed.logits));
  for (const auto& [name, gradient] : kept.gradients) {
    EXPECT_GT(gradient.norm().item<double>(), 0) << name;
    EXPECT_TRUE(at::equal(gradient, recomputed.gradients.at(name))) << name;
  }
  for (const auto& [name, buffer] : kept.buffers) {
    EXPECT_TRUE(at::equal(buffer, recomputed.buffers.at(name))) << name;
    if (name.find("num_batches_tracked") != std::string::npos) {
      EXPECT_EQ(buffer.item<std::int64_t>(), 1) << name;
    }
  }
  RecordProperty("bytes_kept", std::to_string(kept.most_bytes));
  RecordProperty("bytes_recomputed", std::to_string(recomputed.most_bytes));
  std::printf("a step's tensors beside weights and gradients: %.1f MB kept, %.1f MB recomputed\n",
              static_cast<double>(kept.most_bytes) / 1e6, static_cast<double>(recomputed.most_bytes) / 1e6);
  // Measured: half.
  EXPECT_LT(static_cast<double>(recomputed.most_bytes), 0.6 * static_cast<double>(kept.most_bytes));
}

TEST(DenseNet, RecomputesUnderTheAutocastOfTheFirstPass) {
  std::array<std::map<std::string, at::Tensor>, 2> gradients;
  for (const bool recompute : {false, true}) {
    auto options = options_of(5);
    options.recompute_concatenations = recompute;
    const auto network = make_densenet({.layers = {2, 2}, .growth = 8, .stem = 16}, options);
    initialise(*network, 2);
    network->train();
    at::Tensor loss;
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::increment_nesting();
    loss = network->forward(test::golden_pictures(0, 4, 40, 40).to(torch::kFloat))
               .to(at::kFloat)
               .square()
               .mean();
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
    loss.backward();
    EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
    for (const auto& entry : network->named_parameters())
      gradients[recompute ? 1 : 0][entry.key()] = entry.value().grad();
  }
  for (const auto& [name, gradient] : gradients[0]) {
    EXPECT_EQ(gradient.scalar_type(), at::kFloat) << name;
    EXPECT_TRUE(at::equal(gradient, gradients[1].at(name))) << name;
  }
}

}  // namespace
}  // namespace deda::models
