// Optimizer, schedule, loss and normalisation against PyTorch and torchvision.
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "models/classifiers/resnet.h"
#include "models/golden_network.h"
#include "models/layers.h"
#include "training/loss.h"
#include "training/normalise.h"
#include "training/schedule.h"
#include "training/sgd.h"

namespace deda::training {
namespace {

using test::expect_digest;
using test::hashed_tensor;

TEST(Schedule, CutsTheRateAtEpochs150And225AsRecipeADoes) {
  const TrainConfig config;
  constexpr std::int64_t steps = 375;
  for (const auto& [epoch, rate] : std::vector<std::pair<std::int64_t, double>>{{1, 0.01},
                                                                                {2, 0.01},
                                                                                {149, 0.01},
                                                                                {150, 0.001},
                                                                                {151, 0.001},
                                                                                {224, 0.001},
                                                                                {225, 0.0001},
                                                                                {300, 0.0001}}) {
    EXPECT_DOUBLE_EQ(learning_rate(config, epoch, 0, steps), rate) << epoch;
    EXPECT_DOUBLE_EQ(learning_rate(config, epoch, steps - 1, steps), rate) << epoch;
  }
}

TEST(Schedule, CosineFallsEveryStepToItsMinimumAfterOneEpochMoreThanThereAre) {
  TrainConfig config;
  config.schedule = ScheduleKind::cosine;
  config.epochs = 9;
  config.minimum_learning_rate = 1e-4;
  EXPECT_NEAR(learning_rate(config, 1, 0, 10), 1e-4 + 0.5 * 0.0099 * (1 + std::cos(std::numbers::pi * 0.1)),
              1e-15);
  EXPECT_NEAR(learning_rate(config, 5, 0, 10), 1e-4 + 0.5 * 0.0099, 1e-15);
  EXPECT_GT(learning_rate(config, 9, 8, 10), learning_rate(config, 9, 9, 10));
  EXPECT_GT(learning_rate(config, 9, 9, 10), 1e-4);
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
    optimizer.step(learning_rate(config, 1, step, 10));
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
