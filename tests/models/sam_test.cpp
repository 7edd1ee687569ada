// Segment Anything and MobileSAM against transformers and a restatement of TinyViT (tests/golden/sam.py): the
// networks, their files under both naming schemes, pre- and post-processing, the segmenter as a whole.
#include "models/sam/sam.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/files.h"
#include "io/pictures/image_codec.h"
#include "io/pictures/resize.h"
#include "models/made_up_weights.h"
#include "models/registry.h"
#include "models/sam/image_encoder.h"
#include "models/sam/processing.h"
#include "models/sam/segmenter.h"
#include "models/sam/tiny_vit.h"
#include "support/crc32.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::made_up;

// Float32 on both sides; what is left is the order of sums. The promise is 5e-4.
constexpr double tolerance_of_scale = 2e-5;

const NamedTensors& golden() {
  static const auto tensors = read_tensors(DEDA_SOURCE_DIR "/tests/golden/sam.safetensors");
  return tensors;
}
const json& facts() {
  static const auto read = json::parse(read_text(DEDA_SOURCE_DIR "/tests/golden/sam.json"));
  return read;
}

double farthest(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

void expect_golden(const std::string& name, const at::Tensor& found, double tolerance = tolerance_of_scale) {
  ASSERT_EQ(golden().count(name), 1u) << name;
  const auto& expected = golden().at(name);
  ASSERT_EQ(found.sizes(), expected.sizes()) << name;
  EXPECT_LT(farthest(found, expected), tolerance * expected.abs().max().item<double>()) << name;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// As weight_for() of the golden script.
at::Tensor weight_for(std::uint64_t index, const std::string& name, at::IntArrayRef shape) {
  if (ends_with(name, "running_var")) return made_up(index, shape, 0.5, 1.5);
  if (ends_with(name, "bn.weight")) return made_up(index, shape, 0.8, 1.2);
  return test::made_up_weight(index, name, shape);
}

NamedTensors made_up_state(const SamConfig& config) {
  NamedTensors state;
  std::uint64_t index = 0;
  for (const auto& [name, tensor] : state_of(Sam(config))) {
    state[name] = weight_for(index, name, tensor.sizes());
    ++index;
  }
  return state;
}

void write_json(const fs::path& folder, const json& files) {
  for (const auto& [name, content] : files.items()) std::ofstream(folder / name) << content.dump();
}

// A transformers folder of the golden model `name`.
SamConfig write_model(const fs::path& folder, const std::string& name) {
  write_json(folder, facts()["configs"][name]);
  const auto config = read_sam_config(folder / "config.json");
  write_tensors(folder / "model.safetensors", made_up_state(config));
  return config;
}

// Of the golden script's prompts_of().
SamPrompts prompts_of(double size, std::int64_t grid) {
  SamPrompts prompts;
  prompts.boxes = made_up(9002, {2, 3, 4}, -0.1 * size, 0.6 * size);
  prompts.boxes.slice(2, 2).copy_(prompts.boxes.slice(2, 0, 2) + made_up(9003, {2, 3, 2}, 0, 0.5 * size));
  prompts.points = made_up(9004, {2, 3, 4, 2}, 0, size);
  prompts.labels =
      at::tensor({1, 0, -1, -10, 0, 0, 1, 1, -10, -10, 1, -1, 1, 1, 1, 1, 0, -1, -10, 0, 1, 0, 1, 0},
                 at::kLong)
          .view({2, 3, 4});
  prompts.masks = made_up(9005, {2, 1, 4 * grid, 4 * grid}, -8, 8);
  return prompts;
}

void expect_output(const std::string& name, const Sam::Output& output,
                   double tolerance = tolerance_of_scale) {
  expect_golden(name + ".pred_masks", output.pred_masks, tolerance);
  expect_golden(name + ".iou_scores", output.iou_scores, tolerance);
}

std::vector<std::string> problems_of(const std::function<void()>& call) {
  std::vector<std::string> texts;
  try {
    call();
  } catch (const DataError& error) {
    for (const auto& each : error.problems()) texts.push_back(to_string(each));
  }
  return texts;
}

TEST(Sam, EqualsTransformersWithAllKindsOfPrompts) {
  at::NoGradGuard no_gradients;
  for (const std::string name : {"windows", "depths", "bare"}) {
    test::TemporaryFolder folder;
    write_model(folder.path(), name);
    const auto network = load_sam(folder.path(), at::kCPU, at::kFloat).network;
    const auto size = network->config().image_size(), grid = network->config().grid();
    const auto embeddings = network->embed(made_up(9001, {2, 3, size, size}, -2, 2));
    expect_golden(name + ".image_embeddings", embeddings);
    const auto all = prompts_of(static_cast<double>(size), grid);
    expect_output(name + ".boxes", network->segment(embeddings, {all.boxes, {}, {}, {}}, false));
    if (name == "windows")
      expect_output(name + ".boxes_multimask", network->segment(embeddings, {all.boxes, {}, {}, {}}, true));
    const SamPrompts points{
        {}, all.points.slice(1, 0, 2).slice(2, 0, 3), all.labels.slice(1, 0, 2).slice(2, 0, 3), {}};
    expect_output(name + ".points", network->segment(embeddings, points, name != "bare"));
    expect_output(name + ".all", network->segment(embeddings, all, false));
    if (name != "depths") expect_output(name + ".nothing", network->segment(embeddings, {}, false));
  }
}

TEST(Sam, LoadsMetasNamesWithAndWithoutConfiguration) {
  at::NoGradGuard no_gradients;
  test::TemporaryFolder folder;
  const auto config = write_model(folder.path(), "windows");
  NamedTensors original{{"pixel_mean", at::zeros({3, 1, 1})}, {"pixel_std", at::ones({3, 1, 1})}};
  for (const auto& [name, tensor] : made_up_state(config))
    original[facts()["meta_names"][name].get<std::string>()] = tensor;
  write_tensors(folder / "model.safetensors", original);
  const auto run = [&](const fs::path& path, double tolerance) {
    const auto network = load_sam(path, at::kCPU, at::kFloat).network;
    const auto embeddings = network->embed(made_up(9001, {2, 3, 64, 64}, -2, 2));
    expect_golden("windows.image_embeddings", embeddings);
    expect_output("windows.boxes", network->segment(embeddings, {prompts_of(64, 8).boxes, {}, {}, {}}, false),
                  tolerance);
  };
  run(folder.path(), tolerance_of_scale);
  // Alone: sizes from the tensors. Heads of the decoder are 8 then, so the file must be of such a model; the
  // sizes are compared instead of the numbers.
  const auto found = sam_config_of(open_weight_files(folder / "model.safetensors", "model"));
  EXPECT_EQ(found.vision.image_size, 64);
  EXPECT_EQ(found.vision.patch_size, 8);
  EXPECT_EQ(found.vision.heads, 3);
  EXPECT_EQ(found.vision.layers, 3);
  EXPECT_EQ(found.vision.mlp_dim, 40);
  EXPECT_EQ(found.vision.window_size, 3);
  EXPECT_THAT(found.vision.global_layers, testing::ElementsAre(1));
  EXPECT_EQ(found.decoder.mlp_dim, 40);
  EXPECT_EQ(found.decoder.final_downsample, 2);
  EXPECT_EQ(found.decoder.iou_head_depth, 3);
  EXPECT_EQ(found.decoder.iou_head_width, 24);
  EXPECT_EQ(found.prompt.mask_channels, 8);
  EXPECT_EQ(found.prompt.grid, 8);
  EXPECT_EQ(found.decoder.norm_epsilon, 1e-5);
}

// A MobileSAM file of made-up numbers under the original's names.
NamedTensors mobile_tensors() {
  NamedTensors tensors;
  std::uint64_t index = 20000;
  for (const auto& [name, shape] : facts()["mobile_shapes"].items()) {
    tensors["image_encoder." + name] = weight_for(index++, name, shape.get<std::vector<std::int64_t>>());
  }
  // What training leaves behind.
  tensors["image_encoder.patch_embed.seq.0.bn.num_batches_tracked"] = at::zeros({}, at::kLong);
  index = 0;
  for (const auto& [name, entry] : facts()["mobile_rest"].items())
    tensors[entry[0].get<std::string>()] =
        weight_for(index++, name, entry[1].get<std::vector<std::int64_t>>());
  // The classifier that the published file carries.
  tensors["image_encoder.norm_head.weight"] = at::ones({40});
  tensors["image_encoder.norm_head.bias"] = at::zeros({40});
  tensors["image_encoder.head.weight"] = at::zeros({10, 40});
  tensors["image_encoder.head.bias"] = at::zeros({10});
  return tensors;
}

void write_mobile(const fs::path& folder) {
  write_tensors(folder / "mobile_sam.safetensors", mobile_tensors());
  std::ofstream(folder / "preprocessor_config.json")
      << R"({"size": {"longest_edge": 96}, "pad_size": {"height": 96, "width": 96}})";
}

TEST(Sam, MobileSamsEncoderEqualsItsRestatementAndFeedsTheSameDecoder) {
  at::NoGradGuard no_gradients;
  test::TemporaryFolder folder;
  write_mobile(folder.path());
  const auto network = load_sam(folder.path(), at::kCPU, at::kFloat).network;
  const auto embeddings = network->embed(made_up(9001, {2, 3, 96, 96}, -2, 2));
  expect_golden("mobile.image_embeddings", embeddings);
  expect_output("mobile.boxes", network->segment(embeddings, {prompts_of(96, 6).boxes, {}, {}, {}}, false));
  const SamSegmenter segmenter(folder.path());
  EXPECT_TRUE(segmenter.is_mobile());
  EXPECT_THAT(segmenter.files(), testing::ElementsAre(folder / "mobile_sam.safetensors"));
}

TEST(Sam, FoldingBatchNormsTwiceChangesNothing) {
  at::NoGradGuard no_gradients;
  test::TemporaryFolder folder;
  write_tensors(folder / "mobile_sam.safetensors", mobile_tensors());
  const auto network = load_sam(folder / "mobile_sam.safetensors", at::kCPU, at::kFloat).network;
  const auto pixels = made_up(1, {1, 3, 64, 64});
  const auto once = network->embed(pixels);
  network->finish_loading();
  EXPECT_LT(farthest(network->embed(pixels), once), 1e-5 * once.abs().max().item<double>());
}

TEST(Sam, HalfPrecisionStaysNearFloat) {
  at::NoGradGuard no_gradients;
  test::TemporaryFolder folder, mobile;
  write_model(folder.path(), "windows");
  write_mobile(mobile.path());
  for (const auto& [dtype, tolerance] : {std::pair{at::kHalf, 0.01}, std::pair{at::kBFloat16, 0.08}}) {
    const auto run = [&, type = dtype](const fs::path& path, std::int64_t size,
                                       std::int64_t grid) -> Sam::Output {
      const auto network = load_sam(path, at::kCPU, type).network;
      const auto embeddings = network->embed(made_up(9001, {2, 3, size, size}, -2, 2).to(type));
      EXPECT_EQ(embeddings.scalar_type(), type);
      const auto output = network->segment(
          embeddings, {prompts_of(static_cast<double>(size), grid).boxes, {}, {}, {}}, false);
      return {output.pred_masks.to(at::kFloat), output.iou_scores.to(at::kFloat)};
    };
    expect_output("windows.boxes", run(folder.path(), 64, 8), tolerance);
    expect_output("mobile.boxes", run(mobile.path(), 96, 6), tolerance);
  }
  auto tensors = mobile_tensors();
  tensors["image_encoder.neck.0.weight"].fill_(1e6);
  write_tensors(mobile / "mobile_sam.safetensors", tensors);
  EXPECT_THAT(problems_of([&] { load_sam(mobile.path(), at::kCPU, at::kHalf); }),
              testing::ElementsAre(testing::HasSubstr("neck.conv1.weight")));
}

TEST(Sam, TwinOfThePositionsMayBeThereOrNot) {
  test::TemporaryFolder folder;
  const auto config = write_model(folder.path(), "windows");
  const std::string first = "shared_image_embedding.positional_embedding",
                    second = "prompt_encoder.shared_embedding.positional_embedding";
  const auto state = made_up_state(config);
  const auto load = [&](const NamedTensors& tensors) {
    write_tensors(folder / "model.safetensors", tensors);
    return problems_of([&] {
      const auto network = load_sam(folder.path(), at::kCPU, at::kFloat).network;
      EXPECT_TRUE(at::equal(state_of(*network).at(first), state.at(first)));
    });
  };
  auto tensors = state;
  EXPECT_THAT(load(tensors), testing::IsEmpty());
  tensors[second] = state.at(first);
  EXPECT_THAT(load(tensors), testing::IsEmpty());
  tensors.erase(first);
  EXPECT_THAT(load(tensors), testing::IsEmpty());
  tensors[first] = state.at(first) + 1;
  EXPECT_THAT(load(tensors), testing::ElementsAre(testing::HasSubstr("but differ")));
  tensors.erase(first);
  tensors.erase(second);
  EXPECT_THAT(load(tensors),
              testing::ElementsAre(testing::HasSubstr("positional_embedding [2, 16] is missing")));
}

TEST(Sam, EverythingWrongWithAFileIsToldAtOnce) {
  test::TemporaryFolder folder;
  auto tensors = made_up_state(write_model(folder.path(), "windows"));
  tensors.erase("vision_encoder.layers.1.attn.rel_pos_w");
  tensors["vision_encoder.layers.0.attn.rel_pos_h"] = at::zeros({7, 8});
  tensors["mask_decoder.typo.weight"] = at::zeros({1});
  tensors["an.int64.buffer"] = at::zeros({2}, at::kLong);
  write_tensors(folder / "model.safetensors", tensors);
  using testing::HasSubstr;
  EXPECT_THAT(
      problems_of([&] { load_sam(folder.path(), at::kCPU, at::kFloat); }),
      testing::UnorderedElementsAre(HasSubstr("rel_pos_w [15, 8] is missing"), HasSubstr("has shape [7, 8]"),
                                    HasSubstr("mask_decoder.typo.weight [1] is not part"),
                                    HasSubstr("an.int64.buffer [2] is not part")));
}

TEST(Sam, PickledFilesAreRefusedWithTheWayToConvertThem) {
  test::TemporaryFolder folder;
  std::ofstream(folder / "mobile_sam.pt") << "PK";
  for (const auto& path : {folder.path(), folder / "mobile_sam.pt"})
    EXPECT_THAT(problems_of([&] { load_sam(path, at::kCPU, at::kFloat); }),
                testing::ElementsAre(testing::HasSubstr("mobile_sam.pt mobile_sam.safetensors")));
}

TEST(Sam, EverythingWrongWithAConfigurationIsToldAtOnce) {
  test::TemporaryFolder folder;
  auto config = facts()["configs"]["windows"]["config.json"];
  config["vision_config"]["num_attention_heads"] = 5;
  config["vision_config"]["hidden_act"] = "relu";
  config["prompt_encoder_config"]["hidden_size"] = 48;
  config["prompt_encoder_config"]["num_point_embeddings"] = 3;
  config["mask_decoder_config"] = 7;
  std::ofstream(folder / "config.json") << config.dump();
  const auto problems = problems_of([&] { read_sam_config(folder / "config.json"); });
  EXPECT_GE(problems.size(), 5u);
  for (const auto* part :
       {"vision_config.num_attention_heads", "vision_config.hidden_act", "num_pos_feats",
        "prompt_encoder_config.num_point_embeddings", "mask_decoder_config: must be an object"})
    EXPECT_THAT(problems, testing::Contains(testing::HasSubstr(part)));
  config = facts()["configs"]["windows"]["config.json"];
  config["model_type"] = "sam2";
  std::ofstream(folder / "config.json") << config.dump();
  EXPECT_THAT(problems_of([&] { read_sam_config(folder / "config.json"); }),
              testing::ElementsAre(testing::HasSubstr("of sam2")));
}

TEST(Sam, FullSizeModelsHaveThePublishedNamesShapesAndCounts) {
  struct Published {
    std::string name;
    SamConfig config;
    std::int64_t parameters;
  };
  std::vector<Published> models(4);
  models[0] = {"vit_b", {}, 93'735'472};
  models[1] = {"vit_l", {}, 312'342'832};
  models[1].config.vision = {
      .hidden_size = 1024, .layers = 24, .heads = 16, .mlp_dim = 4096, .global_layers = {5, 11, 17, 23}};
  models[2] = {"vit_h", {}, 641'090'608};
  models[2].config.vision = {
      .hidden_size = 1280, .layers = 32, .heads = 16, .mlp_dim = 5120, .global_layers = {7, 15, 23, 31}};
  models[3] = {"mobile", {}, 9'808'452};
  models[3].config.mobile = TinyVitConfig{};
  for (const auto& model : models) {
    const Sam network(model.config);
    // The published counts leave out the matrix of random frequencies, a buffer in Meta's code.
    constexpr std::int64_t frequencies = 2 * 128;
    EXPECT_EQ(parameter_count(network) - frequencies, model.parameters) << model.name;
    EXPECT_EQ(parameter_count(network), facts()["full_size"][model.name]["parameters"].get<std::int64_t>());
    std::string listing;
    for (const auto& [name, tensor] : state_of(network)) {
      std::string shape;
      for (const auto extent : tensor.sizes()) shape += (shape.empty() ? "" : "x") + std::to_string(extent);
      listing += name + " " + shape + "\n";
    }
    const std::vector<std::uint8_t> bytes(listing.begin(), listing.end());
    EXPECT_EQ(test::crc32(bytes), facts()["full_size"][model.name]["names"].get<std::uint32_t>())
        << model.name;
  }
}

TEST(Sam, WindowsCutPadAndComeBack) {
  const auto x = made_up(3, {2, 64, 64, 5});
  const auto windows = to_windows(x, 14);
  ASSERT_EQ(windows.sizes(), (std::vector<std::int64_t>{50, 14, 14, 5}));
  // The seventh window: second row, second column; the last: mostly padding.
  EXPECT_TRUE(at::equal(windows[6], x[0].slice(0, 14, 28).slice(1, 14, 28)));
  EXPECT_TRUE(at::equal(windows[24].slice(0, 0, 8).slice(1, 0, 8), x[0].slice(0, 56).slice(1, 56)));
  EXPECT_EQ(windows[24].slice(0, 8).abs().sum().item<double>(), 0);
  EXPECT_TRUE(at::equal(from_windows(windows, 64, 64), x));
  EXPECT_TRUE(at::equal(from_windows(to_windows(x, 64), 64, 64), x));
}

// Rows of the tables are looked up place by place, logits and softmax written out in double precision.
at::Tensor plain_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& rel_h, const at::Tensor& rel_w, std::int64_t side) {
  auto logits = q.matmul(k.transpose(-1, -2)) / std::sqrt(static_cast<double>(q.size(-1)));
  for (std::int64_t i = 0; i < side * side; ++i) {
    for (std::int64_t j = 0; j < side * side; ++j) {
      const auto rows = rel_h[i / side - j / side + side - 1] + rel_w[i % side - j % side + side - 1];
      logits.select(2, i).select(2, j).add_(q.select(2, i).matmul(rows));
    }
  }
  return logits.softmax(-1).matmul(v);
}

TEST(Sam, ChunkedAttentionWithRelativePositionsEqualsThePlainForm) {
  constexpr std::int64_t batch = 3, heads = 2, side = 6, width = 8, places = side * side;
  const auto q = made_up(1, {batch, heads, places, width}, -2, 2),
             k = made_up(2, {batch, heads, places, width}, -2, 2);
  const auto v = made_up(3, {batch, heads, places, width});
  const auto rel_h = made_up(4, {2 * side - 1, width}), rel_w = made_up(5, {2 * side - 1, width});
  const auto plain = plain_attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble),
                                     rel_h.to(at::kDouble), rel_w.to(at::kDouble), side);
  constexpr std::int64_t row_bytes = side * places * 4, head_bytes = side * row_bytes;
  // Rows one by one, four and two, single heads, all heads, two windows and one, everything.
  for (const std::int64_t budget :
       {std::int64_t{1}, 4 * row_bytes, head_bytes, 2 * head_bytes, 4 * head_bytes, std::int64_t{1} << 30}) {
    EXPECT_LT(farthest(attend_with_positions(q, k, v, rel_h, rel_w, GridPlaces(side), budget), plain), 2e-6)
        << budget;
  }
}

