// ResNets against torchvision: names, shapes, forward passes and gradients; initial weights; weight files
// with faults.
#include "models/classifiers/resnet.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "core/error.h"
#include "models/classifiers/initialise.h"
#include "models/golden_network.h"
#include "models/layers.h"
#include "models/registry.h"
#include "models/weights/weights.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;
using test::expect_all_near;
using test::expect_digest;

// Golden numbers are float64: what is left is the order of sums.
constexpr double double_tolerance = 1e-9;
// One pass in float32 through 18 layers; the logits reach 30, so this is 3e-6 of the largest.
constexpr double float_tolerance = 1e-4;

fs::path scratch(const std::string& name) {
  const auto folder = fs::temp_directory_path() / ("deda-models-test-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  return folder / name;
}

std::string problems_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    std::string all;
    for (const auto& problem : error.problems()) all += to_string(problem) + "\n";
    return all;
  }
  return "no error";
}

TEST(ResNet, HasTorchvisionsNamesAndShapesInItsOrderOfParametersAndBuffers) {
  std::map<std::string, std::map<std::string, std::string>> expected;
  std::ifstream file(DEDA_SOURCE_DIR "/tests/golden/resnet_tensors.csv");
  std::string line, network, name, shape, kind;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::stringstream fields(line);
    std::getline(fields, network, ',');
    std::getline(fields, name, ',');
    std::getline(fields, shape, ',');
    std::getline(fields, kind, ',');
    expected[network][name] = shape + " " + kind;
  }
  ASSERT_EQ(expected["resnet18"].size(), 122u);
  ASSERT_EQ(expected["resnet50"].size(), 320u);
  for (const auto& [each, tensors] : expected) {
    const auto ours = make_classifier(each, 1000);
    std::map<std::string, std::string> found;
    const auto describe = [&](const auto& dictionary, const std::string& kind_of) {
      for (const auto& entry : dictionary) {
        std::string text;
        for (const auto extent : entry.value().sizes())
          text += (text.empty() ? "" : "x") + std::to_string(extent);
        found[entry.key()] = (text.empty() ? "scalar" : text) + " " + kind_of;
      }
    };
    describe(ours->named_parameters(), "param");
    describe(ours->named_buffers(), "buffer");
    EXPECT_EQ(found, tensors) << each;
  }
}

TEST(ResNet, MatchesTorchvisionsLogitsAndGradientsInDoublePrecision) {
  const auto golden = test::golden_resnet18();
  const auto network = make_resnet18(5);
  network->to(torch::kDouble);
  test::fill_as_golden(*network);
  {
    torch::NoGradGuard no_gradients;
    network->eval();
    expect_all_near(network->forward(test::golden_pictures(0)), golden.at("logits_eval"), double_tolerance,
                    "eval");
  }
  network->train();
  const auto logits = network->forward(test::golden_pictures(0));
  expect_all_near(logits, golden.at("logits_train"), double_tolerance, "train");
  const auto loss = at::cross_entropy_loss(logits, test::golden_labels(0));
  EXPECT_NEAR(loss.item<double>(), golden.at("losses").at(0).get<double>(), double_tolerance);
  loss.backward();
  for (const auto& entry : network->named_parameters()) {
    expect_digest(entry.value().grad(), golden.at("gradients").at(entry.key()), double_tolerance,
                  entry.key());
  }
}

TEST(ResNet, MatchesTorchvisionInFloatWithAndWithoutChannelsLast) {
  const auto golden = test::golden_resnet18();
  torch::NoGradGuard no_gradients;
  const auto network = make_resnet18(5);
  test::fill_as_golden(*network);
  network->eval();
  const auto pictures = test::golden_pictures(0).to(torch::kFloat);
  expect_all_near(network->forward(pictures), golden.at("logits_eval"), float_tolerance, "plain order");
  use_channels_last(*network);
  EXPECT_TRUE(network->named_parameters()["conv1.weight"].is_contiguous(at::MemoryFormat::ChannelsLast));
  expect_all_near(network->forward(pictures.contiguous(at::MemoryFormat::ChannelsLast)),
                  golden.at("logits_eval"), float_tolerance, "channels last");
}

