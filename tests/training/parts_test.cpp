// Optimizer, schedule, loss and normalisation against PyTorch and torchvision.
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "models/classifiers/resnet.h"
#include "models/golden_network.h"
#include "models/layers.h"
#include "models/made_up_weights.h"
#include "models/weights/tensor_file.h"
#include "training/loss.h"
#include "training/normalise.h"
#include "training/schedule.h"
#include "training/sgd.h"

namespace deda::training {
namespace {

using test::expect_digest;
using test::hashed_tensor;

// Of golden learning rates, one per step or one per epoch, the largest difference relative to the first
// learning rate of the configuration.
double largest_difference(const TrainConfig& config, std::int64_t pictures, const at::Tensor& golden,
                          bool by_epoch) {
  const Schedule schedule(config, pictures);
  const auto steps = schedule.steps_per_epoch();
  EXPECT_EQ(golden.numel(), by_epoch ? config.epochs : config.epochs * steps);
  const auto* expected = golden.const_data_ptr<double>();
  double largest = 0;
  for (std::int64_t i = 0; i < config.epochs * steps; ++i) {
    const double rate = schedule.rate(1 + i / steps, i % steps);
    largest = std::max(largest, std::abs(rate - expected[by_epoch ? i / steps : i]) / config.learning_rate);
  }
  return largest;
}

TrainConfig diff_mix(double rate, std::int64_t batch_size) {
  TrainConfig config;
  config.epochs = 120;
  config.batch_size = batch_size;
  config.last_batch = LastBatch::drop;
  config.learning_rate = rate;
  config.schedule = ScheduleKind::cosine;
  config.cosine_length = CosineLength::all_steps;
  config.minimum_learning_rate = 0;
  config.warmup_share = 0.1;
  return config;
}

TEST(Schedule, OfTheRecipesIsPyTorchsOverTheWholeLength) {
  const auto golden = models::read_tensors(DEDA_SOURCE_DIR "/tests/golden/recipes.safetensors");
  constexpr std::int64_t cub = 5994;
  EXPECT_LE(largest_difference({}, cub, golden.at("a"), true), 1e-12);
  EXPECT_LE(largest_difference(diff_mix(0.001, 32), cub, golden.at("b"), false), 1e-12);
  EXPECT_LE(largest_difference(diff_mix(0.05, 256), cub, golden.at("c"), false), 1e-12);
}

TEST(Schedule, CutsTheRateAtEpochs150And225AsRecipeADoes) {
  const Schedule schedule({}, 5994);
  const auto steps = schedule.steps_per_epoch();
  EXPECT_EQ(steps, 375);
  EXPECT_EQ(schedule.pictures_in_step(0), 16);
  EXPECT_EQ(schedule.pictures_in_step(374), 10);
  EXPECT_EQ(schedule.left_out(), 0);
  for (const auto& [epoch, rate] : std::vector<std::pair<std::int64_t, double>>{{1, 0.01},
                                                                                {2, 0.01},
                                                                                {149, 0.01},
                                                                                {150, 0.001},
                                                                                {151, 0.001},
                                                                                {224, 0.001},
                                                                                {225, 0.0001},
                                                                                {300, 0.0001}}) {
    EXPECT_DOUBLE_EQ(schedule.rate(epoch, 0), rate) << epoch;
    EXPECT_DOUBLE_EQ(schedule.rate(epoch, steps - 1), rate) << epoch;
  }
}

TEST(Schedule, CosineFallsEveryStepToItsMinimumAfterOneEpochMoreThanThereAre) {
  TrainConfig config;
  config.schedule = ScheduleKind::cosine;
  config.epochs = 9;
  config.minimum_learning_rate = 1e-4;
  const Schedule schedule(config, 10 * config.batch_size);
  EXPECT_NEAR(schedule.rate(1, 0), 1e-4 + 0.5 * 0.0099 * (1 + std::cos(std::numbers::pi * 0.1)), 1e-15);
  EXPECT_NEAR(schedule.rate(5, 0), 1e-4 + 0.5 * 0.0099, 1e-15);
  EXPECT_GT(schedule.rate(9, 8), schedule.rate(9, 9));
  EXPECT_GT(schedule.rate(9, 9), 1e-4);
}

TEST(Schedule, ADroppedLastBatchMakesNoStepAndAKeptOneIsPartOfTheCosine) {
  auto config = diff_mix(1, 16);
  config.epochs = 10;
  const Schedule drops(config, 40);
  EXPECT_EQ(drops.steps_per_epoch(), 2);
  EXPECT_EQ(drops.left_out(), 8);
  EXPECT_EQ(drops.pictures_in_step(1), 16);
  EXPECT_EQ(drops.warmup_steps(), 2);  // a tenth of floor(10 * 40 / 16) = 25
  config.last_batch = LastBatch::keep;
  const Schedule keeps(config, 40);
  EXPECT_EQ(keeps.steps_per_epoch(), 3);
  EXPECT_EQ(keeps.left_out(), 0);
  EXPECT_GT(keeps.rate(10, 2), 0) << "not at its end before the training is";
  EXPECT_LT(keeps.rate(10, 2), 0.01);
  // Of equal batches nothing is dropped.
  config.last_batch = LastBatch::drop;
  EXPECT_EQ(Schedule(config, 48).steps_per_epoch(), 3);
  EXPECT_EQ(Schedule(config, 48).left_out(), 0);
}

TEST(Schedule, WarmUpIsAFactorOnTopOfAnySchedule) {
  TrainConfig config;
  config.epochs = 10;
  config.milestones = {2};
  config.warmup_epochs = 2;
  const Schedule schedule(config, 2 * config.batch_size);
  EXPECT_EQ(schedule.warmup_steps(), 4);
  const std::vector<double> rates{0.0025, 0.005, 0.00075, 0.001, 0.001};
  for (std::size_t i = 0; i < rates.size(); ++i) {
    const auto step = static_cast<std::int64_t>(i);
    EXPECT_DOUBLE_EQ(schedule.rate(1 + step / 2, step % 2), rates[i]) << i;
  }
  config.warmup_epochs = 0;
  config.warmup_share = 0.001;  // less than a step
  EXPECT_EQ(Schedule(config, 2 * config.batch_size).warmup_steps(), 1);
  EXPECT_DOUBLE_EQ(Schedule(config, 2 * config.batch_size).rate(1, 0), 0.01);
}

TEST(Schedule, EvaluatesEveryFewEpochsFromTheFirstOneAskedForAndTheLast) {
  const auto evaluated = [](std::int64_t every, std::int64_t first) {
    TrainConfig config;
    config.epochs = 12;
    config.evaluate_every = every;
    config.evaluate_first = first;
    std::vector<std::int64_t> epochs;
    for (std::int64_t epoch = 1; epoch <= config.epochs; ++epoch) {
      if (is_evaluated(config, epoch)) epochs.push_back(epoch);
    }
    return epochs;
  };
  using Epochs = std::vector<std::int64_t>;
  EXPECT_EQ(evaluated(4, 1), (Epochs{1, 5, 9, 12}))
      << "0, 4, 8 counted from 0, as Diff-Mix does, and the last";
  EXPECT_EQ(evaluated(5, 0), (Epochs{5, 10, 12}));
  EXPECT_EQ(evaluated(4, 10), (Epochs{10, 12}));
  EXPECT_EQ(evaluated(1, 0).size(), 12u);
}

TEST(Sgd, MatchesPyTorchsWithAndWithoutMomentumNesterovAndDecay) {
  for (const auto& golden : test::golden_resnet18().at("sgd")) {
    auto parameter = (hashed_tensor(1, {4, 3}) - 0.5).requires_grad_(true);
    Sgd optimizer({parameter}, {.momentum = golden.at("momentum"),
                                .weight_decay = golden.at("weight_decay"),
                                .nesterov = golden.at("nesterov")});
    const std::vector<double> rates{0.1, 0.1, 0.01, 0.01};
    for (std::size_t step = 0; step < rates.size(); ++step) {
      parameter.mutable_grad() = hashed_tensor(10 + step, {4, 3}) - 0.5;
      optimizer.step(rates[step]);
    }
    test::expect_all_near(parameter, golden.at("after"), 1e-14, golden.dump().substr(0, 80));
  }
}

TEST(Sgd, TakesGradientsInAnotherMemoryOrderAndNamesAParameterWithoutOne) {
  auto plain = hashed_tensor(3, {2, 3, 4, 4}).requires_grad_(true);
  auto other = hashed_tensor(3, {2, 3, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast).requires_grad_(true);
  plain.mutable_grad() = hashed_tensor(4, {2, 3, 4, 4});
  other.mutable_grad() = hashed_tensor(4, {2, 3, 4, 4});
  Sgd({plain}, {}).step(0.1);
  Sgd({other}, {}).step(0.1);
  EXPECT_TRUE(at::equal(plain.detach(), other.detach()));
  auto unused = at::zeros({5}).requires_grad_(true);
  EXPECT_THROW(Sgd({unused}, {}).step(0.1), ModelError);
}

// Ten steps of the whole network in double precision: forward, backward, optimizer and running statistics
// together.
TEST(TenSteps, OfResNet18LandWhereTorchvisionAndPyTorchDo) {
  const auto golden = test::golden_resnet18();
  const auto network = models::make_resnet18(5);
  network->to(torch::kDouble);
  test::fill_as_golden(*network);
  models::use_channels_last(*network);
  network->train();
  Sgd optimizer(network->parameters(), {});
  TrainConfig config;
  for (std::int64_t step = 0; step < 10; ++step) {
    network->zero_grad();
    const auto loss =
        at::cross_entropy_loss(network->forward(test::golden_pictures(step)), test::golden_labels(step));
    EXPECT_NEAR(loss.item<double>(), golden.at("losses").at(static_cast<std::size_t>(step)).get<double>(),
                1e-8)
        << "step " << step;
    loss.backward();
    optimizer.step(config.learning_rate);
  }
  for (const auto& [name, tensor] : models::state_of(*network)) {
    // Ten steps let the differences from the order of sums grow.
    expect_digest(tensor, golden.at("after").at(name), 1e-8, name);
  }
}

TEST(Loss, SmoothsByTheDenseRuleWhichIsNotPyTorchs) {
  const auto labels = at::tensor({0.0, 1.0, 0.0, 0.25, 0.75, 0.0}, at::kFloat).view({2, 3});
  const auto smooth = smooth_labels(labels, 0.1);
  EXPECT_NEAR(smooth[0][1].item<double>(), 0.95, 1e-6);
  EXPECT_NEAR(smooth[0][0].item<double>(), 0.05, 1e-6);
  EXPECT_NEAR(smooth[0].sum().item<double>(), 1.05, 1e-6);  // three classes: the rule sums to 1.05
  EXPECT_NEAR(smooth[1][0].item<double>(), 0.05 + 0.9 * 0.25, 1e-6);
  EXPECT_TRUE(at::equal(smooth_labels(labels, 0.0), labels));
  EXPECT_TRUE(at::equal(smooth_labels(at::ones({2, 1}), 0.1), at::ones({2, 1})));
}

TEST(Loss, OfSmoothedLabelsIsPyTorchsOnRandomAndDegenerateInputs) {
  std::ifstream file(DEDA_SOURCE_DIR "/tests/golden/recipes.json");
  const auto cases = nlohmann::json::parse(file).at("losses");
  ASSERT_GE(cases.size(), 9u);
  for (const auto& each : cases) {
    const auto index = each.at("index").get<std::uint64_t>();
    const auto classes = each.at("classes").get<std::int64_t>();
    const auto spread = each.at("spread").get<double>();
    const auto kind = each.at("kind").get<std::string>();
    const auto logits = test::made_up(index, {6, classes}, -spread, spread);
    auto labels =
        at::softmax(test::made_up(index + 50, {6, classes}, -2, 2).to(at::kDouble), 1).to(at::kFloat);
    if (kind == "one_hot") labels = at::one_hot(at::arange(6).remainder(classes), classes).to(at::kFloat);
    if (kind == "scaled") labels = labels * 0.9;
    if (kind == "nothing") labels = labels * 0.0;
    const auto loss =
        soft_cross_entropy(logits, smooth_labels(labels, each.at("smoothing").get<double>())).item<double>();
    const auto expected = each.at("loss").get<double>();
    EXPECT_NEAR(loss, expected, 1e-6 * std::max(1.0, std::abs(expected))) << each.at("name");
  }
}

TEST(Loss, IsTheMeanOverTheBatchOfSoftCrossEntropy) {
  const auto logits = hashed_tensor(20, {4, 3}).to(at::kFloat);
  const auto labels = at::softmax(hashed_tensor(21, {4, 3}), 1).to(at::kFloat);
  const auto expected = -(labels * at::log_softmax(logits, 1)).sum() / 4;
  EXPECT_NEAR(soft_cross_entropy(logits, labels).item<double>(), expected.item<double>(), 1e-6);
}

TEST(Normalise, GivesTorchvisionsBitsInChannelsLastOrder) {
  const auto golden = test::golden_resnet18().at("normalise");
  const auto bytes = golden.at("bytes").get<std::vector<std::uint8_t>>();
  std::vector<std::uint8_t> pixels;
  for (const auto byte : bytes) pixels.insert(pixels.end(), 3, byte);
  const auto width = static_cast<std::int64_t>(bytes.size());
  for (const bool channels_last : {true, false}) {
    const auto picture =
        Normaliser(at::kCPU, channels_last)(at::from_blob(pixels.data(), {1, 1, width, 3}, at::kByte));
    ASSERT_EQ(picture.sizes(), at::IntArrayRef({1, 3, 1, width}));
    for (std::int64_t channel = 0; channel < 3; ++channel) {
      for (std::int64_t x = 0; x < width; ++x) {
        const auto expected = static_cast<float>(golden.at("channels")
                                                     .at(static_cast<std::size_t>(channel))
                                                     .at(static_cast<std::size_t>(x))
                                                     .get<double>());
        EXPECT_EQ((picture[0][channel][0][x].item<float>()), expected) << channel << " " << x;
      }
    }
  }
  const Normaliser normalise(at::kCPU, true);
  EXPECT_TRUE(normalise(at::zeros({2, 4, 5, 3}, at::kByte)).is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_THROW(normalise(at::zeros({2, 4, 5}, at::kByte)), ModelError);
  EXPECT_THROW(normalise(at::zeros({2, 3, 4, 5}, at::kByte)), ModelError);
  EXPECT_THROW(normalise(at::zeros({2, 4, 5, 3})), ModelError);
}

}  // namespace
}  // namespace deda::training
