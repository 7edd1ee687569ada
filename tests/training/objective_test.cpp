// Loss and scores of several labels per picture against PyTorch's and scikit-learn's, and exact over any
// number of ranks.
#include "training/objective.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "support/hashed_numbers.h"
#include "training/evaluation.h"
#include "training/loss.h"
#include "training/made_up_samples.h"
#include "training/multi_label_metrics.h"
#include "training/objective_names.h"

namespace deda::training {
namespace {

constexpr double tolerance = 1e-6;

struct Case {
  std::string name;
  std::size_t pictures = 0, classes = 0;
  std::vector<float> logits, labels;
  nlohmann::json expected;

  std::vector<std::int8_t> signs() const { return {labels.begin(), labels.end()}; }
  at::Tensor tensor(const std::vector<float>& values) const {
    return at::tensor(values).reshape(
        {static_cast<std::int64_t>(pictures), static_cast<std::int64_t>(classes)});
  }
};

std::vector<Case> golden_cases() {
  const auto json = nlohmann::json::parse(
      read_text(std::filesystem::path{DEDA_SOURCE_DIR} / "tests" / "golden" / "multi_label.json"));
  std::vector<Case> cases;
  for (const auto& entry : json) {
    Case made;
    made.name = entry.at("name");
    made.expected = entry;
    for (const auto& row : entry.at("logits")) {
      ++made.pictures;
      made.classes = row.size();
      for (const double value : row) made.logits.push_back(static_cast<float>(value));
    }
    for (const auto& row : entry.at("labels")) {
      for (const double value : row) made.labels.push_back(static_cast<float>(value));
    }
    cases.push_back(std::move(made));
  }
  return cases;
}

void expect_near(const nlohmann::json& expected, const std::optional<double>& found,
                 const std::string& what) {
  ASSERT_EQ(expected.is_null(), !found.has_value()) << what;
  if (found) EXPECT_NEAR(*found, expected.get<double>(), tolerance) << what;
}

TEST(Objective, LossOfSeveralLabelsIsPyTorchs) {
  for (const Case& each : golden_cases()) {
    const auto loss = masked_binary_cross_entropy(each.tensor(each.logits), each.tensor(each.labels));
    EXPECT_NEAR(loss.item<double>(), each.expected.at("loss").get<double>(), tolerance) << each.name;
  }
}

TEST(Objective, MetricsOfSeveralLabelsAreScikitLearns) {
  const auto cases = golden_cases();
  ASSERT_GE(cases.size(), 12u);
  for (const Case& each : cases) {
    const auto found = multi_label_metrics(each.logits, each.signs(), each.classes);
    expect_near(each.expected.at("mAP"), found.mean_average_precision, each.name + ": mAP");
    expect_near(each.expected.at("mAP 11-point"), found.mean_average_precision_11_point,
                each.name + ": 11-point");
    EXPECT_NEAR(found.f1_micro, each.expected.at("F1 micro").get<double>(), tolerance) << each.name;
    EXPECT_NEAR(found.f1_macro, each.expected.at("F1 macro").get<double>(), tolerance) << each.name;
    EXPECT_EQ(found.classes_with_positives, each.expected.at("classes_with_positives")) << each.name;
    const auto signs = each.signs();
    std::int64_t right = 0, counted = 0;
    for (std::size_t i = 0; i < each.pictures; ++i) {
      const auto match = exact_match(std::span(each.logits).subspan(i * each.classes, each.classes),
                                     std::span(signs).subspan(i * each.classes, each.classes));
      right += match.value_or(false);
      counted += match.has_value();
    }
    EXPECT_EQ(counted, each.expected.at("pictures")) << each.name;
    if (counted > 0)
      EXPECT_NEAR(static_cast<double>(right) / static_cast<double>(counted),
                  each.expected.at("exact_match").get<double>(), tolerance)
          << each.name;
  }
}

// Gradients of entries that do not count are zero, and an unequal number of them per rank does not matter:
// the sum over shares, weighted by what they count, is the whole batch's mean.
TEST(Objective, WeighsSharesByTheEntriesThatCount) {
  const auto cases = golden_cases();
  const Case& whole = cases.front();
  auto logits = whole.tensor(whole.logits).set_requires_grad(true);
  const auto labels = whole.tensor(whole.labels);
  TrainConfig config;
  config.objective = ObjectiveChoice::multi_label;
  const auto objective = make_objective(config);
  objective->loss(logits, labels).backward();
  const auto gradient = logits.grad().clone();
  EXPECT_EQ(gradient.masked_select(labels.lt(0)).abs().sum().item<float>(), 0.0f);
  EXPECT_GT(labels.lt(0).sum().item<std::int64_t>(), 0);

  logits.mutable_grad().reset();
  const auto ranks = comm::Communicator::self();
  const double all = objective->counted({labels.size(0), {}, labels, nullptr});
  EXPECT_EQ(objective->counted_in_all(ranks, all, labels.size(0)), all);
  EXPECT_EQ(objective->counted({}), 0.0);
  for (const auto& [first, last] : {std::pair{0, 7}, std::pair{7, 60}}) {
    const auto share = labels.slice(0, first, last);
    const double own = objective->counted({last - first, {}, share, nullptr});
    (objective->loss(logits.slice(0, first, last), share) * (own / all)).backward();
  }
  EXPECT_TRUE(at::allclose(logits.grad(), gradient, 1e-5, 1e-8));
}

// Says of picture i what `logits` has in row i.
class Oracle : public models::Classifier {
 public:
  explicit Oracle(at::Tensor logits) : logits_{std::move(logits)} {}
  at::Tensor forward(at::Tensor pictures) override {
    // The picture's number is in its first pixel, in ImageNet's units.
    const auto first = pictures.select(3, 0).select(2, 0).select(1, 0);
    const auto number = (first * 0.229 + 0.485).mul(255).round().to(at::kLong);
    return logits_.index_select(0, number);
  }
  std::string head_name() const override { return "none"; }
  std::int64_t classes() const override { return logits_.size(1); }