// ViT-H's heads, in a window and on the whole grid.
TEST(Sam, PositionsFoldedIntoQueriesAndKeysEqualThoseThatAreAdded) {
  constexpr std::int64_t batch = 2, heads = 2, width = 80, budget = std::int64_t{64} << 20;
  for (const std::int64_t side : {14, 64}) {
    const std::vector<std::int64_t> shape{side == 14 ? batch : 1, heads, side * side, width};
    const auto q = made_up(1, shape, -2, 2), k = made_up(2, shape, -2, 2), v = made_up(3, shape);
    const auto rel_h = made_up(4, {2 * side - 1, width}), rel_w = made_up(5, {2 * side - 1, width});
    const GridPlaces places(side);
    const auto added = attend_with_positions(q, k, v, rel_h, rel_w, places, budget);
    const auto folded = attend_with_folded_positions(q, k, v, rel_h, rel_w, places);
    ASSERT_EQ(folded.sizes(), added.sizes());
    EXPECT_LT(farthest(folded, added), 1e-5) << side;
    EXPECT_GT(added.abs().max().item<double>(), 0.1) << "else the bound says nothing";
  }
}

TEST(SamProcessing, SizesAreTheOriginals) {
  for (const auto& row : facts()["sizes"]) {
    const auto size = sam_resized(row[0], row[1], 1024);
    EXPECT_EQ(size.height, row[2].get<int>()) << row;
    EXPECT_EQ(size.width, std::max(1, row[3].get<int>())) << row;  // the original fails where a side vanishes
  }
}

