// CLIP against transformers (tests/golden/clip.py): networks, configurations, pictures to the last bit, and a
// folder from beginning to end; what is wrong with a folder is told at once.
#include "models/clip/clip.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.h"
#include "core/files.h"
#include "io/pictures/image_codec.h"
#include "models/clip/processor.h"
#include "models/clip/scorer.h"
#include "models/made_up_weights.h"
#include "models/registry.h"
#include "support/crc32.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::made_up;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::SizeIs;

// Float32 on both sides; what is left is the order of sums over a few layers. The promise is 2e-4.
constexpr double tolerance_of_scale = 5e-6;

const json& facts() {
  static const auto read = json::parse(read_text(DEDA_SOURCE_DIR "/tests/golden/clip.json"));
  return read;
}
const NamedTensors& golden() {
  static const auto tensors = read_tensors(DEDA_SOURCE_DIR "/tests/golden/clip.safetensors");
  return tensors;
}

void expect_golden(const std::string& name, const at::Tensor& found) {
  ASSERT_EQ(golden().count(name), 1u) << name;
  const auto& expected = golden().at(name);
  ASSERT_EQ(found.sizes(), expected.sizes()) << name;
  const double scale = expected.abs().max().item<double>();
  EXPECT_LT((found - expected).abs().max().item<double>(), tolerance_of_scale * scale) << name;
}

template <class Failure = DataError, class Work>
std::vector<std::string> problems_of(const Work& work) {
  try {
    work();
  } catch (const Failure& error) {
    std::vector<std::string> texts;
    for (const auto& problem : error.problems()) texts.push_back(to_string(problem));
    return texts;
  }
  return {};
}

ClipConfig config_of(const json& text) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "config.json") << text;
  return read_clip_config(folder / "config.json");
}

std::shared_ptr<Clip> made(const ClipConfig& config) {
  auto network = std::make_shared<Clip>(config);
  test::fill_made_up(*network);
  freeze(*network);
  return network;
}

at::Tensor ids_of(const json& rows) {
  std::vector<at::Tensor> tensors;
  for (const auto& row : rows) tensors.push_back(at::tensor(row.get<std::vector<std::int64_t>>(), at::kLong));
  return at::stack(tensors);
}

// As the golden script's formula.
io::Image picture(int height, int width) {
  io::Image image(height, width, 3);
  for (std::uint64_t i = 0; i < image.pixels.size(); ++i) {
    std::uint64_t value = (i * 2654435761u + 12345u) & 0xFFFFFFFFu;
    value ^= value >> 15;
    image.pixels[i] = static_cast<std::uint8_t>(value * 2246822519u >> 24 & 255);
  }
  return image;
}

std::uint32_t checksum(const at::Tensor& pixels) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(pixels.const_data_ptr<float>());
  return test::crc32({bytes, bytes + pixels.numel() * static_cast<std::int64_t>(sizeof(float))});
}

// A whole folder, as the golden script's model from beginning to end; its weights may be another
// configuration's.
void write_folder(const fs::path& folder, const json& config, const json& weights_of) {
  make_folder(folder);
  std::ofstream(folder / "config.json") << config;
  std::ofstream(folder / "preprocessor_config.json") << facts()["whole"]["processor"];
  for (const auto& file : fs::directory_iterator(DEDA_SOURCE_DIR "/tests/golden/word_tokenizer"))
    fs::copy_file(file.path(), folder / file.path().filename());
  const auto network = made(config_of(weights_of));
  NamedTensors tensors;
  for (const auto& [name, tensor] : state_of(*network)) tensors[name] = tensor;
  tensors["logit_scale"] = at::full({}, facts()["whole"]["logit_scale"].get<float>());
  // Buffers that older files carry.
  tensors["text_model.embeddings.position_ids"] = at::arange(77).unsqueeze(0);
  tensors["vision_model.embeddings.position_ids"] = at::arange(5).unsqueeze(0);
  write_tensors(folder / "model.safetensors", tensors);
}
void write_folder(const fs::path& folder) {
  write_folder(folder, facts()["whole"]["config"], facts()["whole"]["config"]);
}

std::vector<io::Image> whole_pictures() {
  return {picture(37, 101), picture(90, 41), picture(64, 64)};
}
std::vector<std::string> whole_texts() {
  return facts()["whole"]["texts"].get<std::vector<std::string>>();
}

