// Weight files of other programs, other networks, other class counts and other sides: what is read, and what
// the one message says of the rest.
#include <algorithm>
#include <fstream>
#include <functional>
#include <numeric>
#include <tuple>

#include "core/error.h"
#include "models/classifiers/densenet.h"
#include "models/classifiers/initialise.h"
#include "models/classifiers/resnet.h"
#include "models/classifiers/vision_transformer.h"
#include "models/golden_network.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "support/temporary_folder.h"

namespace deda::models {
namespace {

constexpr VisionTransformerSize small_vit{.layers = 2, .width = 32, .heads = 4, .mlp_width = 48};

ClassifierOptions options_of(std::int64_t classes, std::int64_t side = 48) {
  ClassifierOptions options;
  options.classes = classes;
  options.side = side;
  return options;
}

std::shared_ptr<Classifier> vit(std::int64_t classes = 5, std::int64_t side = 48) {
  const auto network = make_vision_transformer(small_vit, options_of(classes, side));
  initialise(*network, 1);
  return network;
}

NamedTensors copy_of_state(const Classifier& network) {
  NamedTensors copy;
  for (const auto& [name, tensor] : state_of(network)) copy[name] = tensor.detach().clone();
  return copy;
}

// Every name changed.
NamedTensors renamed(const NamedTensors& tensors, const std::function<std::string(std::string)>& rename) {
  NamedTensors result;
  for (const auto& [name, tensor] : tensors) result[rename(name)] = tensor;
  return result;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  if (const auto at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

std::vector<std::string> load(Classifier& network, NamedTensors tensors, Head head = Head::keep) {
  return load_classifier(network, in_torchvisions_names(std::move(tensors), "file.safetensors"),
                         "file.safetensors", head);
}

std::string problem_of(Classifier& network, NamedTensors tensors, Head head = Head::keep) {
  const auto before = copy_of_state(network);
  std::string text = "no error";
  try {
    load(network, std::move(tensors), head);
  } catch (const DataError& error) {
    text.clear();
    for (const auto& problem : error.problems()) text += to_string(problem) + "\n";
  }
  for (const auto& [name, tensor] : state_of(network))
    EXPECT_TRUE(at::equal(tensor, before.at(name))) << name << " was changed by a refused file";
  return text;
}

void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
  for (const auto& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << "\nin\n" << text;
}
std::string joined(const std::vector<std::string>& notes) {
  return std::accumulate(notes.begin(), notes.end(), std::string{},
                         [](std::string all, const std::string& note) { return all + note + "\n"; });
}

void expect_equal_states(const Classifier& a, const Classifier& b) {
  const auto other = state_of(b);
  for (const auto& [name, tensor] : state_of(a)) EXPECT_TRUE(at::equal(tensor, other.at(name))) << name;
}

TEST(ClassifierFiles, OldNamesOfDenseNetsAreRead) {
  const auto source = make_densenet121(options_of(3)), target = make_densenet121(options_of(3));
  initialise(*source, 1);
  initialise(*target, 2);
  auto old = renamed(copy_of_state(*source), [](std::string name) {
    if (name.find("denselayer") == std::string::npos) return replaced(name, "classifier.", "linear.");
    for (const std::string part : {"norm1", "norm2", "conv1", "conv2"})
      name = replaced(name, part + ".", part.substr(0, 4) + "." + part.substr(4) + ".");
    return name;
  });
  std::erase_if(old, [](const auto& entry) { return entry.first.find("num_batches") != std::string::npos; });
  ASSERT_EQ(old.count("features.denseblock1.denselayer1.norm.1.weight"), 1u);
  const auto notes = load(*target, old);
  expect_equal_states(*source, *target);
  expect_parts(joined(notes), {"names of 2017", "norm1", "`linear`"});
}

TEST(ClassifierFiles, OldNamesOfVisionTransformersAndACommonPrefixAreRead) {
  const auto source = vit(), target = vit();
  initialise(*target, 2);
  const auto old = renamed(copy_of_state(*source), [](const std::string& name) {
    return "module." + replaced(replaced(name, ".mlp.0.", ".mlp.linear_1."), ".mlp.3.", ".mlp.linear_2.");
  });
  const auto notes = load(*target, old);
  expect_equal_states(*source, *target);
  expect_parts(joined(notes), {"begins with `module.`", "mlp.linear_1"});
}

TEST(ClassifierFiles, TwoTensorsForOneNameAreRefused) {
  const auto network = vit();
  auto tensors = copy_of_state(*network);
  tensors["encoder.layers.encoder_layer_0.mlp.linear_1.bias"] = at::zeros({48});
  expect_parts(problem_of(*network, tensors), {"two tensors", "encoder_layer_0.mlp.0.bias"});
}

// Genuine names and logits of timm and transformers (tests/golden/vision_transformer_names.py).
TEST(ClassifierFiles, VisionTransformersOfTimmAndTransformersGiveTheirLogits) {
  std::ifstream file(DEDA_SOURCE_DIR "/tests/golden/vision_transformer_names.json");
  const auto golden = nlohmann::json::parse(file);
  const auto side = golden.at("side").get<std::int64_t>();
  for (const auto& [key, program] :
       std::vector<std::pair<std::string, std::string>>{{"from_timm", "timm's"},
                                                        {"from_transformers", "transformers'"},
                                                        {"from_transformers_modules", "transformers'"}}) {
    SCOPED_TRACE(key);
    NamedTensors tensors;
    std::uint64_t index = 0;
    for (const auto& [name, extents] : golden.at(key).at("shapes").items()) {  // sorted by name
      const auto shape = extents.get<std::vector<std::int64_t>>();
      tensors[name] = test::made_up_as_golden(index++, name, shape);
    }
    const auto network = vit(5, side);
    network->to(torch::kDouble);
    const auto notes = load(*network, tensors);
    expect_parts(joined(notes), {"under " + program + " names", "0.5"});
    const torch::NoGradGuard no_gradients;
    network->eval();
    test::expect_all_near(
        network->forward(test::golden_pictures(0, golden.at("batch").get<std::int64_t>(), side, side)),
        golden.at(key).at("logits"), 1e-9, key);
  }
}

TEST(ClassifierFiles, ALayerBeforeTheHeadIsRefused) {
  const auto network = vit();
  const NamedTensors timm{{"patch_embed.proj.weight", at::zeros({32, 3, 16, 16})},
                          {"blocks.0.norm1.weight", at::ones({32})},
                          {"blocks.1.norm1.weight", at::ones({32})},
                          {"pre_logits.fc.weight", at::zeros({32, 32})}};
  expect_parts(problem_of(*network, timm), {"pre_logits", "file.safetensors"});
}

TEST(ClassifierFiles, PositionsOfAnotherSideAreResizedAndSaid) {
  for (const auto& golden : test::golden_classifiers().at("positions")) {
    static std::uint64_t index = 3000;
    const auto from = golden.at("from").get<std::int64_t>(), to = golden.at("to").get<std::int64_t>(),
               width = golden.at("width").get<std::int64_t>();
    const auto positions = test::hashed_tensor(index++, {1, 1 + from * from, width}).to(torch::kFloat);
    const auto resized = resized_positions(positions, to);
    EXPECT_EQ(resized.sizes(), at::IntArrayRef({1, 1 + to * to, width}));
    test::expect_all_near(resized, golden.at("values"), 1e-6, "positions");
  }
  const auto source = vit(5, 48), target = vit(5, 80);
  const auto notes = load(*target, copy_of_state(*source));
  ASSERT_EQ(notes.size(), 1u);
  expect_parts(notes.front(), {"3 x 3", "5 x 5"});
  EXPECT_TRUE(at::equal(state_of(*target).at("encoder.pos_embedding"),
                        resized_positions(state_of(*source).at("encoder.pos_embedding").detach(), 5)));
  EXPECT_TRUE(load(*vit(5, 48), copy_of_state(*source)).empty());
}

TEST(ClassifierFiles, PositionsWithoutASquareAreListedAsMisshapen) {
  const auto network = vit();
  auto tensors = copy_of_state(*network);
  tensors["encoder.pos_embedding"] = at::zeros({1, 12, 32});
  expect_parts(problem_of(*network, tensors), {"encoder.pos_embedding has shape [1, 12, 32]", "[1, 10, 32]"});
}

TEST(ClassifierFiles, OfAnotherNetworkSayOfWhichAndWhatToDo) {
  const auto resnet18 = make_resnet18(3), resnet50 = make_resnet50(3);
  const auto densenet = make_densenet121(options_of(3));
  const auto transformer = vit();
  const auto ask = "Set train.network";
  for (const auto head : {Head::keep, Head::fresh}) {
    expect_parts(problem_of(*resnet18, copy_of_state(*resnet50), head),
                 {"holds ResNet-50 under torchvision's names, the network is ResNet-18", ask});
    expect_parts(problem_of(*resnet50, copy_of_state(*densenet), head),
                 {"holds DenseNet-121", "the network is ResNet-50", ask});
    expect_parts(problem_of(*densenet, copy_of_state(*transformer), head),
                 {"a Vision Transformer of 2 layers, width 32 and patch 16", "DenseNet-121", ask});
    expect_parts(problem_of(*transformer, copy_of_state(*resnet18), head), {"holds ResNet-18", ask});
    expect_parts(
        problem_of(*transformer, {{"a.b", at::zeros({1})}, {"c", at::zeros({1})}}, head),
        {"no classifier that is known here", "a.b, c", "like class_token", "timm's and transformers'"});
  }
  // One message, not a list of hundreds of tensors.
  const auto text = problem_of(*resnet18, copy_of_state(*resnet50));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

TEST(ClassifierFiles, OfOtherDepthsAreToldByTheirNames) {
  const auto look = [](const DenseNetSize& size) {
    return look_of(state_of(*make_densenet(size, options_of(2)))).network;
  };
  EXPECT_EQ(look({}), "DenseNet-121");
  EXPECT_EQ(look({.layers = {6, 12, 32, 32}}), "DenseNet-169");
  EXPECT_EQ(look_of(state_of(*make_resnet18(2))), (ClassifierLook{"ResNet-18", "torchvision"}));
  EXPECT_EQ(look_of(state_of(*make_classifier("vit_b_16", options_of(2, 32)))).network, "ViT-B/16");
  EXPECT_EQ(look_of({{"resnet.embedder.embedder.convolution.weight", at::zeros({1})}}).names, "transformers");
  EXPECT_EQ(look_of({}).network, "");
}

TEST(ClassifierFiles, CheckpointsAndTransformersResNetsAreTold) {
  const auto network = make_resnet18(3);
  expect_parts(
      problem_of(*network, {{"model.fc.bias", at::zeros({3})}, {"momentum.fc.bias", at::zeros({3})}}),
      {"checkpoint of `deda train`", "best.safetensors"});
  expect_parts(
      problem_of(*network, {{"resnet.embedder.embedder.convolution.weight", at::zeros({64, 3, 7, 7})}}),
      {"a ResNet under transformers' names", "torchvision's"});
}

TEST(ClassifierFiles, OfAnotherClassCountKeepAllButAFreshHead) {
  const auto seven = vit(7), five = vit(5);
  initialise(*five, 2);
  expect_parts(problem_of(*five, copy_of_state(*seven)),
               {"heads.head.weight has shape [7, 32], the network needs [5, 32]", "train.weights_head"});
  initialise_fresh_head(*five, 2);
  const auto own = state_of(*five).at("heads.head.weight").clone();
  load(*five, copy_of_state(*seven), Head::fresh);
  EXPECT_TRUE(at::equal(state_of(*five).at("heads.head.weight"), own));
  EXPECT_TRUE(at::equal(state_of(*five).at("class_token"), state_of(*seven).at("class_token")));
}

TEST(ForwardModel, RunsEveryClassifierOnAFileAndRefusesSidesThatItDoesNotTake) {
  const test::TemporaryFolder folder;
  for (const auto& [name, side, wrong] : std::vector<std::tuple<std::string, std::int64_t, std::int64_t>>{
           {"densenet121", 33, 20}, {"vit_b_16", 32, 40}}) {
    SCOPED_TRACE(name);
    const auto network = make_classifier(name, options_of(4, side));
    initialise(*network, 1);
    initialise_fresh_head(*network, 1);
    ForwardRequest request;
    request.weights = folder.path() / (name + ".safetensors");
    save_weights(*network, request.weights);
    request.inputs_from = "in.safetensors";
    request.inputs = {{"input", test::golden_pictures(0, 2, side, side).to(torch::kFloat)}};
    const auto outputs = forward_model(name).run(request);
    const torch::NoGradGuard no_gradients;
    network->eval();
    EXPECT_TRUE(at::equal(outputs.at("output"), network->forward(request.inputs.at("input"))));
    request.inputs = {{"input", at::zeros({2, 3, wrong, wrong})}};
    try {
      forward_model(name).run(request);
      ADD_FAILURE() << "pictures of " << wrong << " pixels were taken";
    } catch (const DataError& error) {
      expect_parts(error.what(), {name + " takes", std::to_string(wrong)});
    }
    // Another network's file: its name, with all else that is wrong.
    try {
      forward_model("resnet18").run(request);
      ADD_FAILURE() << "another network's file was taken";
    } catch (const DataError& error) {
      expect_parts(error.what(), {name == "vit_b_16" ? "ViT-B/16" : "DenseNet-121", "ResNet-18"});
    }
  }
}

}  // namespace
}  // namespace deda::models