TEST(SamProcessing, BoxesAreTransformers) {
  for (const auto& row : facts()["boxes"]) {
    const SamSize source{row[0], row[1]};
    const auto box =
        sam_boxes({{3.3F, -7.125, 481.9F, 320.75}}, source, sam_resized(source.height, source.width, 1024));
    for (int i = 0; i < 4; ++i)
      EXPECT_FLOAT_EQ(box[0][0][i].item<float>(), row[static_cast<std::size_t>(2 + i)].get<float>()) << row;
  }
  EXPECT_EQ(sam_boxes({}, {10, 10}, {1024, 1024}).sizes(), (std::vector<std::int64_t>{1, 0, 4}));
}

TEST(SamProcessing, PhotographsComeAndGoAsInTransformers) {
  const fs::path photos = test::test_data() / "photos";
  if (!fs::exists(photos)) GTEST_SKIP() << "the photographs are not there: " << photos;
  for (const auto& [name, photo] : facts()["photos"].items()) {
    const auto image = io::read_image(photos / name).image;
    const SamSize source{image.height, image.width};
    ASSERT_EQ(test::crc32(image.pixels), photo["crc32"].get<std::uint32_t>()) << name;
    const auto picture = sam_picture(image, {});
    ASSERT_EQ(picture.resized.height, photo["resized"][0].get<int>()) << name;
    ASSERT_EQ(picture.resized.width, photo["resized"][1].get<int>()) << name;
    const auto small = io::resize(image, picture.resized.height, picture.resized.width);
    EXPECT_EQ(test::crc32(small.pixels), photo["small_crc32"].get<std::uint32_t>()) << name;
    // transformers itself had those pixels, up to rounding in float32.
    EXPECT_LT(photo["farthest_step"].get<double>(), 1e-3) << name;
    for (const auto& pixel : photo["pixels"])
      EXPECT_NEAR(picture.pixel_values[0][pixel[0].get<int>()][pixel[1].get<int>()][pixel[2].get<int>()]
                      .item<float>(),
                  pixel[3].get<float>(), 1e-6)
          << name;
    EXPECT_EQ(picture.pixel_values.slice(2, picture.resized.height).abs().sum().item<double>(), 0) << name;
    EXPECT_EQ(picture.pixel_values.slice(3, picture.resized.width).abs().sum().item<double>(), 0) << name;
    const auto box =
        sam_boxes({{10.25, 20.5, image.width * 0.75, image.height - 1.0}}, source, picture.resized);
    for (int i = 0; i < 4; ++i)
      EXPECT_FLOAT_EQ(box[0][0][i].item<float>(), photo["box"][static_cast<std::size_t>(i)].get<float>())
          << name;

    const auto low = made_up(9100 + photo["index"].get<std::uint64_t>(), {1, 2, 256, 256}, -4, 4);
    const auto soft = sam_source_logits(low, 1024, picture.resized, source);
    ASSERT_EQ(soft.sizes(), (std::vector<std::int64_t>{1, 2, image.height, image.width}));
    for (const auto& place : photo["logits"])
      EXPECT_NEAR(soft[0][place[0].get<int>()][place[1].get<int>()][place[2].get<int>()].item<float>(),
                  place[3].get<float>(), 1e-5)
          << name;
    for (const int mask : {0, 1}) {
      // A logit of 0 up to rounding may fall to either side.
      EXPECT_NEAR((soft[0][mask] > 0).sum().item<double>(),
                  photo["object_pixels"][static_cast<std::size_t>(mask)].get<double>(), 3)
          << name;
    }
  }
}

