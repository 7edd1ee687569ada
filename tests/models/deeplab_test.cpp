// DeepLabV3 and MobileNetV2 from exported graphs: the published networks' golden tensors, and folders that
// are broken in every way that a person or a disk breaks them.
#include "models/classifiers/deeplab.h"

#include <ATen/ops/argmax.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "core/error.h"
#include "core/files.h"
#include "io/pictures/image_codec.h"
#include "models/weights/tensor_file.h"
#include "support/temporary_folder.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;

fs::path real_weights() {
  const char* named = std::getenv("DEDA_TEST_DATA");
  const fs::path data =
      named != nullptr ? fs::path{named} : fs::path{DEDA_SOURCE_DIR} / ".." / "shared" / "data";
  return data / "weights";
}

// The golden tensors were made with float32 on a processor by another version of torch: sums in another order
// through 55 layers, of the output's scale (about 10).
constexpr double golden_tolerance = 1e-4;

void expect_golden(const fs::path& folder) {
  const auto golden = read_tensors(folder / "golden.safetensors");
  const auto logits = ExportedGraph(folder).forward(golden.at("image_u8_nhwc")).logits;
  const auto& expected = golden.at("logits");
  ASSERT_EQ(logits.sizes(), expected.sizes());
  const double scale = expected.abs().max().item<double>();
  EXPECT_LE((logits - expected).abs().max().item<double>(), golden_tolerance * scale);
}

TEST(ExportedGraph, ReproducesTheGoldenTensors) {
  if (!fs::exists(real_weights())) GTEST_SKIP() << "no real weights at " << real_weights();
  expect_golden(real_weights() / "deeplabv3_mnv2_pascal");
  expect_golden(real_weights() / "mobilenet_v2_imagenet");
  expect_golden(real_weights() / "mobilenet_v2_inat_bird");
}

TEST(DeepLab, GivesTheGoldenLabelsOnAPictureOfTheNetworksSize) {
  const auto folder = real_weights() / "deeplabv3_mnv2_pascal";
  if (!fs::exists(folder)) GTEST_SKIP() << "no real weights at " << folder;
  const auto golden = read_tensors(folder / "golden.safetensors");
  const auto& pixels = golden.at("image_u8_nhwc");
  io::Image picture(513, 513, 3);
  std::memcpy(picture.pixels.data(), pixels.data_ptr<std::uint8_t>(), picture.pixels.size());
  const DeepLab network(folder);
  EXPECT_EQ(network.labels()[8], "cat");
  const auto map = network.segment({&picture}, true).front();
  const auto expected = golden.at("labels_u8")[0].contiguous();
  std::size_t different = 0;
  for (std::size_t i = 0; i < map.labels.pixels.size(); ++i)
    different += map.labels.pixels[i] != expected.data_ptr<std::uint8_t>()[i];
  EXPECT_LE(different, 5u) << "ties within rounding only";
  EXPECT_EQ(map.logits.sizes(), (std::vector<std::int64_t>{21, 33, 33}));
  EXPECT_EQ(map.input.sizes(), (std::vector<std::int64_t>{513, 513, 3}));
}

TEST(DeepLab, TakesAnySizeAndABatchGivesWhatEachGivesAlone) {
  const auto folder = real_weights() / "deeplabv3_mnv2_pascal";
  if (!fs::exists(folder)) GTEST_SKIP() << "no real weights at " << folder;
  const DeepLab network(folder);
  const io::Image one(1, 1, 3), wide(3, 700, 3), grey(10, 10, 1);
  const auto maps = network.segment({&one, &wide});
  EXPECT_EQ(maps[0].labels.pixels.size(), 1u);
  EXPECT_EQ(maps[1].labels.width, 700);
  EXPECT_EQ(maps[1].labels.pixels, network.segment({&wide}).front().labels.pixels);
  EXPECT_THROW(network.segment({&grey}), DataError);
  EXPECT_TRUE(network.segment({}).empty());
}

struct BrokenFolder {
  test::TemporaryFolder folder;
  std::string graph = R"({"input": {"tensor": 0, "shape_nhwc": [1, 4, 4, 3]}, "output": 2, "ops": [
    {"op": "CONV_2D", "name": "a", "inputs": [0], "out": 1, "sh": 2, "sw": 2, "pad": "SAME", "act": "relu6", "dh": 1, "dw": 1},
    {"op": "ARG_MAX", "name": null, "inputs": [1], "out": 2}]})";
  std::string labels = "nothing\nsomething\n";
  NamedTensors tensors = {{"a.weight", at::ones({2, 3, 3, 3})}, {"a.bias", at::zeros({2})}};
  std::string problems() {
    std::ofstream(folder / "graph.json") << graph;
    std::ofstream(folder / "labels.txt") << labels;
    write_tensors(folder / "model.safetensors", tensors);
    try {
      const ExportedGraph network(folder.path());
      network.forward(at::zeros({1, 4, 4, 3}, at::kByte));
    } catch (const Error& error) {
      std::string all;
      for (const auto& problem : error.problems()) all += to_string(problem) + "\n";
      return all;
    }
    return {};
  }
};

TEST(ExportedGraph, PadsAsTensorFlowAndListsWhatIsWrongWithAFolder) {
  BrokenFolder whole;
  EXPECT_EQ(whole.problems(), "");
  // Four pixels by stride 2 with a kernel of 3: one row of padding, all of it behind.
  const auto logits =
      ExportedGraph(whole.folder.path()).forward(at::full({1, 4, 4, 3}, 129, at::kByte)).logits;
  EXPECT_EQ(logits.sizes(), (std::vector<std::int64_t>{1, 2, 2, 2}));
  EXPECT_NEAR(logits[0][0][0][0].item<double>(), 27.0 / 128, 1e-6);
  EXPECT_NEAR(logits[0][0][1][1].item<double>(), 12.0 / 128, 1e-6) << "a row and a column of padding behind";
}

TEST(ExportedGraph, NamesEveryFault) {
  BrokenFolder unknown;
  unknown.graph.replace(unknown.graph.find("ARG_MAX"), 7, "LSTM_99");
  unknown.tensors.erase("a.bias");
  unknown.tensors["b.weight"] = at::ones({1});
  const std::string many = unknown.problems();
  EXPECT_NE(many.find("LSTM_99"), std::string::npos) << many;
  EXPECT_NE(many.find("`a.bias` is missing"), std::string::npos) << many;
  EXPECT_NE(many.find("`b.weight` is used by no operation"), std::string::npos) << many;
  BrokenFolder dangling;
  dangling.graph.replace(dangling.graph.find("\"inputs\": [1]"), 13, "\"inputs\": [7]");
  EXPECT_NE(dangling.problems().find("reads tensor 7"), std::string::npos);
  BrokenFolder misshapen;
  misshapen.tensors["a.weight"] = at::ones({2, 4, 3, 3});
  EXPECT_NE(misshapen.problems().find("for 3 channels"), std::string::npos);
  BrokenFolder labels;
  labels.labels = "one\n";
  EXPECT_NE(labels.problems().find("1 lines for 2 classes"), std::string::npos);
  BrokenFolder stride;
  stride.graph.replace(stride.graph.find("\"sh\": 2"), 7, "\"sh\": 0");
  EXPECT_NE(stride.problems().find("size of 0"), std::string::npos);
  BrokenFolder text;
  text.graph = "{\"input\": 3";
  EXPECT_NE(text.problems().find("graph"), std::string::npos);
  EXPECT_THROW(ExportedGraph("/nowhere"), DataError);
}

}  // namespace
}  // namespace deda::models
