// Mask sources that need networks. `semantic` on real pictures against the published figures; the box routes
// on made-up networks, whose answers the test knows, so that rules, odd pictures and odd answers are seen.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "core/files.h"
#include "decoupling/annotated_masks.h"
#include "decoupling/box_grabcut.h"
#include "decoupling/decouple.h"
#include "decoupling/looks.h"
#include "decoupling/needed_networks.h"
#include "decoupling/networks/box_masks.h"
#include "decoupling/networks/semantic_masks.h"
#include "decoupling/networks/sources.h"
#include "decoupling/networks/text_masks.h"
#include "decoupling/networks/words.h"
#include "io/formats/text_table.h"
#include "io/pictures/image_codec.h"
#include "io/pictures/resize.h"
#include "models/classifiers/exported_graph.h"
#include "models/made_up_grounding_dino.h"
#include "models/made_up_weights.h"
#include "models/sam/config.h"
#include "models/sam/sam.h"
#include "models/weights/tensor_file.h"
#include "support/temporary_folder.h"

namespace deda::decoupling {
namespace {

namespace fs = std::filesystem;

fs::path real_data() {
  const char* named = std::getenv("DEDA_TEST_DATA");
  return named != nullptr ? fs::path{named} : fs::path{DEDA_SOURCE_DIR} / ".." / "shared" / "data";
}

DecoupleConfig semantic_config() {
  DecoupleConfig config;
  config.sources = {"semantic"};
  config.deeplab = real_data() / "weights" / "deeplabv3_mnv2_pascal";
  return config;
}

// The trimap's object, 255.
io::Image decode_trimap(const data::Dataset& dataset, const data::Item& item) {
  io::Image undecided;
  return decode_mask(io::read_mask(dataset.file(item.mask)), item.mask_encoding, item.class_id,
                     TrimapBorder::outside, undecided);
}

// Whether a mask is nine tenths the ellipse of that share of the box, as GrabCut starts from.
bool is_about_an_ellipse(const io::Image& mask, const std::array<std::int32_t, 4>& box, double share) {
  const double x = (box[0] + box[2]) / 2.0, y = (box[1] + box[3]) / 2.0, a = (box[2] - box[0]) * share / 2,
               b = (box[3] - box[1]) * share / 2;
  std::int64_t both = 0, either = 0;
  for (int row = 0; row < mask.height; ++row) {
    for (int column = 0; column < mask.width; ++column) {
      const double u = (column - x) / a, v = (row - y) / b;
      const bool inside = u * u + v * v <= 1, object = mask.row(row)[column] != 0;
      both += inside && object;
      either += inside || object;
    }
  }
  constexpr double most = 0.9;
  return static_cast<double>(both) > most * static_cast<double>(either);
}

// --- semantic ---

struct Reference {
  double iou = 0;
  int target = -1, whole = -1, cdp = -1,
      cip = -1;  // classes of the ImageNet network; target -1: no such class
};

std::map<std::string, Reference> read_reference(const fs::path& folder) {
  std::map<std::string, Reference> reference;
  const io::TextTable table = io::read_csv(folder / "reference_decoupling.csv");
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const auto& cells = table.rows[i].cells;
    const auto number = [&](std::size_t cell) { return cells[cell].empty() ? -1 : std::stoi(cells[cell]); };
    reference[cells[0]] = {std::stod(cells[2]), number(4), number(5), number(6), number(7)};
  }
  return reference;
}

// Against the trimap's object; its border counts neither way.
double iou_of(const io::Image& mask, const io::Image& trimap) {
  std::int64_t both = 0, either = 0;
  for (std::size_t i = 0; i < trimap.pixels.size(); ++i) {
    if (trimap.pixels[i] == 3) continue;
    const bool object = trimap.pixels[i] == 1, ours = !mask.empty() && mask.pixels[i] != 0;
    both += object && ours;
    either += object || ours;
  }
  return static_cast<double>(both) / static_cast<double>(std::max<std::int64_t>(1, either));
}

// The reference's numbers have four decimals; the network's sums are in another order than there, which moves
// a pixel here and there.
constexpr double iou_tolerance = 1e-3;

// Both folders of real pictures: a tenth of them (quick, and of many breeds), or all with DEDA_TEST_ALL=1;
// then also the means that the reference gives.
void expect_reference_masks(const std::string& name, double mean_iou) {
  const fs::path folder = real_data() / name;
  data::DatasetConfig pets;
  pets.layout = data::Layout::pets;
  pets.root = folder;
  const data::Dataset dataset = data::load_dataset(pets);
  const auto reference = read_reference(folder);
  const SemanticMasks source(semantic_config(), dataset, std::make_shared<NetworkPool>(NetworkPlace{}));
  const bool all = std::getenv("DEDA_TEST_ALL") != nullptr;
  double sum = 0;
  std::size_t seen = 0;
  for (std::size_t i = 0; i < dataset.items.size(); i += all ? 1 : 20, ++seen) {
    const data::Item& item = dataset.items[i];
    const io::Image picture = io::read_image(dataset.root / item.path).image;
    const Masks found = source.find(dataset, {&item, &picture, {item.class_id}});
    const io::Image trimap = io::read_mask(dataset.root / item.mask);
    const double iou = iou_of(found.parts.empty() ? io::Image{} : found.parts[0].mask, trimap);
    EXPECT_NEAR(iou, reference.at(fs::path(item.path).stem().string()).iou, iou_tolerance) << item.path;
    sum += iou;
  }
  ASSERT_GT(seen, 4u);
  if (!all) return;
  std::printf("%s: mean IoU %.4f of %zu pictures\n", name.c_str(), sum / static_cast<double>(seen), seen);
  EXPECT_NEAR(sum / static_cast<double>(seen), mean_iou, 0.001);
}

TEST(Semantic, GivesTheReferencesMasksOnRealPets) {
  if (!fs::exists(real_data())) GTEST_SKIP() << "no real pictures at " << real_data();
  expect_reference_masks("pets_fewshot", 0.916);
  expect_reference_masks("pets", 0.941);
}

// Top-1 of the ImageNet network on a picture whose masked pixels are grey.
int top1(const models::ExportedGraph& network, const io::Image& picture) {
  const io::Image small = io::resize(picture, network.height(), network.width(), io::Filter::bilinear);
  const auto input = at::empty({1, network.height(), network.width(), 3}, at::kByte);
  std::memcpy(input.data_ptr<std::uint8_t>(), small.pixels.data(), small.pixels.size());
  return static_cast<int>(network.forward(input).logits.flatten().argmax().item<std::int64_t>());
}

io::Image greyed(io::Image picture, const io::Image& trimap, bool object) {
  for (std::size_t i = 0; i < trimap.pixels.size(); ++i) {
    if ((trimap.pixels[i] != 2) == object) std::fill_n(&picture.pixels[3 * i], 3, std::uint8_t{128});
  }
  return picture;
}

TEST(ImageNet, KeepsTheClassOfTheCdpAndLosesItOnTheCip) {
  const fs::path folder = real_data() / "pets_fewshot";
  if (!fs::exists(folder)) GTEST_SKIP() << "no real pictures at " << folder;
  const models::ExportedGraph network(real_data() / "weights" / "mobilenet_v2_imagenet");
  constexpr int every = 4;  // of the 59 pictures whose breed is a class of the network
  int number = 0, pictures = 0, whole = 0, cdp = 0, cip = 0, other = 0;
  for (const auto& [name, reference] : read_reference(folder)) {
    if (reference.target < 0 || number++ % every != 0) continue;
    ++pictures;
    const io::Image picture = io::read_image(folder / "images" / (name + ".jpg")).image;
    const io::Image trimap = io::read_mask(folder / "annotations" / "trimaps" / (name + ".png"));
    const int w = top1(network, picture), d = top1(network, greyed(picture, trimap, false)),
              i = top1(network, greyed(picture, trimap, true));
    whole += w == reference.target;
    cdp += d == reference.target;
    cip += i == reference.target;
    other += (w != reference.whole) + (d != reference.cdp) + (i != reference.cip);
  }
  EXPECT_EQ(pictures, 15);
  EXPECT_GE(whole, 12) << "88.1 % of all 59";
  EXPECT_GE(cdp, 11) << "84.7 % of all 59";
  EXPECT_EQ(cip, 0);
  EXPECT_LE(other, 1) << "the reference's answers, up to a tie within rounding";
}

// --- box routes on made-up networks ---

io::Image rectangle(int height, int width, const PixelBox& box) {
  io::Image mask(height, width, 1);
  for (int y = std::max(0, static_cast<int>(box[1])); y < std::min<double>(height, box[3]); ++y) {
    for (int x = std::max(0, static_cast<int>(box[0])); x < std::min<double>(width, box[2]); ++x)
      mask.row(y)[x] = 255;
  }
  return mask;
}

struct MadeUpDetector final : TextDetector {
  std::function<Detected(const io::Image&, const std::string&, double, double)> answer;
  mutable std::atomic<int> calls{0};
  Detected detect(const io::Image& picture, const std::string& prompt, double box_threshold,
                  double text_threshold, bool) const override {
    ++calls;
    return answer(picture, prompt, box_threshold, text_threshold);
  }
};

// Without an answer of its own it fills the box.
struct MadeUpSegmenter final : BoxSegmenter {
  std::function<SegmentedBox(int height, int width, const PixelBox&, const SegmentOptions&)> answer =
      [](int height, int width, const PixelBox& box, const SegmentOptions&) {
        return SegmentedBox{{rectangle(height, width, box)}, {0.9f}};
      };
  mutable std::atomic<int> embedded{0};
  struct Size final : Embedding {
    int height = 0, width = 0;
  };
  std::shared_ptr<const Embedding> embed(const io::Image& picture, std::vector<NamedArray>*) const override {
    ++embedded;
    auto size = std::make_shared<Size>();
    size->height = picture.height;
    size->width = picture.width;
    return size;
  }
  void segment(const Embedding& embedding, const std::vector<PixelBox>& boxes, const SegmentOptions& options,
               const Receive& receive, std::vector<NamedArray>*) const override {
    const auto& size = static_cast<const Size&>(embedding);
    for (std::size_t i = 0; i < boxes.size(); ++i)
      receive(i, answer(size.height, size.width, boxes[i], options));
  }
};

// One picture, a dataset of birds, and the ladder text_box_sam, box_sam on made-up networks.
struct Bench {
  test::TemporaryFolder folder;
  data::Dataset dataset;
  DecoupleConfig config;
  std::shared_ptr<MadeUpDetector> detector = std::make_shared<MadeUpDetector>();
  std::shared_ptr<MadeUpSegmenter> segmenter = std::make_shared<MadeUpSegmenter>();
  std::shared_ptr<NetworkPool> pool = std::make_shared<NetworkPool>(NetworkPlace{});
  data::Item item;