TEST(SamProcessing, ConfigurationsOfBothLayoutsAreRead) {
  for (const auto* layout : {"tiny_processor", "tiny_image_processor"}) {
    test::TemporaryFolder folder;
    write_json(folder.path(), facts()[layout]);
    const auto read = read_sam_preprocessing(folder.path(), 64);
    EXPECT_EQ(read.longest_edge, 64) << layout;
    EXPECT_EQ(read.image_size, 64) << layout;
    EXPECT_THAT(problems_of([&] { read_sam_preprocessing(folder.path(), 1024); }),
                testing::ElementsAre(testing::HasSubstr("pad_size")));
  }
  test::TemporaryFolder folder;
  std::ofstream(folder / "preprocessor_config.json")
      << R"({"resample": 3, "do_pad": false, "image_std": [0, 1, 1], "image_mean": [1], "size": {"longest_edge": 2000}})";
  EXPECT_EQ(problems_of([&] { read_sam_preprocessing(folder.path(), 1024); }).size(), 5u);
}

io::Image golden_picture(int height, int width) {
  io::Image picture(height, width, 3);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = static_cast<std::uint8_t>(test::hashed_number(9200, i) * 256);
  return picture;
}

std::vector<SamSegmenter::Box> golden_boxes(double height, double width) {
  return {{2, 3, width / 2, height - 4}, {0, 0, width, height}, {width / 3, 5.5, width - 1.25, height / 2}};
}