TEST(Clip, EqualsTransformersInThreeLayouts) {
  for (const auto* name : {"patch32", "patch16_gelu", "patch8_rest"}) {
    const auto config = config_of(facts()["configs"][name]);
    const auto network = made(config);
    const auto size = config.vision.image_size;
    const auto images = network->image_embeds(made_up(9001, {3, 3, size, size}, -2, 2));
    const auto texts = network->text_embeds(ids_of(facts()[std::string{"ids."} + name]));
    expect_golden(std::string{name} + ".image_embeds", images);
    expect_golden(std::string{name} + ".text_embeds", texts);
    expect_golden(std::string{name} + ".logits_per_image", network->logits_per_image(images, texts));
  }
}

TEST(Clip, GradientsFlowThroughBothTowers) {
  auto network = made(config_of(facts()["configs"]["patch32"]));
  for (auto& parameter : network->parameters()) parameter.set_requires_grad(true);
  const auto images = network->image_embeds(made_up(9001, {3, 3, 64, 64}, -2, 2));
  const auto texts = network->text_embeds(ids_of(facts()["ids.patch32"]));
  expect_golden("patch32.image_embeds", images.detach());
  network->logits_per_image(images, texts).square().sum().backward();
  for (const auto& parameter : network->named_parameters()) {
    ASSERT_TRUE(parameter.value().grad().defined()) << parameter.key();
    // A key's bias shifts all of a row's products alike, which the softmax does not see.
    if (parameter.key().find("k_proj.bias") == std::string::npos) {
      EXPECT_GT(parameter.value().grad().abs().max().item<double>(), 1e-6) << parameter.key();
    }
  }
}

TEST(Clip, PublishedModelsHaveTheirNamesShapesAndSizes) {
  for (const auto& [name, expected] : facts()["published"].items()) {
    const Clip network(config_of(expected["config"]));
    EXPECT_EQ(parameter_count(network), expected["parameters"].get<std::int64_t>()) << name;
    std::string listing;
    std::size_t count = 0;
    for (const auto& [tensor_name, tensor] : state_of(network)) {
      listing += tensor_name + " ";
      for (std::int64_t i = 0; i < tensor.dim(); ++i)
        listing += (i > 0 ? "x" : "") + std::to_string(tensor.size(i));
      listing += "\n";
      ++count;
    }
    EXPECT_EQ(count, expected["tensors"].get<std::size_t>()) << name;
    const auto* letters = reinterpret_cast<const std::uint8_t*>(listing.data());
    EXPECT_EQ(test::crc32({letters, listing.size()}), expected["names"].get<std::uint32_t>()) << name;
  }
  EXPECT_EQ(facts()["published"]["base-patch32"]["parameters"], 151277313);
}

TEST(ClipConfig, IsReadAsTransformersReadsIt) {
  ASSERT_EQ(facts()["read"].size(), 4u);
  for (const auto& each : facts()["read"]) {
    const auto config = config_of(each["given"]);
    const auto given = each["given"].dump();
    const auto &text = each["text"], &vision = each["vision"];
    EXPECT_EQ(config.text.vocab_size, text["vocab_size"]) << given;
    EXPECT_EQ(config.text.hidden_size, text["hidden_size"]) << given;
    EXPECT_EQ(config.text.layers, text["num_hidden_layers"]) << given;
    EXPECT_EQ(config.text.heads, text["num_attention_heads"]) << given;
    EXPECT_EQ(config.text.intermediate_size, text["intermediate_size"]) << given;
    EXPECT_EQ(config.text.positions, text["max_position_embeddings"]) << given;
    EXPECT_EQ(config.text.eos_token_id, text["eos_token_id"]) << given;
    EXPECT_EQ(config.text.quick_gelu, text["hidden_act"] == "quick_gelu") << given;
    EXPECT_EQ(config.vision.hidden_size, vision["hidden_size"]) << given;
    EXPECT_EQ(config.vision.layers, vision["num_hidden_layers"]) << given;
    EXPECT_EQ(config.vision.heads, vision["num_attention_heads"]) << given;
    EXPECT_EQ(config.vision.intermediate_size, vision["intermediate_size"]) << given;
    EXPECT_EQ(config.vision.image_size, vision["image_size"]) << given;
    EXPECT_EQ(config.vision.patch_size, vision["patch_size"]) << given;
    EXPECT_EQ(config.vision.quick_gelu, vision["hidden_act"] == "quick_gelu") << given;
    EXPECT_EQ(config.projection, each["projection_dim"]) << given;
    EXPECT_EQ(config.text.projection, config.projection) << given;
  }
}

