// Methods that mix 8-bit pictures against restatements of their originals, given the draws
// (tests/golden/mixing_methods.py), and their settings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files.h"
#include "mixing/made_up_batches.h"
#include "mixing/method.h"
#include "support/crc32.h"

namespace deda::mixing {
namespace {

using test::mixing_classes;

// A blend of real numbers, rounded to levels, is half a level off; 15 bits for the share and the original's
// float32 are the rest.
constexpr double mixup_levels = 0.505;
constexpr double label_tolerance = 1e-6;  // float32

struct Mixed {
  BatchPlan plan;
  std::vector<LabelWeights> weights;
  std::vector<std::uint8_t> pixels;
  std::vector<float> labels;
};

// All pictures of a batch by its plan, as the composing threads do it.
Mixed mixed(const Settings& settings, BatchPlan plan, const std::vector<std::uint8_t>& pixels,
            const std::vector<float>& labels, std::int64_t side) {
  const auto& method = settings.method();
  const auto picture = static_cast<std::size_t>(side * side * 3);
  const auto picture_at = [&](std::size_t place) { return Pixels{pixels.data() + place * picture, picture}; };
  const auto scratch = method.make_scratch();
  std::vector<Pixels> looked_at;
  for (const auto place : method.looked_at(plan)) looked_at.push_back(picture_at(place));
  method.look(settings, looked_at, side, plan, scratch.get());
  Mixed result{plan, {}, std::vector<std::uint8_t>(pixels.size()), std::vector<float>(labels.size())};
  for (std::size_t place = 0; place < plan.partner.size(); ++place) {
    const std::size_t partner = plan.partner[place];
    result.weights.push_back(method.mix(settings, plan, side, picture_at(place), picture_at(partner),
                                        {result.pixels.data() + place * picture, picture}));
    mix_labels(result.weights.back(), &labels[place * mixing_classes], &labels[partner * mixing_classes],
               mixing_classes, &result.labels[place * mixing_classes]);
  }
  return result;
}

TEST(PixelMethods, MixAsTheirOriginalsDo) {
  const auto golden = nlohmann::json::parse(
      read_text(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/mixing_pixels.json"));
  ASSERT_EQ(golden.size(), 200u);
  for (const auto& entry : golden) {
    const auto name = entry.at("method").get<std::string>();
    const auto number = entry.at("number").get<std::uint64_t>();
    const auto batch = entry.at("batch").get<std::int64_t>(), side = entry.at("side").get<std::int64_t>();
    SCOPED_TRACE(name + " " + std::to_string(number));
    const auto pixels = test::mixing_pictures(number, entry.at("kind"), batch, side);
    const auto labels = test::mixing_labels(number, entry.at("labels"), static_cast<std::size_t>(batch));
    const Settings settings(test::mixing_method(name));
    BatchPlan plan;
    plan.applied = true;
    plan.lambda = entry.at("lambda");
    plan.partner = entry.at("partner").get<std::vector<std::uint32_t>>();
    if (entry.contains("centre"))
      plan.box = box_around(plan.lambda, entry.at("centre").at(0), entry.at("centre").at(1), side);
    const auto result = mixed(settings, plan, pixels, labels, side);

    if (entry.contains("samples")) {
      const auto& samples = entry.at("samples");
      for (std::size_t k = 0; k < samples.size(); ++k) {
        const auto place = k * (pixels.size() - 1) / (samples.size() - 1);
        EXPECT_NEAR(result.pixels[place], samples[k].get<double>(), mixup_levels) << place;
      }
    } else {
      const auto& box = entry.at("box");
      EXPECT_EQ(*result.plan.box, (Box{box.at(0), box.at(1), box.at(2), box.at(3)}));
      EXPECT_EQ(test::crc32(result.pixels), std::stoul(entry.at("crc32").get<std::string>(), nullptr, 16));
    }
    for (const auto& weights : result.weights) {
      EXPECT_NEAR(weights.own, entry.at("weights").at(0).get<double>(), label_tolerance);
      EXPECT_NEAR(weights.partner, entry.at("weights").at(1).get<double>(), label_tolerance);
    }
    ASSERT_EQ(entry.at("mixed_labels").size(), result.labels.size());
    for (std::size_t i = 0; i < result.labels.size(); ++i)
      EXPECT_NEAR(result.labels[i], entry.at("mixed_labels").at(i).get<double>(), label_tolerance) << i;
  }
}

TEST(PixelMethods, OfMixupAreWithinALevelOfTheBlendForAllLevelsAndShares) {
  const Settings settings(test::mixing_method("mixup"));
  std::vector<std::uint8_t> own, partner;
  for (int a = 0; a < 256; a += 3) {
    for (int b = 0; b < 256; ++b) {
      own.push_back(static_cast<std::uint8_t>(a));
      partner.push_back(static_cast<std::uint8_t>(b));
    }
  }
  std::vector<std::uint8_t> blend(own.size());
  for (const double share : {0.0, 1e-9, 0.1, 1.0 / 3, 0.5, 0.5 + 0x1p-16, 0.9, 1 - 1e-9, 1.0}) {
    BatchPlan plan;
    plan.lambda = share;
    settings.method().mix(settings, plan, 1, own, partner, blend);
    double worst = 0;
    for (std::size_t i = 0; i < own.size(); ++i)
      worst = std::max(worst, std::abs(blend[i] - (share * own[i] + (1 - share) * partner[i])));
    EXPECT_LE(worst, mixup_levels) << share;
  }
}

// A picture whose one bright dot lies low: read as bytes it is found, read as published runs read it, it is
// not, for those see a quarter of each row.
TEST(PixelMethods, SaliencyMixCanLookWhereItsPublishedRunsLooked) {
  constexpr std::int64_t side = 64, row = 50, column = 40;
  std::vector<std::uint8_t> pixels(side * side * 3, 90);
  for (std::size_t c = 0; c < 3; ++c) pixels[(row * side + column) * 3 + c] = 250;
  Settings settings(test::mixing_method("saliencymix"));
  BatchPlan plan;
  plan.lambda = 0.99;  // 6 of 64 pixels
  plan.partner = {0};
  const std::vector<float> label(mixing_classes, 0);
  const auto found = *mixed(settings, plan, pixels, label, side).plan.box;
  EXPECT_EQ(found, (Box{row - 3, row + 3, column - 3, column + 3}));
  settings.set("upstream_float", 1);
  EXPECT_FALSE(*mixed(settings, plan, pixels, label, side).plan.box == found);
}

TEST(Methods, HaveNamesAndSettingsOfTheirOwn) {
  std::set<std::string_view> names, titles;
  for (const auto* method : methods()) {
    const auto& facts = method->facts();
    EXPECT_TRUE(names.insert(facts.name).second) << facts.name;
    EXPECT_TRUE(titles.insert(facts.title).second) << facts.title;
    EXPECT_FALSE(facts.help.empty()) << facts.name;
    EXPECT_GE(facts.smallest_batch, 1) << facts.name;
    Settings settings(*method);
    EXPECT_FALSE(settings.has("no such key"));
    EXPECT_THROW(settings["no such key"], std::logic_error);
    for (const auto& key : facts.keys) {
      EXPECT_EQ(settings[key.name], key.standard) << facts.name << " " << key.name;
      if (key.kind != Key::Kind::flag) {
        EXPECT_LE(key.min, key.standard) << facts.name << " " << key.name;
        EXPECT_GE(key.max, key.standard) << facts.name << " " << key.name;
      }
      settings.set(key.name, key.max);
      EXPECT_EQ(settings[key.name], key.max) << facts.name << " " << key.name;
    }
  }
  for (const auto* name : {"mixup", "cutmix", "saliencymix", "snapmix", "guided-sr", "guided-ap"})
    EXPECT_EQ(names.count(name), 1u) << name;
}

TEST(Methods, ThatDoNotMixPixelsSaySo) {
  for (const auto* method : methods()) {
    if (method->mixes_pixels()) continue;
    std::vector<std::uint8_t> pixels(12);
    EXPECT_THROW(method->mix(Settings(*method), {}, 2, pixels, pixels, pixels), std::logic_error)
        << method->facts().name;
  }
}

}  // namespace
}  // namespace deda::mixing