class Segmenter : public testing::Test {
 protected:
  Segmenter() {
    write_model(folder.path(), "windows");
    write_json(folder.path(), facts()["tiny_processor"]);
  }
  test::TemporaryFolder folder;
};

TEST_F(Segmenter, PicturesFromBeginningToEndAsTransformers) {
  const SamSegmenter segmenter(folder.path());
  EXPECT_FALSE(segmenter.is_mobile());
  for (const auto& [name, height, width] : {std::tuple{"wide", 37, 101}, std::tuple{"tall", 90, 41}}) {
    const std::string prefix = name;
    const auto embedding = segmenter.embed(golden_picture(height, width), true);
    EXPECT_LT(farthest(embedding.pixel_values, golden().at(prefix + ".pixel_values")), 1e-6);
    SamTrace trace;
    const auto all = segmenter.segment(embedding, golden_boxes(height, width), {.multimask = true}, &trace);
    EXPECT_LT(farthest(trace.input_boxes, golden().at(prefix + ".input_boxes")), 1e-5);
    EXPECT_FALSE(trace.input_points.defined());
    expect_golden(prefix + ".pred_masks", trace.pred_masks);
    expect_golden(prefix + ".iou_scores", trace.iou_scores);
    const auto& masks = golden().at(prefix + ".masks");  // [box, mask, H, W] of 0 and 1
    ASSERT_EQ(all.size(), 3u);
    for (std::size_t box = 0; box < all.size(); ++box) {
      ASSERT_EQ(all[box].masks.size(), 3u);
      const auto scores = golden().at(prefix + ".iou_scores")[0][static_cast<std::int64_t>(box)];
      EXPECT_EQ(all[box].best(), static_cast<std::size_t>(scores.argmax().item<std::int64_t>()));
      for (std::size_t m = 0; m < 3; ++m) {
        auto& mask = all[box].masks[m];
        ASSERT_EQ(mask.height, height);
        ASSERT_EQ(mask.width, width);
        auto ours = at::empty({height, width}, at::kByte);
        std::copy(mask.pixels.begin(), mask.pixels.end(), ours.data_ptr<std::uint8_t>());
        const auto theirs = masks[static_cast<std::int64_t>(box)][static_cast<std::int64_t>(m)] * 255;
        EXPECT_LE((ours != theirs).sum().item<std::int64_t>(), 1) << prefix << box << m;  // a logit of 0
      }
    }
  }
}