TEST(ClipConfig, IsWrittenSoThatItReadsTheSame) {
  for (const auto& [name, given] : facts()["configs"].items()) {
    const auto config = config_of(given);
    const auto text = to_json(config);
    const auto written = json::parse(text);
    EXPECT_EQ(written["model_type"], "clip");
    for (const auto* side : {"text_config", "vision_config"}) {
      for (const auto& [key, value] : written[side].items()) {
        if (key == "projection_dim" || key == "pad_token_id" || key == "bos_token_id") continue;
        EXPECT_EQ(value, given[side][key]) << name << " " << side << "." << key;
      }
    }
    EXPECT_EQ(to_json(config_of(written)), text) << name;
  }
}

TEST(ClipConfig, AllProblemsAreToldAtOnce) {
  const auto problems = problems_of([] {
    config_of({{"model_type", "clip"},
               {"projection_dim", 0},
               {"text_config", {{"hidden_act", "relu"}, {"num_attention_heads", 7}}},
               {"vision_config", {{"patch_size", 300}, {"num_channels", 4}, {"hidden_size", "wide"}}}});
  });
  EXPECT_THAT(problems, SizeIs(6));
  EXPECT_THAT(problems,
              IsSupersetOf({HasSubstr("text_config.hidden_act"), HasSubstr("text_config.num_attention_heads"),
                            HasSubstr("vision_config.patch_size"), HasSubstr("vision_config.num_channels"),
                            HasSubstr("vision_config.hidden_size"), HasSubstr("projection_dim")}));
  EXPECT_THAT(problems_of([] {
                config_of({{"model_type", "clip_text_model"}});
              }),
              ElementsAre(HasSubstr("not of a whole CLIP")));
  EXPECT_THAT(problems_of([] {
                config_of({{"_class_name", "AutoencoderKL"}});
              }),
              ElementsAre(HasSubstr("not the configuration of a CLIP")));
  EXPECT_THAT(problems_of([] {
                config_of({{"model_type", "clip"}, {"architectures", {"CLIPForImageClassification"}}});
              }),
              ElementsAre(HasSubstr("architectures")));
}

ClipPreprocessing preprocessing_of(const json& text, std::int64_t image_size) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "preprocessor_config.json") << text;
  return read_clip_preprocessing(folder.path(), image_size);
}

TEST(ClipProcessor, MadeUpPicturesOfAllShapesAreTheOriginalsToTheLastBit) {
  std::size_t count = 0;
  for (const auto& each : facts()["made_up_pictures"]) {
    const auto preprocessing = preprocessing_of(facts()["processors"][each[0].get<std::string>()], 0);
    const auto pixels = clip_pixels({picture(each[1].get<int>(), each[2].get<int>())}, preprocessing);
    ASSERT_EQ(pixels.sizes(),
              (std::vector<std::int64_t>{1, 3, preprocessing.crop_size, preprocessing.crop_size}));
    EXPECT_EQ(checksum(pixels), each[3].get<std::uint32_t>())
        << each.dump() << ", sum " << pixels.to(at::kDouble).sum().item<double>();
    ++count;
  }
  EXPECT_EQ(count, 40u);
}

TEST(ClipProcessor, PhotographsAreTheOriginalsToTheLastBit) {
  const fs::path photos = test::test_data() / "photos";
  if (!fs::exists(photos)) GTEST_SKIP() << "the photographs are not there: " << photos;
  std::vector<io::Image> pictures;
  std::vector<std::uint32_t> expected;
  for (const auto& [name, photo] : facts()["photos"].items()) {
    pictures.push_back(io::read_image(photos / name).image);
    ASSERT_EQ(test::crc32(pictures.back().pixels), photo["crc32"].get<std::uint32_t>()) << name;
    expected.push_back(photo["pixels"].get<std::uint32_t>());
    EXPECT_EQ(checksum(clip_pixels({pictures.back()}, {})), expected.back()) << name;
  }
  ASSERT_GE(pictures.size(), 10u);
  const auto all = clip_pixels(pictures, {});
  for (std::size_t i = 0; i < pictures.size(); ++i)
    EXPECT_EQ(checksum(all[static_cast<std::int64_t>(i)]), expected[i]) << "in a batch, picture " << i;
}