 private:
  at::Tensor logits_;
};

// Pictures 0..count-1, each with its number in its pixels, cut over the ranks.
TestSamples numbered_tests(const comm::Communicator& ranks, const Case& of) {
  class Stream final : public augment::BatchStream {
   public:
    Stream(const Case& of, int rank, int ranks)
        : of_{of}, position_{static_cast<std::size_t>(rank)}, ranks_{static_cast<std::size_t>(ranks)} {}
    const augment::Batch* next() override {
      constexpr std::int64_t batch_size = 4;
      if (position_ >= of_.pictures) return nullptr;
      batch_ = {};
      batch_.height = batch_.width = 2;
      batch_.classes = static_cast<std::int32_t>(of_.classes);
      for (; batch_.size < batch_size && position_ < of_.pictures; position_ += ranks_, ++batch_.size) {
        batch_.pixels.insert(batch_.pixels.end(), 12, static_cast<std::uint8_t>(position_));
        for (std::size_t c = 0; c < of_.classes; ++c)
          batch_.labels.push_back(of_.labels[position_ * of_.classes + c]);
        augment::Draws draws;
        draws.index = static_cast<std::int64_t>(position_);
        batch_.draws.push_back(draws);
      }
      return &batch_;
    }

   private:
    const Case& of_;
    std::size_t position_, ranks_;
    augment::Batch batch_;
  };
  TestSamples tests;
  tests.count = static_cast<std::int64_t>(of.pictures);
  tests.groups = {"even"};
  for (std::size_t i = 0; i < of.pictures; ++i) tests.group_of.push_back(i % 2 == 0 ? 0 : -1);
  tests.open = [&of, rank = ranks.rank(), size = ranks.size()] {
    return std::make_unique<Stream>(of, rank, size);
  };
  return tests;
}

TrainConfig of_several_labels() {
  TrainConfig config;
  config.objective = ObjectiveChoice::multi_label;
  config.device = DeviceChoice::cpu;
  return config;
}

TEST(Objective, EvaluatesSeveralLabelsExactlyOverTheRanks) {
  const auto ranks = comm::Communicator::world();
  for (const Case& each : golden_cases()) {
    const auto tests = numbered_tests(ranks, each);
    Oracle network(each.tensor(each.logits));
    const auto found = evaluate(network, tests, ranks, at::kCPU, of_several_labels());
    ASSERT_EQ(found.scores.size(), 2u) << each.name;
    EXPECT_EQ(found.scores[0].total, each.expected.at("pictures")) << each.name;
    if (found.scores[0].total > 0)
      EXPECT_NEAR(found.scores[0].accuracy(), each.expected.at("exact_match").get<double>(), tolerance)
          << each.name;
    std::int64_t right = 0, counted = 0;
    const auto signs = each.signs();
    for (std::size_t i = 0; i < each.pictures; i += 2) {
      const auto match = exact_match(std::span(each.logits).subspan(i * each.classes, each.classes),
                                     std::span(signs).subspan(i * each.classes, each.classes));
      right += match.value_or(false);
      counted += match.has_value();
    }
    EXPECT_EQ(found.scores[1].correct, right) << each.name;
    EXPECT_EQ(found.scores[1].total, counted) << each.name;
    std::size_t defined = 0;
    for (const auto name : multi_label_metric_names) {
      const auto& expected = each.expected.at(std::string{name});
      const auto metric = std::find_if(found.metrics.begin(), found.metrics.end(),
                                       [&](const Metric& one) { return one.name == name; });
      ASSERT_EQ(expected.is_null(), metric == found.metrics.end()) << each.name << ": " << name;
      if (expected.is_null()) continue;
      ++defined;
      EXPECT_NEAR(metric->value, expected.get<double>(), tolerance) << each.name << ": " << name;
    }
    EXPECT_EQ(found.metrics.size(), defined);
  }
}

TEST(Objective, SaysSoWhereAnOutputIsNoNumber) {
  const auto ranks = comm::Communicator::world();
  auto cases = golden_cases();
  Case& broken = cases.front();
  broken.logits[broken.classes * 5 + 1] = std::nanf("");
  const auto tests = numbered_tests(ranks, broken);
  Oracle network(broken.tensor(broken.logits));
  EXPECT_THROW(evaluate(network, tests, ranks, at::kCPU, of_several_labels()), ModelError);
}

}  // namespace
}  // namespace deda::training
