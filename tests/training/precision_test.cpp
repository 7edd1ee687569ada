// What half precision costs: five seeds of training on the toy dataset in each precision. Minutes, therefore
// with DEDA_TEST_ALL=1 alone.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <numeric>

#include "data/dataset.h"
#include "data/toy.h"
#include "training/samples.h"
#include "training/trainer_fixture.h"

namespace deda::training {
namespace {

struct Figures {
  double mean = 0, standard_error = 0;
};

Figures figures_of(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  Figures figures;
  figures.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - figures.mean) * (value - figures.mean);
  figures.standard_error = std::sqrt(squares / (count - 1) / count);
  return figures;
}

class PrecisionTest : public TrainerTest {
 protected:
  // Top-1 accuracy of the last epoch in percent.
  double accuracy_of(const data::Dataset& dataset, Precision precision, std::uint64_t seed) const {
    augment::AugmentConfig augment;
    augment.method = augment::Method::plain;
    augment.resize_shorter = 56;
    augment.crop = 48;
    augment::TrainingSource source(dataset, dataset.indices(data::Split::train), {}, augment, seed);
    const auto test_pictures = dataset.indices(data::Split::test);
    augment::TestSource tests(dataset, test_pictures, augment);
    auto order = request(fmt::format("{}-{}", static_cast<int>(precision), seed), 10);
    order.seed = seed;
    order.config.precision = precision;
    order.config.batch_size = 16;
    order.config.milestones = {8};
    order.config.evaluate_every = order.config.epochs;
    const auto state = train(ranks_, order, training_samples(source, 16, ranks_, 1, 2),
                             test_samples(tests, dataset, test_pictures, 16, ranks_, 1, 2));
    return percent * state.history.back().scores.front().accuracy();
  }
};

TEST_F(PrecisionTest, HalfPrecisionLearnsTheToySetAsWellAsFp32OverFiveSeeds) {
  if (std::getenv("DEDA_TEST_ALL") == nullptr) GTEST_SKIP() << "minutes of training; DEDA_TEST_ALL=1 runs it";
  data::ToyConfig toy;
  toy.size = 64;
  data::make_toy_dataset(ranks_, toy, folder_ / "toy");
  data::DatasetConfig dataset_config;
  dataset_config.root = folder_ / "toy";
  const auto dataset = data::load_dataset(dataset_config);
  const auto measure = [&](Precision precision) {
    std::vector<double> accuracies;
    for (std::uint64_t seed = 1; seed <= 5; ++seed)
      accuracies.push_back(accuracy_of(dataset, precision, seed));
    const auto figures = figures_of(accuracies);
    fmt::print("{}: {:.2f} % +- {:.2f} (standard error), {}\n", name_of(precision), figures.mean,
               figures.standard_error, fmt::join(accuracies, " "));
    return figures;
  };
  const auto exact = measure(Precision::fp32);
  EXPECT_GT(exact.mean, 40) << "six classes: chance is 17 %";
  // fp16 on CPUs is fp32 with the loss scaled: what is seen here is the scaling alone.
  for (const auto precision : {Precision::bf16, Precision::fp16}) {
    const auto found = measure(precision);
    EXPECT_LE(std::abs(found.mean - exact.mean), 2 * std::hypot(found.standard_error, exact.standard_error))
        << name_of(precision);
  }
}

}  // namespace
}  // namespace deda::training