TEST(ClipProcessor, AStripCostsNoMoreThanItsPixels) {
  // 224 x 44,800,000 pixels as a whole: 30 GB.
  const auto started = std::chrono::steady_clock::now();
  for (const auto& strip : {picture(1, 200'000), picture(200'000, 1)}) {
    const auto pixels = clip_pixels({strip}, {});
    EXPECT_TRUE(pixels.isfinite().all().item<bool>());
    EXPECT_GT(pixels.std().item<double>(), 0.1) << "a part of the strip is seen";
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(20));
}

TEST(ClipProcessor, RefusesWhatIsNotRgb) {
  EXPECT_THAT(problems_of([] {
                clip_pixels({picture(3, 3), io::Image(4, 4, 4), io::Image()}, {});
              }),
              ElementsAre(HasSubstr("picture 1 is 4 x 4 x 4"), HasSubstr("picture 2 is 0 x 0 x 0")));
}

TEST(ClipProcessor, ConfigurationsOfAllLayoutsAreReadAndAllProblemsTold) {
  const auto old = preprocessing_of(facts()["processors"]["old"], 48);
  EXPECT_EQ(old.shortest_edge, 48);
  EXPECT_EQ(old.crop_size, 48);
  const auto odd = preprocessing_of({{"image_processor", facts()["processors"]["odd"]}}, 33);
  EXPECT_EQ(odd.shortest_edge, 72);
  EXPECT_EQ(odd.deviation[2], 1.5);
  const auto problems = problems_of([] {
    preprocessing_of({{"size", {{"height", 224}, {"width", 224}}},
                      {"crop_size", {{"height", 224}, {"width", 200}}},
                      {"resample", 2},
                      {"do_center_crop", false},
                      {"image_mean", {0.5}},
                      {"image_std", {1, 0, 1}},
                      {"rescale_factor", 0}},
                     32);
  });
  EXPECT_THAT(problems, SizeIs(9));
  EXPECT_THAT(problems, Contains(AllOf(HasSubstr("crop_size"), HasSubstr("pictures of 32 pixels"))));
  const test::TemporaryFolder empty;
  EXPECT_THAT(problems_of([&] { read_clip_preprocessing(empty.path(), 224); }),
              ElementsAre(HasSubstr("preprocessor_config.json")));
}

TEST(ClipScorer, AFolderFromBeginningToEndEqualsTransformers) {
  const test::TemporaryFolder folder;
  write_folder(folder / "clip");
  const ClipScorer scorer(folder / "clip");
  at::Tensor pixels;
  const auto images = scorer.image_embeds(whole_pictures(), &pixels),
             texts = scorer.text_embeds(whole_texts());
  expect_golden("whole.image_embeds", images);
  expect_golden("whole.text_embeds", texts);
  const auto shares = scorer.probabilities(images, texts);
  expect_golden("whole.probabilities", shares);
  EXPECT_LT((shares.sum(-1) - 1).abs().max().item<double>(), 1e-6);
  EXPECT_EQ(pixels.sizes(), (std::vector<std::int64_t>{3, 3, 64, 64}));
  EXPECT_EQ(scorer.embedding_width(), 24);
  EXPECT_EQ(scorer.most_tokens(), 77);
  EXPECT_THAT(scorer.files(), ElementsAre(folder / "clip/model.safetensors"));
  EXPECT_THAT(scorer.description(), HasSubstr("pictures of 64 pixels in patches of 32"));
  EXPECT_EQ(scorer.image_embeds({}).sizes(), (std::vector<std::int64_t>{0, 24}));
  EXPECT_EQ(scorer.text_embeds({}).sizes(), (std::vector<std::int64_t>{0, 24}));
}