TEST_F(Segmenter, ManyBoxesAFewBoxesAndNoBoxesGiveTheSameMasks) {
  const SamSegmenter segmenter(folder.path());
  const auto embedding = segmenter.embed(golden_picture(20, 30));
  std::vector<SamSegmenter::Box> boxes;
  for (int i = 0; i < 1003; ++i) {
    const auto place = [i](std::uint64_t which, double extent) {
      return test::hashed_number(50 + which, static_cast<std::uint64_t>(i)) * extent;
    };
    const double x = place(0, 25), y = place(1, 15);
    boxes.push_back({x, y, x + place(2, 10), y + place(3, 10)});
  }
  SamTrace trace;
  const auto all = segmenter.segment(embedding, boxes, {}, &trace);
  EXPECT_EQ(trace.pred_masks.sizes(), (std::vector<std::int64_t>{1, 1003, 1, 32, 32}));
  for (const std::size_t i : {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{1002}}) {
    SamTrace one;
    const auto alone = segmenter.segment(embedding, {boxes[i]}, {}, &one);
    ASSERT_EQ(alone.size(), 1u);
    EXPECT_NEAR(alone[0].iou_scores[0], all[i].iou_scores[0], 1e-5);
    EXPECT_LT(farthest(one.pred_masks[0][0], trace.pred_masks[0][static_cast<std::int64_t>(i)]), 1e-5);
  }
  for (const bool centre : {false, true}) {
    SamTrace none;
    EXPECT_TRUE(segmenter.segment(embedding, {}, {.multimask = true, .centre_point = centre}, &none).empty());
    EXPECT_EQ(none.pred_masks.sizes(), (std::vector<std::int64_t>{1, 0, 3, 32, 32}));
    EXPECT_EQ(none.iou_scores.sizes(), (std::vector<std::int64_t>{1, 0, 3}));
  }
  EXPECT_TRUE(segmenter.segment(embedding, {}).empty());
}