TEST(Initialise, DependsOnTheSeedAloneAndFollowsTheRules) {
  const auto first = make_resnet18(7), second = make_resnet18(7), other = make_resnet18(7);
  torch::manual_seed(123);  // torch's own generator must have no say
  initialise(*first, 5);
  use_channels_last(*second);
  initialise(*second, 5);
  initialise(*other, 6);
  const auto a = state_of(*first), b = state_of(*second), c = state_of(*other);
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
  EXPECT_FALSE(at::equal(a.at("conv1.weight"), c.at("conv1.weight")));
  // std = sqrt(2 / (3*3*512)); 2.4 million draws estimate it to 0.05 %.
  const auto kernel = a.at("layer4.1.conv2.weight");
  EXPECT_NEAR(kernel.std().item<double>(), std::sqrt(2.0 / (9 * 512)), 1e-4);
  EXPECT_NEAR(kernel.mean().item<double>(), 0.0, 1e-4);
  const double bound = 1 / std::sqrt(512.0);
  EXPECT_LE(a.at("fc.weight").abs().max().item<double>(), bound);
  EXPECT_GT(a.at("fc.weight").abs().max().item<double>(), 0.99 * bound);
  EXPECT_GT(a.at("fc.bias").abs().max().item<double>(), 0.0);
  EXPECT_TRUE(at::equal(a.at("bn1.weight"), at::ones({64})));
  EXPECT_TRUE(at::equal(a.at("layer1.0.bn2.running_var"), at::ones({64})));
}

// Runs of earlier versions begin at the same weights: first and last elements of theirs.
TEST(Initialise, KeepsTheNumbersOfEarlierVersions) {
  struct Pinned {
    const char* name;
    float first, last;
  };
  const auto check = [](Classifier& network, const std::vector<Pinned>& pinned) {
    initialise(network, 1);
    const auto state = state_of(network);
    for (const auto& each : pinned) {
      const auto values = state.at(each.name).detach().flatten();
      EXPECT_FLOAT_EQ(values[0].item<float>(), each.first) << each.name;
      EXPECT_FLOAT_EQ(values[-1].item<float>(), each.last) << each.name;
    }
  };
  check(*make_resnet18(3), {{"conv1.weight", 0.0114154359f, 0.0392685346f},
                            {"layer2.0.downsample.0.weight", 0.163668379f, 0.165722713f},
                            {"fc.weight", -0.00523010269f, -0.0105206966f},
                            {"fc.bias", -0.0349730738f, -0.00855016243f}});
  check(*make_resnet50(3), {{"conv1.weight", 0.0114154359f, 0.0392685346f},
                            {"layer2.0.downsample.0.weight", 0.0818341896f, 0.10116677f},
                            {"fc.weight", -0.00261505134f, 0.007816636f},
                            {"fc.bias", -0.0174865369f, -0.00427508121f}});
}

TEST(Initialise, RefusesAParameterWithoutARule) {
  const auto network = make_resnet18(7);
  network->register_parameter("class_token", at::zeros({1, 1, 8}));
  try {
    initialise(*network, 5);
    ADD_FAILURE() << "a parameter kept the numbers it came with";
  } catch (const ModelError& error) {
    EXPECT_NE(std::string{error.what()}.find("class_token"), std::string::npos) << error.what();
  }
}

TEST(Weights, ComeBackFromAFileAsTheyWere) {
  const auto network = make_resnet18(5), copy = make_resnet18(5);
  initialise(*network, 1);
  use_channels_last(*network);
  const auto path = scratch("round-trip.safetensors");
  save_weights(*network, path, {{"origin", "test"}});
  EXPECT_EQ(classes_of_head(read_tensors(path), "fc", "file"), 5);
  load_weights(*copy, path);
  const auto a = state_of(*network), b = state_of(*copy);
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
}

