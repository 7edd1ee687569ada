// Methods that mix beside the network, given activations, gradients and draws, against restatements of their
// originals (tests/golden/mixing_methods.py), for any cut of the batch over ranks.
#include "training/mixing/device_mixer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files.h"
#include "mixing/greedy_pairing.h"
#include "mixing/made_up_batches.h"
#include "support/hashed_numbers.h"

namespace deda::training {
namespace {

// The golden numbers were computed in double; pictures reach 2.6, and a mask is a ratio of two float32 maps.
constexpr double picture_tolerance = 1e-5;
constexpr double label_tolerance = 1e-6;  // sums and means of float32 shares

// The script's formula, [batch, 3, side, side].
at::Tensor pictures_of(std::uint64_t number, std::int64_t batch, std::int64_t side) {
  auto pictures = at::empty({batch, 3, side, side}, at::kFloat);
  float* out = pictures.mutable_data_ptr<float>();
  std::uint64_t i = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t c = 0; c < 3; ++c) {
      for (std::int64_t y = 0; y < side; ++y) {
        for (std::int64_t x = 0; x < side; ++x, ++i) {
          const double slope = static_cast<double>((x * (c + 2) + y * 3 + b * 17) % 128) / 64;
          const bool inside = 3 * y > side && 3 * y < 2 * side && 4 * x > side && 2 * x < side;
          out[i] = static_cast<float>(slope + test::hashed_number(number, i) + (inside ? 1.5 : 0.0) - 2);
        }
      }
    }
  }
  return pictures;
}

at::Tensor hashed(std::uint64_t number, at::IntArrayRef sizes, double low, double factor) {
  auto numbers = at::empty(sizes, at::kDouble);
  auto* out = numbers.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < numbers.numel(); ++i)
    out[i] =
        low + factor * test::hashed_number(test::mixing_map_numbers + number, static_cast<std::uint64_t>(i));
  return numbers.to(at::kFloat);
}

at::Tensor labels_of(std::uint64_t number, const std::string& kind, std::int64_t batch) {
  const auto labels = test::mixing_labels(number, kind, static_cast<std::size_t>(batch));
  return at::tensor(labels).reshape({batch, static_cast<std::int64_t>(test::mixing_classes)});
}

// A global batch, and what the network would say of its pictures.
struct Batch {
  mixing::Settings settings;
  mixing::BatchPlan plan;
  at::Tensor pictures, labels;  // by place
  at::Tensor said;              // class activations or gradients, by place
};

struct Mixed {
  bool usable = true;
  at::Tensor pictures, labels;  // by place
  models::NamedTensors trace;   // of rank 0
};

at::Tensor rows(const at::Tensor& by_place, const std::vector<std::uint32_t>& places) {
  auto numbers = at::empty({static_cast<std::int64_t>(places.size())}, at::kLong);
  std::copy(places.begin(), places.end(), numbers.mutable_data_ptr<std::int64_t>());
  return by_place.index_select(0, numbers);
}