TEST_F(Segmenter, ThreadsShareOneAndAgree) {
  const SamSegmenter segmenter(folder.path());
  const auto expected = segmenter.segment(segmenter.embed(golden_picture(37, 101)), golden_boxes(37, 101));
  std::vector<std::vector<SamBoxMasks>> found(3);
  std::vector<std::thread> threads;
  for (auto& mine : found)
    threads.emplace_back([&segmenter, &mine] {
      at::set_num_threads(1);
      mine = segmenter.segment(segmenter.embed(golden_picture(37, 101)), golden_boxes(37, 101));
    });
  for (auto& thread : threads) thread.join();
  for (const auto& mine : found) {
    for (std::size_t box = 0; box < expected.size(); ++box)
      EXPECT_EQ(mine[box].masks[0].pixels, expected[box].masks[0].pixels);
  }
}

// The point in the middle is what Sam::segment makes of it.
TEST_F(Segmenter, CentrePointsGoIntoTheNetwork) {
  const SamSegmenter segmenter(folder.path());
  const auto embedding = segmenter.embed(golden_picture(37, 101));
  SamTrace trace;
  segmenter.segment(embedding, golden_boxes(37, 101), {.centre_point = true}, &trace);
  const auto network = load_sam(folder.path(), at::kCPU, at::kFloat).network;
  EXPECT_LT(farthest(trace.input_points[0][1][0], at::tensor({32.0, 11.5})), 1e-5);
  at::NoGradGuard no_gradients;
  const auto output = network->segment(
      embedding.features, {trace.input_boxes, trace.input_points, trace.input_labels, {}}, false);
  EXPECT_LT(farthest(output.pred_masks, trace.pred_masks), 1e-6);
}