  Bench() {
    dataset.root = folder.path();
    dataset.class_names = {"wren", "owl", "gull"};
    dataset.subjects = {"bird"};
    config.sources = {"text_box_sam"};
    item.path = "picture.png";
    item.class_id = 0;
    detector->answer = [](const io::Image&, const std::string&, double, double) {
      return Detected{{{{20, 20, 60, 60}, 0.5, "bird"}}, "", {}, {}};
    };
  }
  DecoupledPicture run(int height = 100, int width = 100, bool keep_tensors = false) {
    io::write_image(folder / "picture.png", io::Image(height, width, 3));
    std::vector<std::unique_ptr<MaskSource>> sources;
    for (const std::string& name : config.sources) {
      if (name == "text_box_sam")
        sources.push_back(std::make_unique<TextMasks>(config, dataset, detector, segmenter, pool));
      else if (name == "box_sam")
        sources.push_back(std::make_unique<BoxMasks>(config, segmenter, pool));
    }
    return std::move(decouple_unit(dataset, {{&item, 0, keep_tensors}}, sources, config).front());
  }
};

TEST(TextBoxSam, UnitesTheMaskOfEveryBoxWithoutAnyFilter) {
  Bench bench;
  double box_threshold = 0, text_threshold = 0;
  std::string asked;
  bench.detector->answer = [&](const io::Image&, const std::string& prompt, double box, double text) {
    asked = prompt;
    box_threshold = box;
    text_threshold = text;
    return Detected{
        {{{10, 10, 30, 30}, 0.9, "bird"}, {{12, 12, 32, 32}, 0.31, ""}, {{70, 70, 90, 90}, 0.4, "bird"}},
        "",
        {},
        {}};
  };
  const DecoupledPicture picture = bench.run(100, 100, true);
  EXPECT_EQ(asked, "bird.");
  EXPECT_EQ(box_threshold, 0.3);
  EXPECT_EQ(text_threshold, 0.25);
  ASSERT_EQ(picture.result.outcome, io::Outcome::done) << picture.result.reason;
  EXPECT_EQ(area_of(picture.merged), 400 + 400 - 18 * 18 + 400);
  EXPECT_EQ(picture.masks.object_masks.size(), 3u);
  EXPECT_EQ(picture.masks.objects[1].score, 0.31);
  EXPECT_EQ(picture.route, "text_box_sam");
  EXPECT_EQ(bench.segmenter->embedded, 1) << "once for all boxes";
}

TEST(TextBoxSam, DropsBoxesOnlyWhereAsked) {
  Bench bench;
  bench.detector->answer = [](const io::Image&, const std::string&, double, double) {
    return Detected{
        {{{12, 12, 32, 32}, 0.4, "bird"}, {{10, 10, 30, 30}, 0.9, "bird"}, {{70, 70, 90, 90}, 0.5, "bird"}},
        "",
        {},
        {}};
  };
  bench.config.box_suppression = 0.5;
  DecoupledPicture picture = bench.run();
  EXPECT_EQ(area_of(picture.merged), 800);
  EXPECT_NE(picture.attempts[0].objects[0].rejected.find("a better box overlaps it by 0.68"),
            std::string::npos)
      << picture.attempts[0].objects[0].rejected;
  bench.config.best_box_only = true;
  EXPECT_EQ(area_of(bench.run().merged), 400);
  bench.config.best_box_only = false;
  bench.config.annotated_box_only = true;
  bench.item.box = {60, 60, 80, 80};
  bench.config.min_box_agreement = 0;
  EXPECT_EQ(box_of(bench.run().merged), (std::array<std::int32_t, 4>{70, 70, 90, 90}));
}

TEST(TextBoxSam, TriesOnceMoreWithALowerThresholdUnlessFaithful) {
  Bench bench;
  bench.detector->answer = [](const io::Image&, const std::string&, double box, double) {
    if (box > 0.25) return Detected{};
    return Detected{{{{20, 20, 60, 60}, 0.22, ""}}, "", {}, {}};
  };
  DecoupledPicture picture = bench.run();
  EXPECT_EQ(picture.result.outcome, io::Outcome::done);
  EXPECT_NE(picture.result.reason.find("box threshold 0.3 gave nothing, 0.2 did"), std::string::npos);
  bench.config.mode = Mode::faithful;
  bench.detector->calls = 0;
  picture = bench.run();
  EXPECT_EQ(picture.result.outcome, io::Outcome::nothing_found);
  EXPECT_NE(picture.result.reason.find("no box for \"bird.\""), std::string::npos) << picture.result.reason;
  EXPECT_EQ(bench.detector->calls, 1);
  EXPECT_EQ(bench.segmenter->embedded, 1) << "no box: the segmenter is not asked";
}

TEST(TextBoxSam, FallsBackToTheAnnotatedBoxWhereTheMaskDisagreesWithIt) {
  Bench bench;
  bench.config.sources = {"text_box_sam", "box_sam"};
  bench.item.box = {50, 50, 95, 95};
  const DecoupledPicture picture = bench.run();
  ASSERT_EQ(picture.result.outcome, io::Outcome::done);
  EXPECT_EQ(picture.route, "box_sam");
  EXPECT_EQ(picture.result.records[0].info.route, 1);
  EXPECT_NE(picture.result.reason.find("agrees with the annotated one by"), std::string::npos);
  ASSERT_EQ(picture.attempts.size(), 2u);
  EXPECT_FALSE(picture.attempts[0].objects[0].rejected.empty());
  EXPECT_FALSE(picture.attempts[0].objects[0].sketch.empty()) << "rejected masks can be looked at";
  EXPECT_NEAR(picture.attempts[1].objects[0].score, 0.9, 1e-6) << "the segmenter's own estimate";
}

TEST(BoxSam, AsksAnewWhereTheMaskIsTheSurroundings) {
  Bench bench;
  bench.config.sources = {"box_sam"};
  bench.item.box = {10, 10, 90, 90};
  int asked = 0;
  const auto inverted = [](int height, int width, const PixelBox& box) {
    io::Image mask = rectangle(height, width, box);
    for (auto& value : mask.pixels) value = static_cast<std::uint8_t>(255 - value);
    return mask;
  };
  bench.segmenter->answer = [&](int height, int width, const PixelBox& box, const SegmentOptions& options) {
    ++asked;
    if (!options.alternatives) return SegmentedBox{{inverted(height, width, box)}, {0.95f}};
    return SegmentedBox{{inverted(height, width, box), rectangle(height, width, {20, 20, 80, 80}),
                         rectangle(height, width, {30, 30, 70, 70})},
                        {0.99f, 0.8f, 0.7f}};
  };
  DecoupledPicture picture = bench.run();
  EXPECT_EQ(box_of(picture.merged), (std::array<std::int32_t, 4>{20, 20, 80, 80}))
      << "best of those at the centre";
  EXPECT_EQ(asked, 2);
  bench.config.mode = Mode::faithful;
  EXPECT_EQ(area_of(bench.run().merged), 100 * 100 - 80 * 80) << "faithful: as the network gave it";
  bench.config.mode = Mode::recommended;
  bench.segmenter->answer = [&](int height, int width, const PixelBox& box, const SegmentOptions&) {
    return SegmentedBox{{inverted(height, width, box)}, {0.95f}};
  };
  picture = bench.run();
  EXPECT_EQ(picture.result.outcome, io::Outcome::nothing_found);
  EXPECT_NE(picture.result.reason.find("surroundings"), std::string::npos) << picture.result.reason;
}

TEST(TextBoxSam, GivesACdpForEveryLabelAndOneCipWithTheHoleOfAll) {
  Bench bench;
  bench.dataset.subjects.clear();  // as Pascal: the label is the word
  bench.item.labels = {0, 1, 2};
  bench.item.class_id = 1;
  std::vector<std::string> prompts;
  bench.detector->answer = [&](const io::Image&, const std::string& prompt, double, double) {
    prompts.push_back(prompt);
    if (prompt == "wren.") return Detected{{{{10, 10, 40, 40}, 0.5, "wren"}}, "", {}, {}};
    if (prompt == "gull.") return Detected{{{{60, 60, 90, 90}, 0.6, "gull"}}, "", {}, {}};
    return Detected{};
  };
  bench.config.retry_box_threshold = 0.3;
  const DecoupledPicture picture = bench.run();
  EXPECT_EQ(prompts, (std::vector<std::string>{"wren.", "owl.", "gull."}));
  ASSERT_EQ(picture.result.records.size(), 3u) << picture.result.reason;
  EXPECT_EQ(picture.result.records[0].info.class_id, 0);
  EXPECT_EQ(picture.result.records[1].info.class_id, 2);
  EXPECT_EQ(picture.result.records[1].info.box, (std::array<std::int32_t, 4>{60, 60, 90, 90}));
  EXPECT_EQ(picture.result.records[2].info.kind, io::RecordKind::cip);
  EXPECT_EQ(picture.result.records[2].info.mask_area, 1800);
  EXPECT_EQ(picture.hole.row(25)[25], 255);
  EXPECT_EQ(picture.hole.row(75)[75], 255);
  EXPECT_NE(picture.result.reason.find("no CDP for owl"), std::string::npos) << picture.result.reason;
  EXPECT_EQ(bench.segmenter->embedded, 1) << "once for all prompts";
  bench.config.parts_per = PartsPer::picture;
  EXPECT_EQ(bench.run().result.outcome, io::Outcome::nothing_found) << "its own class alone";
}

// --- odd pictures, odd answers ---

TEST(OddAnswers, AThousandBoxesAreUnitedAndRecorded) {
  Bench bench;
  bench.detector->answer = [](const io::Image&, const std::string&, double, double) {
    Detected many;
    for (int i = 0; i < 1000; ++i)
      many.boxes.push_back(
          {{static_cast<double>(i % 90), static_cast<double>(i / 20), i % 90 + 5.0, i / 20 + 5.0},
           0.4,
           "bird"});
    return many;
  };
  const DecoupledPicture picture = bench.run();
  EXPECT_EQ(picture.result.outcome, io::Outcome::done);
  EXPECT_EQ(picture.attempts[0].objects.size(), 1000u);
  EXPECT_LT(look_line(picture, "picture.png").size(), 200'000u) << "a few sketches, all boxes";
}

TEST(OddAnswers, BoxesThatAreNoneAreRejectedByThemselves) {
  Bench bench;
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  bench.detector->answer = [&](const io::Image&, const std::string&, double, double) {
    return Detected{{{{nan, 0, 5, 5}, 0.4, ""},
                     {{0, 0, infinity, 9}, 0.4, ""},
                     {{-50, -50, -10, -10}, 0.4, ""},
                     {{150, 10, 190, 40}, 0.4, ""},
                     {{30, 30, 30, 30}, 0.4, ""},
                     {{-5, -5, 40, 40}, 0.4, ""}},
                    "",
                    {},
                    {}};
  };
  const DecoupledPicture picture = bench.run();
  ASSERT_EQ(picture.result.outcome, io::Outcome::done) << picture.result.reason;
  EXPECT_EQ(area_of(picture.merged), 1600);
  const auto& objects = picture.attempts[0].objects;
  ASSERT_EQ(objects.size(), 6u);
  EXPECT_EQ(objects[0].rejected, "its box is not finite");
  EXPECT_EQ(objects[3].rejected, "its box lies outside of the picture");
  EXPECT_TRUE(objects[5].rejected.empty());
}

TEST(OddAnswers, AMaskOfTheWholeFrameIsRejectedOrGivesNoCip) {
  Bench bench;
  bench.detector->answer = [](const io::Image&, const std::string&, double, double) {
    return Detected{{{{0, 0, 100, 100}, 0.9, "bird"}}, "", {}, {}};
  };
  DecoupledPicture picture = bench.run();
  EXPECT_EQ(picture.result.outcome, io::Outcome::rejected);
  EXPECT_NE(picture.result.reason.find("share of the picture is 100.0 %"), std::string::npos);
  bench.config.mode = Mode::faithful;
  picture = bench.run();
  EXPECT_EQ(picture.result.outcome, io::Outcome::done);
  EXPECT_EQ(picture.result.records.size(), 1u) << "a CDP, no CIP";
  bench.segmenter->answer = [](int height, int width, const PixelBox&, const SegmentOptions&) {
    return SegmentedBox{{io::Image(height, width, 1)}, {0.1f}};
  };
  EXPECT_EQ(bench.run().result.outcome, io::Outcome::nothing_found) << "an empty mask";
}

TEST(OddAnswers, WhatANetworkThrowsFailsItsPictureAndNoOther) {
  Bench bench;
  io::write_image(bench.folder / "small.png", io::Image(50, 50, 3));
  io::write_image(bench.folder / "picture.png", io::Image(100, 100, 3));
  bench.detector->answer = [](const io::Image& picture, const std::string&, double, double) -> Detected {
    if (picture.height == 50) throw std::runtime_error("out of memory");
    return {{{{20, 20, 60, 60}, 0.5, "bird"}}, "", {}, {}};
  };
  data::Item small = bench.item;
  small.path = "small.png";
  std::vector<std::unique_ptr<MaskSource>> sources;
  sources.push_back(
      std::make_unique<TextMasks>(bench.config, bench.dataset, bench.detector, bench.segmenter, bench.pool));
  const auto pictures = decouple_unit(bench.dataset, {{&small, 0}, {&bench.item, 1}}, sources, bench.config);
  EXPECT_EQ(pictures[0].result.outcome, io::Outcome::failed);
  EXPECT_NE(pictures[0].result.reason.find("out of memory"), std::string::npos);
  EXPECT_EQ(pictures[1].result.outcome, io::Outcome::done);
  bench.detector->answer = [](const io::Image&, const std::string&, double, double) {
    return Detected{{}, "fewer places than queries", {}, {}};
  };
  const DecoupledPicture refused = bench.run();
  EXPECT_EQ(refused.result.outcome, io::Outcome::rejected) << "a picture that the network cannot take";
  EXPECT_NE(refused.result.reason.find("fewer places"), std::string::npos);
}

TEST(OddPrompts, AnEmptyOneIsAnErrorAndALongOneIsPassedOn) {
  Bench bench;
  for (const char* empty : {" ", "...", "{label}"}) {
    bench.config.prompt = empty;
    bench.dataset.class_names[1] = "";
    if (std::string{empty} != "{label}") {
      EXPECT_THROW(bench.run(), ConfigError) << empty;
    } else {
      try {
        bench.run();
        FAIL() << "a label without a name is no prompt";
      } catch (const ConfigError& error) {
        EXPECT_EQ(error.problems().size(), 1u);
      }
    }
  }
  std::string words;
  for (int i = 0; i < 300; ++i) words += "word" + std::to_string(i) + " ";
  bench.config.prompt = words;
  std::string asked;
  bench.detector->answer = [&](const io::Image&, const std::string& prompt, double, double) {
    asked = prompt;
    return Detected{{{{20, 20, 60, 60}, 0.5, ""}}, "", {"prompt cut to 256 tokens"}, {}};
  };
  const DecoupledPicture picture = bench.run();
  EXPECT_EQ(asked.size(), words.size()) << "the last blank became a dot";
  EXPECT_NE(picture.result.reason.find("prompt cut"), std::string::npos)
      << "and the record says what was done to it";
}

TEST(OddPictures, OnePixelAndAPanoramaHaveAnOutcome) {
  Bench bench;
  bench.detector->answer = [](const io::Image& picture, const std::string&, double, double) {
    return Detected{
        {{{0, 0, picture.width / 2.0, static_cast<double>(picture.height)}, 0.5, "bird"}}, "", {}, {}};
  };
  EXPECT_EQ(bench.run(1, 1).result.outcome, io::Outcome::rejected);
  bench.config.mode = Mode::faithful;
  EXPECT_EQ(bench.run(1, 1).result.outcome, io::Outcome::done);
  bench.config.mode = Mode::recommended;
  const DecoupledPicture panorama = bench.run(200, 20'000);
  EXPECT_EQ(panorama.result.outcome, io::Outcome::done) << panorama.result.reason;
  EXPECT_EQ(panorama.result.records[0].info.mask_area, 200 * 10'000);
}

TEST(OddPictures, TheRealSemanticNetworkTakesThemToo) {
  if (!fs::exists(real_data() / "weights")) GTEST_SKIP() << "no real weights at " << real_data();
  Bench bench;
  const auto config = semantic_config();
  std::vector<std::unique_ptr<MaskSource>> sources;
  sources.push_back(std::make_unique<SemanticMasks>(config, bench.dataset, bench.pool));
  for (const auto& [height, width] : {std::pair{1, 1}, std::pair{150, 20'000}, std::pair{20'000, 1}}) {
    io::write_image(bench.folder / "picture.png", io::Image(height, width, 3));
    const DecoupledPicture picture = decouple_picture(bench.dataset, bench.item, 0, sources, config);
    EXPECT_EQ(picture.result.outcome, io::Outcome::nothing_found)
        << "black is no bird: " << picture.result.reason;
  }
}

// Real pets, boxes around their trimaps. Every second picture is one that the network knows nothing of (its
// class is looked for as an aeroplane), so that GrabCut gets its turn.
TEST(Ladder, OfSemanticAndGrabCutKeepsNoStartingEllipseAndMeasuresEveryMask) {
  const fs::path folder = real_data() / "pets_fewshot";
  if (!fs::exists(folder)) GTEST_SKIP() << "no real pictures at " << folder;
  data::DatasetConfig pets;
  pets.layout = data::Layout::pets;
  pets.root = folder;
  data::Dataset dataset = data::load_dataset(pets);
  auto config = semantic_config();
  config.sources = {"semantic", "box_grabcut"};
  auto blind = config;
  blind.semantic_classes = {"aeroplane"};
  const auto pool = std::make_shared<NetworkPool>(NetworkPlace{});
  const auto ladder_of = [&](const DecoupleConfig& own) {
    std::vector<std::unique_ptr<MaskSource>> sources;
    sources.push_back(std::make_unique<SemanticMasks>(own, dataset, pool));
    sources.push_back(std::make_unique<BoxGrabCut>(own));
    return sources;
  };
  const auto seeing_ladder = ladder_of(config), blind_ladder = ladder_of(blind);
  std::map<std::string, int> accepted;
  int about_the_start = 0, rejected = 0;
  for (std::size_t i = 0; i < dataset.items.size(); i += 4) {
    data::Item& item = dataset.items[i];
    const auto box = box_of(decode_trimap(dataset, item));
    item.box = {static_cast<double>(box[0]), static_cast<double>(box[1]), static_cast<double>(box[2]),
                static_cast<double>(box[3])};
    const bool seeing = i % 8 == 0;
    const auto picture = decouple_picture(dataset, item, static_cast<std::int64_t>(i),
                                          seeing ? seeing_ladder : blind_ladder, seeing ? config : blind);
    if (picture.result.outcome != io::Outcome::done) {
      ++rejected;
      EXPECT_FALSE(picture.result.reason.empty());
      continue;
    }
    ++accepted[picture.route];
    for (const io::Record& record : picture.result.records) {
      EXPECT_GE(record.info.mask_quality, 0) << item.path;
      EXPECT_LE(record.info.mask_quality, 1) << item.path;
    }
    if (picture.route == "box_grabcut")
      about_the_start += is_about_an_ellipse(picture.merged, box, config.grabcut_seed_share);
  }
  std::printf("accepted: semantic %d, box_grabcut %d; rejected %d\n", accepted["semantic"],
              accepted["box_grabcut"], rejected);
  EXPECT_GT(accepted["semantic"], 5);
  EXPECT_GT(accepted["box_grabcut"], 2);
  EXPECT_EQ(about_the_start, 0);
}

// --- the real networks, tiny and with made-up weights ---

void write_tiny_sam(const fs::path& folder) {
  fs::create_directories(folder);
  const auto facts = nlohmann::json::parse(read_text(DEDA_SOURCE_DIR "/tests/golden/sam.json"));
  for (const auto& [name, content] : facts.at("configs").at("windows").items())
    std::ofstream(folder / name) << content.dump();
  models::NamedTensors state;
  std::uint64_t index = 0;
  for (const auto& [name, tensor] :
       models::state_of(models::Sam(models::read_sam_config(folder / "config.json"))))
    state[name] = test::made_up_weight(index++, name, tensor.sizes());
  models::write_tensors(folder / "model.safetensors", state);
}

void write_tiny_grounding_dino(const fs::path& folder) {
  test::write_grounding_dino(folder, "padded");
  test::write_small_vocabulary(folder / "vocab.txt");
  std::ofstream(folder / "preprocessor_config.json")
      << R"({"do_resize": true, "size": {"shortest_edge": 64, "longest_edge": 100}, "resample": 2,
             "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]})";
}

TEST(TinyNetworks, GoTheWholeRouteAndTraceWhatTheySaw) {
  Bench bench;
  write_tiny_sam(bench.folder / "sam");
  write_tiny_grounding_dino(bench.folder / "dino");
  bench.config.sources = {"text_box_sam", "box_sam"};
  bench.config.sam = bench.folder / "sam";
  bench.config.grounding_dino = bench.folder / "dino";
  bench.config.device = DeviceChoice::cpu;
  bench.config.mode = Mode::faithful;
  bench.config.box_threshold = 0.2;  // made-up weights are not sure of anything
  bench.config.text_threshold = 0.1;
  bench.item.box = {5, 5, 40, 30};
  register_network_sources(comm::Communicator::self(), bench.config);
  const auto sources = make_mask_sources(bench.config, bench.dataset);
  io::Image picture(48, 60, 3);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = static_cast<std::uint8_t>((i * 37 + i / 180 * 11) % 256);
  for (std::size_t source = 0; source < 2; ++source) {
    const Masks found = sources[source]->find(bench.dataset, {&bench.item, &picture, {0}, true});
    ASSERT_FALSE(found.objects.empty()) << found.reason;
    std::map<std::string, std::vector<std::int64_t>> shapes;
    for (const NamedArray& array : found.tensors) shapes[array.name] = array.shape;
    const auto boxes = static_cast<std::int64_t>(found.objects.size());
    EXPECT_EQ(shapes.at("sam.pixel_values"), (std::vector<std::int64_t>{1, 3, 64, 64}));
    EXPECT_EQ(shapes.at("sam.input_boxes"), (std::vector<std::int64_t>{1, boxes, 4}));
    EXPECT_EQ(shapes.at("sam.iou_scores"), (std::vector<std::int64_t>{1, boxes, 1}));
    EXPECT_EQ(shapes.count("grounding_dino.logits"), source == 0 ? 1u : 0u);
    for (const FoundObject& object : found.objects) EXPECT_TRUE(std::isfinite(object.score));
    const Masks again = sources[source]->find(bench.dataset, {&bench.item, &picture, {0}, false});
    ASSERT_EQ(again.parts.size(), found.parts.size());
    for (std::size_t i = 0; i < again.parts.size(); ++i)
      EXPECT_EQ(again.parts[i].mask.pixels, found.parts[i].mask.pixels);
    EXPECT_TRUE(again.tensors.empty());
  }
  // Odd pictures through the real pre-processing: an outcome each, never a crash.
  for (const auto& [height, width] :
       {std::pair{1, 1}, std::pair{20'000, 3}, std::pair{3, 20'000}, std::pair{100, 20'000}}) {
    io::write_image(bench.folder / "picture.png", io::Image(height, width, 3));
    const DecoupledPicture odd = decouple_picture(bench.dataset, bench.item, 0, sources, bench.config);
    EXPECT_TRUE(odd.result.outcome == io::Outcome::done || !odd.result.reason.empty())
        << height << " x " << width;
    EXPECT_NE(odd.result.outcome, io::Outcome::unreadable);
  }
  bench.config.prompt = std::string(3000, 'a') + " bird";
  for (int i = 0; i < 300; ++i) bench.config.prompt += " bird";
  const auto wordy = make_mask_sources(bench.config, bench.dataset);
  const Masks found =
      std::move(wordy[0]->find_all(bench.dataset, {{&bench.item, &picture, {0}, false}}).front());
  EXPECT_TRUE(found.broken || !found.notes.empty()) << "cut with a note, or refused with a reason";
  EXPECT_TRUE(!found.broken || found.reason.find("tokens") != std::string::npos) << found.reason;
}

TEST(TinyNetworks, BrokenFoldersAreListedTogether) {
  Bench bench;
  write_tiny_sam(bench.folder / "sam");
  write_tiny_grounding_dino(bench.folder / "dino");
  fs::remove(bench.folder / "sam" / "model.safetensors");
  fs::remove(bench.folder / "dino" / "vocab.txt");
  bench.config.sources = {"text_box_sam", "box_sam"};
  bench.config.sam = bench.folder / "sam";
  bench.config.grounding_dino = bench.folder / "dino";
  register_network_sources(comm::Communicator::self(), bench.config);
  try {
    make_mask_sources(bench.config, bench.dataset);
    FAIL() << "two broken folders";
  } catch (const DataError& error) {
    std::string all;
    for (const auto& problem : error.problems()) all += to_string(problem) + "\n";
    EXPECT_NE(all.find("vocab.txt"), std::string::npos) << all;
    EXPECT_NE(all.find("sam"), std::string::npos) << all;
  }
}

// --- words, looks, registration ---

TEST(Words, NameTheNetworksClasses) {
  const std::vector<std::string> labels = {"background", "aeroplane", "bird", "cat", "dog"};
  data::Dataset dataset;
  dataset.class_names = {"A", "B"};
  dataset.subjects = {"aircraft"};
  DecoupleConfig config;
  EXPECT_EQ(semantic_by_class(config, dataset, labels), (std::vector<std::vector<std::uint8_t>>{{1}, {1}}));
  dataset.subjects = {"cat", "dog"};
  EXPECT_EQ(semantic_by_class(config, dataset, labels)[1], (std::vector<std::uint8_t>{3, 4}));
  EXPECT_EQ(prompts_by_class(config, dataset)[0], "cat. dog.");
  dataset.subjects.clear();
  dataset.class_names = {"Dog", "bird"};
  EXPECT_EQ(semantic_by_class(config, dataset, labels), (std::vector<std::vector<std::uint8_t>>{{4}, {2}}));
  EXPECT_EQ(prompts_by_class(config, dataset)[0], "dog.");
  config.semantic_classes = {"brd"};
  try {
    semantic_by_class(config, dataset, labels);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(to_string(error.problems().at(0)).find("Did you mean \"bird\"?"), std::string::npos);
  }
}

TEST(Looks, KeepWhatWasSeen) {
  Bench bench;
  bench.config.sources = {"text_box_sam", "box_sam"};
  bench.item.box = {50, 50, 95, 95};
  const DecoupledPicture picture = bench.run(100, 200);
  std::ofstream(bench.folder / name_of_looks(0)) << look_line(picture, "picture.png") << "\n{broken\n";
  const auto looks = read_looks(bench.folder.path());
  ASSERT_EQ(looks.size(), 1u) << "a damaged line costs itself alone";
  EXPECT_EQ(looks[0].route, "box_sam");
  EXPECT_EQ(looks[0].width, 200);
  ASSERT_EQ(looks[0].attempts.size(), 2u);
  const auto& kept = looks[0].attempts[0].objects[0];
  EXPECT_EQ(kept.phrase, "bird");
  EXPECT_EQ(kept.box, picture.attempts[0].objects[0].box);
  EXPECT_EQ(mask_of(kept.sketch).pixels, mask_of(picture.attempts[0].objects[0].sketch).pixels);
  EXPECT_NEAR(static_cast<double>(area_of(mask_of(kept.sketch))) / (64 * 128), 1600.0 / (100 * 200), 0.01);
}

TEST(Sources, AllThatIsMissingIsListedBeforeWorkStarts) {
  DecoupleConfig config;
  config.sources = {"semantic"};
  config.deeplab = "/nowhere/deeplab";
  register_network_sources(comm::Communicator::self(), config);
  try {
    make_mask_sources(config, {});
    FAIL() << "a folder that is not there";
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().size(), 1u);
    EXPECT_EQ(error.problems()[0].where, "decouple.deeplab");
  }
  config.sources = {"text_box_sam", "box_sam", "semantic"};
  EXPECT_EQ(missing_networks(config).size(), 3u) << "deeplab, grounding_dino, sam once";
}

}  // namespace
}  // namespace deda::decoupling