TEST(ClipScorer, CompanyChangesNoMoreThanRounding) {
  const test::TemporaryFolder folder;
  write_folder(folder / "clip");
  const ClipScorer scorer(folder / "clip");
  std::vector<io::Image> many;
  for (int i = 0; i < 2 * ClipScorer::pictures_per_pass + 3; ++i) many.push_back(picture(40 + i, 70));
  const auto together = scorer.image_embeds(many);
  EXPECT_TRUE(at::equal(together, scorer.image_embeds(many))) << "equal calls, equal bytes";
  const double scale = together.abs().max().item<double>();
  for (std::size_t i = 0; i < many.size(); ++i)
    EXPECT_LT((together[static_cast<std::int64_t>(i)] - scorer.image_embeds({many[i]})[0])
                  .abs()
                  .max()
                  .item<double>(),
              tolerance_of_scale * scale)
        << i;
  const auto texts = scorer.text_embeds(whole_texts());
  EXPECT_LT((texts[0] - scorer.text_embeds({whole_texts()[0]})[0]).abs().max().item<double>(),
            tolerance_of_scale * texts.abs().max().item<double>())
      << "padding behind the end token has no say";
}

TEST(ClipScorer, MayBeAskedByManyThreadsAtOnce) {
  const test::TemporaryFolder folder;
  write_folder(folder / "clip");
  const ClipScorer scorer(folder / "clip");
  const auto images = scorer.image_embeds(whole_pictures()), texts = scorer.text_embeds(whole_texts());
  std::vector<std::thread> threads;
  std::array<bool, 4> equal{};
  for (auto& result : equal) {
    threads.emplace_back([&] {
      at::set_num_threads(1);
      result = true;
      for (int turn = 0; turn < 5; ++turn)
        result = result && at::allclose(images, scorer.image_embeds(whole_pictures()), 1e-5, 1e-5) &&
                 at::allclose(texts, scorer.text_embeds(whole_texts()), 1e-5, 1e-5);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(equal, testing::Each(true));
}

TEST(ClipScorer, TellsTextsThatAreTooLongAndPicturesThatAreNone) {
  const test::TemporaryFolder folder;
  write_folder(folder / "clip");
  const ClipScorer scorer(folder / "clip");
  std::string words;
  for (int i = 0; i < 75; ++i) words += " bird";
  EXPECT_EQ(scorer.text_embeds({words}).size(0), 1) << "77 tokens fit";
  EXPECT_THAT(problems_of<ConfigError>([&] {
                scorer.text_embeds({"a bird", words + " bird", words + words});
              }),
              ElementsAre(HasSubstr("has 78 tokens, CLIP takes 77"), HasSubstr("has 152 tokens")));
  EXPECT_THAT(problems_of([&] { scorer.image_embeds({io::Image(), io::Image(2, 2, 1)}); }), SizeIs(2));
}

TEST(ClipScorer, AnEmbeddingOfNoLengthGivesNoNumber) {
  const test::TemporaryFolder folder;
  write_folder(folder / "clip");
  const ClipScorer scorer(folder / "clip");
  auto images = scorer.image_embeds(whole_pictures());
  images[1].zero_();
  const auto shares = scorer.probabilities(images, scorer.text_embeds(whole_texts()));
  EXPECT_TRUE(shares[1].isnan().all().item<bool>());
  EXPECT_TRUE(shares[0].isfinite().all().item<bool>());
}

TEST(ClipScorer, EverythingThatIsWrongWithAFolderIsToldAtOnce) {
  const test::TemporaryFolder folder;
  make_folder(folder / "empty");
  EXPECT_THAT(problems_of([&] { ClipScorer scorer(folder / "empty"); }),
              IsSupersetOf({HasSubstr("/config.json"), HasSubstr("model.safetensors"),
                            HasSubstr("preprocessor_config.json"), HasSubstr("vocab.json"),
                            HasSubstr("merges.txt")}));
  EXPECT_THROW(ClipScorer(folder / "nowhere"), DataError);

  // Sizes that the weights do not have, before any memory is asked for.
  auto config = facts()["whole"]["config"];
  config["vision_config"]["hidden_size"] = 999'999;
  config["vision_config"]["num_attention_heads"] = 3;
  config["text_config"]["num_hidden_layers"] = 900'000;
  config["text_config"]["vocab_size"] = 1'000'000;
  config["text_config"]["eos_token_id"] = 5;
  write_folder(folder / "sizes", config, facts()["whole"]["config"]);
  fs::remove(folder / "sizes/preprocessor_config.json");
  const auto problems = problems_of([&] { ClipScorer scorer(folder / "sizes"); });
  EXPECT_THAT(problems,
              IsSupersetOf({HasSubstr("vision_model.embeddings.class_embedding has shape [48]"),
                            HasSubstr("visual_projection.weight has shape [24, 48]"),
                            HasSubstr("by the configuration there are 900000"),
                            HasSubstr("token_embedding.weight"), HasSubstr("preprocessor_config.json")}));

  // Tensors that are missing, of no use or misshapen.
  write_folder(folder / "tensors");
  auto tensors = read_tensors(folder / "tensors/model.safetensors");
  tensors.erase("logit_scale");
  tensors.erase("vision_model.pre_layrnorm.bias");
  tensors["vision_model.pre_layernorm.bias"] = at::zeros({48});
  tensors["vision_model.post_layernorm.weight"] = at::zeros({47});
  write_tensors(folder / "tensors/model.safetensors", tensors);
  EXPECT_THAT(problems_of([&] { ClipScorer scorer(folder / "tensors"); }),
              testing::UnorderedElementsAre(HasSubstr("logit_scale"), HasSubstr("pre_layrnorm.bias"),
                                            HasSubstr("pre_layernorm.bias"), HasSubstr("[47]")));

  // A tokenizer whose end token the network does not look for, in both ways of looking.
  for (const std::int64_t end : {5, 2}) {
    auto other = facts()["whole"]["config"];
    other["text_config"]["eos_token_id"] = end;
    const auto place = folder / ("end" + std::to_string(end));
    write_folder(place, other, other);
    const auto told = problems_of([&] { ClipScorer scorer(place); });
    if (end == clip_old_eos_token_id) {
      EXPECT_THAT(told, testing::IsEmpty()) << "the largest id is the end token";
    } else {
      EXPECT_THAT(told, ElementsAre(HasSubstr("end token")));
    }
  }
}

TEST(ClipForward, GivesWhatTransformersGivesAndRefusesWhatItDoesNotCompute) {
  const test::TemporaryFolder folder;
  write_folder(folder / "clip");
  ForwardRequest request;
  request.weights = folder / "clip";
  request.inputs_from = "in.safetensors";
  const auto ids = ids_of(facts()["whole"]["input_ids"]);
  request.inputs = {
      {"pixel_values", clip_pixels(whole_pictures(), preprocessing_of(facts()["whole"]["processor"], 64))},
      {"input_ids", ids}};
  const auto& clip = forward_model("clip");
  for (const bool masked : {false, true}) {
    if (masked) {
      auto mask = at::ones_like(ids);
      mask[1].slice(0, 4).zero_();  // start, "a", "car", end
      request.inputs["attention_mask"] = mask;
    }
    const auto outputs = clip.run(request);
    EXPECT_EQ(outputs.size(), 3u);
    expect_golden("whole.image_embeds", outputs.at("image_embeds"));
    expect_golden("whole.text_embeds", outputs.at("text_embeds"));
    expect_golden("whole.probabilities", outputs.at("logits_per_image").softmax(-1));
  }
  request.inputs["attention_mask"][1][3] = 0;
  request.inputs["pixel_value"] = at::zeros({1});
  request.inputs["pixel_values"] = at::zeros({1, 3, 32, 64});
  EXPECT_THAT(problems_of([&] { clip.run(request); }),
              ElementsAre(HasSubstr("`pixel_values` has shape"), HasSubstr("hides tokens"),
                          HasSubstr("unknown input tensor `pixel_value`")));
  request.inputs["input_ids"] = at::full({1, 80}, 1'000'000, at::kLong);
  request.inputs.erase("attention_mask");
  EXPECT_THAT(problems_of([&] { clip.run(request); }), SizeIs(4)) << "too many, too large, and those above";
  request.inputs.clear();
  EXPECT_THAT(problems_of([&] { clip.run(request); }), SizeIs(2));
}

TEST(ClipForward, ComputesInHalfPrecisionToo) {
  const test::TemporaryFolder folder;
  write_folder(folder / "clip");
  ForwardRequest request;
  request.weights = folder / "clip";
  request.dtype = torch::kBFloat16;
  request.inputs = {
      {"pixel_values", clip_pixels(whole_pictures(), preprocessing_of(facts()["whole"]["processor"], 64))},
      {"input_ids", ids_of(facts()["whole"]["input_ids"])}};
  const auto outputs = forward_model("clip").run(request);
  const auto& expected = golden().at("whole.image_embeds");
  // Eight bits of a number in three layers.
  EXPECT_LT((outputs.at("image_embeds") - expected).abs().max().item<double>(),
            0.05 * expected.abs().max().item<double>());
}

}  // namespace
}  // namespace deda::models