TEST_F(Segmenter, BrokenRequestsAreToldWhole) {
  const SamSegmenter segmenter(folder.path());
  EXPECT_THROW(segmenter.embed(io::Image(4, 4, 1)), DataError);
  EXPECT_THROW(segmenter.embed(io::Image()), DataError);
  const auto embedding = segmenter.embed(io::Image(1, 3000, 3));  // a side that would vanish
  EXPECT_EQ(embedding.resized_height, 1);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(problems_of([&] {
                segmenter.segment(embedding, {{0, 0, 1, 1}, {5, 0, 1, 1}, {0, 0, nan, 1}});
              }),
              testing::ElementsAre(testing::HasSubstr("box 1"), testing::HasSubstr("box 2")));
  const auto masks = segmenter.segment(embedding, {{0, 0, 3000, 1}, {1e30, 0, 1e30, 0}});
  EXPECT_EQ(masks[0].masks[0].width, 3000);
}

TEST_F(Segmenter, ForwardRunsWhatTransformersRuns) {
  const auto& model = forward_model("sam");
  const auto all = prompts_of(64, 8);
  ForwardRequest request;
  request.weights = folder.path();
  request.inputs = {{"pixel_values", made_up(9001, {2, 3, 64, 64}, -2, 2)}, {"input_boxes", all.boxes}};
  auto outputs = model.run(request);
  expect_output("windows.boxes_multimask", {outputs.at("pred_masks"), outputs.at("iou_scores")});
  request.inputs = {{"image_embeddings", outputs.at("image_embeddings")},
                    {"input_boxes", all.boxes},
                    {"input_points", all.points},
                    {"input_labels", all.labels},
                    {"input_masks", all.masks},
                    {"multimask_output", at::zeros({1}, at::kLong)}};
  outputs = model.run(request);
  expect_output("windows.all", {outputs.at("pred_masks"), outputs.at("iou_scores")});
  request.inputs = {{"input_boxes", at::zeros({2, 3, 5})}, {"input_box", all.boxes}};
  EXPECT_EQ(problems_of([&] { model.run(request); }).size(), 3u);
}

}  // namespace
}  // namespace deda::models