TEST(Weights, WithFaultsAreRefusedWithEveryFaultListedAndNothingChanged) {
  const auto network = make_resnet18(5);
  initialise(*network, 1);
  auto tensors = state_of(*network);
  tensors.erase("bn1.num_batches_tracked");  // optional
  tensors.erase("bn1.weight");
  tensors.erase("layer3.0.downsample.0.weight");
  tensors["layer1.0.conv1.weight"] = at::zeros({64, 64, 1, 1});
  tensors["fc.weight"] = at::zeros({7, 512});
  tensors["fc.bias"] = at::zeros({7});
  tensors["classifier.weight"] = at::zeros({3});
  tensors["conv1.weight"] = at::zeros({64, 3, 7, 7});
  const auto path = scratch("faulty.safetensors");
  write_tensors(path, tensors);
  const auto text = problems_of([&] { load_weights(*network, path); });
  for (const auto* part :
       {"bn1.weight [64] is missing", "layer3.0.downsample.0.weight [256, 128, 1, 1] is missing",
        "layer1.0.conv1.weight has shape [64, 64, 1, 1], the network needs [64, 64, 3, 3]",
        "fc.weight has shape [7, 512], the network needs [5, 512]", "fc.bias has shape [7]", "fresh head",
        "classifier.weight [3] is not part of the network", "faulty.safetensors"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
  }
  EXPECT_EQ(text.find("num_batches_tracked"), std::string::npos) << text;
  EXPECT_GT(state_of(*network).at("conv1.weight").abs().max().item<float>(), 0.0f)
      << "a refused file changed the network";
}

TEST(Weights, OfAnotherClassCountKeepEverythingButTheHeadWhenAFreshOneIsAskedFor) {
  const auto file_network = make_resnet18(7), network = make_resnet18(5);
  initialise(*file_network, 1);
  initialise(*network, 2);
  const auto own_head = state_of(*network).at("fc.weight").clone();
  const auto path = scratch("seven-classes.safetensors");
  save_weights(*file_network, path);
  load_weights(*network, path, Head::fresh);
  EXPECT_TRUE(at::equal(state_of(*network).at("fc.weight"), own_head));
  EXPECT_TRUE(at::equal(state_of(*network).at("layer2.0.conv1.weight"),
                        state_of(*file_network).at("layer2.0.conv1.weight")));
}

TEST(ForwardModel, ListsFaultsOfInputsAndWeightsTogether) {
  const auto network = make_resnet18(5);
  auto tensors = state_of(*network);
  tensors.erase("bn1.bias");
  const auto path = scratch("forward-faulty.safetensors");
  write_tensors(path, tensors);
  ForwardRequest request;
  request.weights = path;
  request.inputs = {{"inptu", at::zeros({1, 3, 32, 32})}};
  request.inputs_from = "in.safetensors";
  const auto text = problems_of([&] { forward_model("resnet18").run(request); });
  for (const auto* part :
       {"unknown input tensor inptu", "`input` [B, 3, H, W] is missing", "bn1.bias [64] is missing"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
  }
  EXPECT_NE(problems_of([] { forward_model("resnet81"); }).find("resnet18"), std::string::npos);
}

TEST(ForwardModel, GivesTheNetworksLogitsAndInTrainModeItsRunningStatistics) {
  const auto network = make_resnet18(5);
  test::fill_as_golden(*network);
  const auto path = scratch("forward.safetensors");
  save_weights(*network, path);
  ForwardRequest request;
  request.weights = path;
  request.inputs = {{"input", test::golden_pictures(0).to(torch::kFloat)}};
  const auto golden = test::golden_resnet18();
  auto outputs = forward_model("resnet18").run(request);
  EXPECT_EQ(outputs.size(), 1u);
  expect_all_near(outputs.at("output"), golden.at("logits_eval"), float_tolerance, "eval");
  request.train_mode = true;
  outputs = forward_model("resnet18").run(request);
  // Batch statistics of eight numbers per channel in the last stage divide by small deviations: rounding
  // grows.
  expect_all_near(outputs.at("output"), golden.at("logits_train"), 10 * float_tolerance, "train");
  EXPECT_EQ(outputs.at("bn1.num_batches_tracked").item<std::int64_t>(), 1);
}

}  // namespace
}  // namespace deda::models