// As `ranks` ranks mix it, each with its share and, behind it, what the pipeline brings along. The fake
// network answers for this rank's pictures; what of_all_places() gathers is put together from a first round,
// in which it only listens.
Mixed mix(const Batch& batch, int ranks, bool traced = false) {
  const auto size = batch.pictures.size(0);
  const auto mixer = make_device_mixer(batch.settings);
  const bool all_of_it = batch.settings.method().facts().partners == mixing::Partners::found;
  struct Heard {
    at::Tensor own;
  };
  std::vector<MixInput> inputs;
  for (int rank = 0; rank < ranks; ++rank) {
    std::vector<std::uint32_t> places;
    for (auto place = static_cast<std::uint32_t>(rank); place < size;
         place += static_cast<std::uint32_t>(ranks))
      places.push_back(place);
    const auto own = static_cast<std::int64_t>(places.size());
    const auto add = [&](std::uint32_t place) {
      if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
    };
    for (std::int64_t i = 0; i < (all_of_it ? size : own); ++i)
      add(all_of_it ? static_cast<std::uint32_t>(i)
                    : batch.plan.partner.at(places[static_cast<std::size_t>(i)]));
    inputs.push_back({.settings = batch.settings,
                      .plan = batch.plan,
                      .size = own,
                      .global_size = size,
                      .places = places,
                      .pictures = rows(batch.pictures, places),
                      .labels = rows(batch.labels, places),
                      .traced = traced});
  }
  const auto view_of = [&](const MixInput& input,
                           std::function<at::Tensor(const at::Tensor&)> of_all_places) {
    const auto answer = [&](const at::Tensor& pictures, const at::Tensor& labels) {
      EXPECT_EQ(pictures.size(0), input.size) << "asked of the own share";
      EXPECT_EQ(labels.size(0), input.size);
      return rows(batch.said, own_places(input));
    };
    return NetworkView{.gradients_by_picture = [answer](const at::Tensor& pictures, const at::Tensor& labels,
                                                        double) { return answer(pictures, labels); },
                       .class_activations = answer,
                       .of_all_places = std::move(of_all_places)};
  };
  at::Tensor gathered;
  for (const auto& input : inputs) {
    try {
      mixer->mix(input, view_of(input, [](const at::Tensor& own) -> at::Tensor { throw Heard{own}; }));
    } catch (const Heard& heard) {
      EXPECT_EQ(heard.own.size(0), input.size);
      if (!gathered.defined()) {
        auto sizes = heard.own.sizes().vec();
        sizes.front() = size;
        gathered = at::empty(sizes, heard.own.options());
      }
      for (std::int64_t i = 0; i < input.size; ++i)
        gathered[input.places[static_cast<std::size_t>(i)]].copy_(heard.own[i]);
    }
  }
  Mixed mixed{true, at::empty_like(batch.pictures), at::empty_like(batch.labels), {}};
  for (const auto& input : inputs) {
    const auto own_before = input.pictures.clone();
    const auto output = mixer->mix(input, view_of(input, [&](const at::Tensor&) { return gathered; }));
    EXPECT_TRUE(at::allclose(input.pictures, own_before, 0, 0, /*equal_nan=*/true))
        << "what came in stays as it was";
    if (&input == &inputs.front()) {
      mixed.usable = output.usable;
      mixed.trace = output.trace;
    }
    EXPECT_EQ(output.usable, mixed.usable) << "ranks agree";
    if (!output.usable || input.size == 0) continue;
    EXPECT_EQ(output.pictures.size(0), input.size);
    EXPECT_EQ(output.labels.size(0), input.size);
    for (std::int64_t i = 0; i < input.size; ++i) {
      mixed.pictures[input.places[static_cast<std::size_t>(i)]].copy_(output.pictures[i]);
      mixed.labels[input.places[static_cast<std::size_t>(i)]].copy_(output.labels[i]);
    }
  }
  return mixed;
}

Batch batch_of(const nlohmann::json& entry) {
  const auto name = entry.at("method").get<std::string>();
  const auto number = entry.at("number").get<std::uint64_t>();
  const auto size = entry.at("batch").get<std::int64_t>(), side = entry.at("side").get<std::int64_t>();
  Batch batch{mixing::Settings(test::mixing_method(name)), {}, {}, {}, {}};
  batch.plan.applied = true;
  batch.pictures = pictures_of(number, size, side);
  batch.labels = labels_of(number, entry.at("labels"), size);
  if (name == "snapmix") {
    const auto box = [&](const char* which) {
      const auto& sides = entry.at(which);
      return mixing::Box{sides.at(0), sides.at(1), sides.at(2), sides.at(3)};
    };
    batch.plan.box = box("box");
    batch.plan.partner_box = box("partner_box");
    batch.plan.partner = entry.at("partner").get<std::vector<std::uint32_t>>();
    const auto map_side = entry.at("map_side").get<std::int64_t>();
    batch.said = hashed(number, {size, map_side, map_side}, -1, 4);
    if (number % 6 == 0) batch.said[0].fill_(0.75);
  } else {
    batch.plan.sigma = entry.at("sigma");
    batch.said = hashed(number, batch.pictures.sizes(), -0.5, 1);
  }
  return batch;
}

TEST(DeviceMixers, MixAsTheirOriginalsDoForAnyCutOverRanks) {
  const auto golden = nlohmann::json::parse(
      read_text(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/mixing_networks.json"));
  ASSERT_EQ(golden.size(), 72u);
  double worst_picture = 0, worst_label = 0;
  for (const auto& entry : golden) {
    SCOPED_TRACE(entry.at("method").get<std::string>() + " " + entry.at("number").dump());
    const auto batch = batch_of(entry);
    const auto one = mix(batch, 1, /*traced=*/true);
    ASSERT_TRUE(one.usable);
    const auto flat = one.pictures.to(at::kDouble).flatten();
    const auto& samples = entry.at("samples");
    const auto last = static_cast<std::int64_t>(samples.size()) - 1;
    for (std::int64_t i = 0; i <= last; ++i) {
      const double found = flat[i * (flat.numel() - 1) / last].item<double>(),
                   expected = samples[static_cast<std::size_t>(i)];
      EXPECT_NEAR(found, expected, picture_tolerance) << i;
      worst_picture = std::max(worst_picture, std::abs(found - expected));
    }
    EXPECT_NEAR(flat.square().mean().item<double>(), entry.at("mean_square").get<double>(),
                picture_tolerance);
    const auto labels = one.labels.to(at::kDouble).flatten();
    ASSERT_EQ(entry.at("mixed_labels").size(), static_cast<std::size_t>(labels.numel()));
    for (std::int64_t i = 0; i < labels.numel(); ++i) {
      const double found = labels[i].item<double>(),
                   expected = entry.at("mixed_labels").at(static_cast<std::size_t>(i));
      EXPECT_NEAR(found, expected, label_tolerance) << i;
      worst_label = std::max(worst_label, std::abs(found - expected));
    }
    // What traces tell is what was done.
    if (const auto weight = one.trace.find("mix.weight"); weight != one.trace.end()) {
      for (std::int64_t i = 0; i < weight->second.numel(); ++i)
        EXPECT_NEAR(weight->second.flatten()[i].item<double>(),
                    entry.at("weights").at(static_cast<std::size_t>(i)).get<double>(), label_tolerance);
    }
    if (const auto partner = one.trace.find("mix.partner"); partner != one.trace.end()) {
      for (std::int64_t i = 0; i < partner->second.numel(); ++i)
        EXPECT_EQ(partner->second[i].item<std::int64_t>(),
                  entry.at("partner").at(static_cast<std::size_t>(i)).get<std::int64_t>());
      const auto own = one.trace.at("mix.mask").mean({1, 2});
      for (std::int64_t i = 0; i < own.numel(); ++i)
        EXPECT_NEAR(own[i].item<double>(), entry.at("weights").at(static_cast<std::size_t>(2 * i)),
                    label_tolerance);
    }
    for (const int ranks : {2, 3, 4}) {
      const auto several = mix(batch, ranks);
      // Given what the network says the same arithmetic is done to each picture, whoever does it.
      EXPECT_TRUE(at::equal(several.pictures, one.pictures)) << ranks;
      EXPECT_TRUE(at::equal(several.labels, one.labels)) << ranks;
    }
  }
  std::printf("against the originals: pictures %.1e, labels %.1e apart\n", worst_picture, worst_label);
}

Batch guided(const char* name, std::int64_t size, std::int64_t side = 20) {
  Batch batch{mixing::Settings(test::mixing_method(name)), {}, {}, {}, {}};
  batch.plan.applied = true;
  batch.plan.sigma = 1;
  batch.pictures = pictures_of(7, size, side);
  batch.labels = labels_of(7, "hard", size);
  batch.said = hashed(7, batch.pictures.sizes(), -0.5, 1);
  return batch;
}

TEST(GuidedMixers, LeaveABatchWhoseSaliencyIsNoNumber) {
  constexpr float none = std::numeric_limits<float>::quiet_NaN(),
                  infinite = std::numeric_limits<float>::infinity();
  for (const float value : {none, infinite}) {
    for (const int ranks : {1, 2, 3}) {
      auto batch = guided("guided-ap", 5);
      batch.said[3][1][4][5] = value;
      EXPECT_FALSE(mix(batch, ranks).usable) << value << ", " << ranks << " ranks";
      batch = guided("guided-sr", 5);
      batch.pictures[3][1][4][5] = value;
      EXPECT_FALSE(mix(batch, ranks).usable) << value << ", " << ranks << " ranks";
    }
  }
  // No gradient at all, in one picture or in all of them: nothing to divide by.
  auto batch = guided("guided-ap", 3);
  batch.said[1].zero_();
  EXPECT_FALSE(mix(batch, 1).usable);
  batch.said.zero_();
  EXPECT_FALSE(mix(batch, 2).usable);
}

TEST(GuidedMixers, OfEqualSaliencyTakeHalfOfEach) {
  for (const auto* name : {"guided-sr", "guided-ap"}) {
    for (const std::int64_t size : {2, 3, 5}) {
      auto batch = guided(name, size);
      batch.said.copy_(batch.said[0].clone().expand_as(batch.said));
      if (std::string_view{name} == "guided-sr")
        batch.pictures.copy_(batch.pictures[0].clone().expand_as(batch.pictures));
      const auto mixed = mix(batch, 1, /*traced=*/true);
      ASSERT_TRUE(mixed.usable);
      const auto partner = mixed.trace.at("mix.partner");
      // Still everybody's partner is another's: one cycle.
      EXPECT_EQ(std::get<0>(at::_unique(partner)).numel(), size);
      EXPECT_FALSE(partner.eq(at::arange(size)).any().item<bool>());
      const auto expected = (batch.pictures + batch.pictures.index_select(0, partner)) / 2;
      EXPECT_LE((mixed.pictures - expected).abs().max().item<double>(), picture_tolerance);
      const auto labels = (batch.labels + batch.labels.index_select(0, partner)) / 2;
      EXPECT_LE((mixed.labels - labels).abs().max().item<double>(), label_tolerance);
    }
  }
}

// fp16 scales losses, and gradients may be so small that their squares are 0 in float32.
TEST(GuidedMixers, AskNothingOfTheGradientsFactor) {
  const auto batch = guided("guided-ap", 5);
  const auto expected = mix(batch, 1);
  for (const double factor : {65536.0, 1e-25, 1e25}) {
    auto scaled = batch;
    scaled.said = batch.said * factor;
    const auto found = mix(scaled, 1);
    ASSERT_TRUE(found.usable) << factor;
    EXPECT_LE((found.pictures - expected.pictures).abs().max().item<double>(), picture_tolerance) << factor;
  }
}

// A picture may be alone, as the last one of an epoch where a caller mixes it all the same.
TEST(GuidedMixers, OfOnePictureGiveThatPicture) {
  for (const auto* name : {"guided-sr", "guided-ap"}) {
    const auto batch = guided(name, 1);
    const auto mixed = mix(batch, 1);
    ASSERT_TRUE(mixed.usable);
    EXPECT_LE((mixed.pictures - batch.pictures).abs().max().item<double>(), picture_tolerance);
    EXPECT_LE((mixed.labels - batch.labels).abs().max().item<double>(), label_tolerance);
  }
}

// A rank whose pictures cannot be read keeps in step with an empty share until the ranks talk.
TEST(GuidedMixers, OfARankWithoutAnyPictureDoNotFail) {
  for (const auto* name : {"guided-sr", "guided-ap"}) {
    const auto batch = guided(name, 4);
    const MixInput input{.settings = batch.settings,
                         .plan = batch.plan,
                         .size = 0,
                         .global_size = 4,
                         .places = {},
                         .pictures = batch.pictures.narrow(0, 0, 0),
                         .labels = batch.labels.narrow(0, 0, 0)};
    const NetworkView view{.gradients_by_picture = [](const at::Tensor& pictures, const at::Tensor&,
                                                      double) { return at::empty_like(pictures); },
                           .class_activations = {},
                           .of_all_places =
                               [](const at::Tensor& own) {
                                 auto sizes = own.sizes().vec();
                                 sizes.front() = 4;
                                 return at::ones(sizes, own.options());
                               }};
    EXPECT_NO_THROW(make_device_mixer(batch.settings)->mix(input, view)) << name;
  }
}

Batch snapmix(std::int64_t size, mixing::Box box, mixing::Box partner_box) {
  constexpr std::int64_t side = 16;
  Batch batch{mixing::Settings(test::mixing_method("snapmix")), {}, {}, {}, {}};
  batch.plan.applied = true;
  batch.plan.box = box;
  batch.plan.partner_box = partner_box;
  for (std::int64_t place = 0; place < size; ++place)
    batch.plan.partner.push_back(static_cast<std::uint32_t>((place + 1) % size));
  batch.pictures = pictures_of(8, size, side);
  batch.labels = labels_of(8, "hard", size);
  batch.said = hashed(8, {size, 4, 4}, 0, 1);
  return batch;
}

TEST(SnapMixer, LeavesABatchWhoseActivationsAreNoNumbers) {
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto batch = snapmix(5, {2, 8, 2, 8}, {4, 12, 0, 6});
    batch.said[4][0][1] = value;
    for (const int ranks : {1, 2, 4}) EXPECT_FALSE(mix(batch, ranks).usable) << value;
  }
}

TEST(SnapMixer, WithAnEmptyBoxMixesNothing) {
  for (const bool own_is_empty : {false, true}) {
    const mixing::Box some{2, 8, 2, 8}, none{3, 3, 5, 5};
    const auto batch = own_is_empty ? snapmix(3, none, some) : snapmix(3, some, none);
    const auto mixed = mix(batch, 1);
    ASSERT_TRUE(mixed.usable);
    EXPECT_TRUE(at::equal(mixed.pictures, batch.pictures));
    EXPECT_TRUE(at::equal(mixed.labels, batch.labels));
  }
}

TEST(SnapMixer, OfOneClassCountsBothSharesTwice) {
  auto batch = snapmix(2, {0, 16, 0, 8}, {0, 8, 0, 16});
  batch.labels = labels_of(8, "one_class", 2);
  // All activation on the right of the first picture, below in the second.
  batch.said.zero_();
  batch.said[0].narrow(1, 2, 2).fill_(1);
  batch.said[1].narrow(0, 2, 2).fill_(1);
  const auto shares = [&](int place, mixing::Box box) {
    const auto large =
        at::upsample_bilinear2d(batch.said[place].unsqueeze(0).unsqueeze(0), {16, 16}, false)[0][0];
    return (large.narrow(0, box.y1, box.y2 - box.y1).narrow(1, box.x1, box.x2 - box.x1).sum() / large.sum())
        .item<double>();
  };
  const auto mixed = mix(batch, 1);
  for (const int place : {0, 1}) {
    const double sum = 1 - shares(place, *batch.plan.box) + shares(1 - place, *batch.plan.partner_box);
    EXPECT_NEAR(mixed.labels[place][1].item<double>(), 2 * sum, 2 * label_tolerance) << place;
    EXPECT_EQ(mixed.labels[place][0].item<double>(), 0);
  }
}

TEST(SnapMixer, WithoutActivationWeighsByAreas) {
  auto batch = snapmix(2, {0, 8, 0, 8}, {0, 4, 0, 4});
  batch.said.fill_(0.5);
  const auto mixed = mix(batch, 1, /*traced=*/true);
  ASSERT_TRUE(mixed.usable);
  EXPECT_TRUE(at::allclose(mixed.trace.at("mix.weight"), at::tensor({0.75f, 0.25f}).expand({2, 2})));
}

TEST(DeviceMixers, LeaveOutEntriesThatDoNotCountInALabelWithAShare) {
  const auto own = at::tensor({-1.0f, 1.0f, 0.0f, -1.0f}).reshape({1, 4}),
             partner = at::tensor({1.0f, -1.0f, 1.0f, 0.0f}).reshape({1, 4});
  const auto mixed = [&](double a, double b) {
    return mixed_labels(own, partner, at::tensor({a}), at::tensor({b}));
  };
  EXPECT_TRUE(at::allclose(mixed(0.25, 0.75), at::tensor({-1.0f, -1.0f, 0.75f, -1.0f}).reshape({1, 4})));
  EXPECT_TRUE(at::allclose(mixed(1, 0), own));
  EXPECT_TRUE(at::allclose(mixed(0, 1), partner));
}

TEST(DeviceMixers, AreThereForEveryMethodThatMixesNoPixels) {
  for (const auto* method : mixing::methods())
    EXPECT_EQ(make_device_mixer(mixing::Settings(*method)) == nullptr, method->mixes_pixels())
        << method->facts().name;
}

TEST(DeviceMixers, RefuseAPictureThatWasNotComposed) {
  const auto batch = guided("guided-sr", 3);
  const MixInput input{.settings = batch.settings,
                       .plan = batch.plan,
                       .size = 1,
                       .global_size = 3,
                       .places = {0, 2},
                       .pictures = batch.pictures,
                       .labels = batch.labels};
  EXPECT_THROW(rows_at(input, {0, 1}), std::logic_error);
  EXPECT_EQ(rows_at(input, {2, 0})[0].item<std::int64_t>(), 1);
}

}  // namespace
}  // namespace deda::training
