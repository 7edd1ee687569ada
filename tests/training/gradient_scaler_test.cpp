// Loss scaling against torch.amp.GradScaler, step by step.
#include "training/gradient_scaler.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "models/made_up_weights.h"
#include "training/sgd.h"

namespace deda::training {
namespace {

using test::made_up;

TEST(GradientScaler, TakesTheScalesAndSkipsTheStepsOfPyTorchs) {
  std::ifstream file(DEDA_SOURCE_DIR "/tests/golden/gradient_scaler.json");
  const auto golden = nlohmann::json::parse(file);
  ASSERT_EQ(golden.at("runs").size(), 3u);
  const auto& overflows = golden.at("overflows");
  for (const auto& run : golden.at("runs")) {
    SCOPED_TRACE(run.at("initial").dump() + ", " + run.at("interval").dump());
    const std::vector<at::Tensor> parameters{made_up(0, {3, 4}).requires_grad_(true),
                                             made_up(1, {5}).requires_grad_(true)};
    Sgd optimizer(parameters, {});
    GradientScaler scaler({run.at("initial").get<double>(), run.at("interval").get<std::int64_t>()},
                          at::kCPU);
    std::int64_t skipped = 0;
    for (std::size_t step = 0; step < run.at("scales").size(); ++step) {
      at::Tensor loss = at::zeros({});
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        parameters[i].mutable_grad().reset();
        loss = loss + (parameters[i] * made_up(10 * (step + 1) + i, parameters[i].sizes())).sum();
      }
      scaler.scaled(loss).backward();
      if (const auto found = overflows.find(std::to_string(step)); found != overflows.end()) {
        parameters[step % 2].mutable_grad().view({-1})[static_cast<std::int64_t>(step % 5)] =
            std::stof(found->get<std::string>());
        ++skipped;
      }
      optimizer.step(0.1, scaler.unscale(parameters));
      scaler.update();
      EXPECT_EQ(scaler.now().scale, run.at("scales").at(step).get<double>()) << step;
      EXPECT_EQ(scaler.now().skipped, skipped) << step;
      EXPECT_EQ(scaler.tensors().at("steps_without_overflow").item<int>(),
                run.at("steps_without_overflow").at(step).get<int>())
          << step;
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto expected = at::tensor(run.at("after").at(i).get<std::vector<double>>(), at::kDouble);
      const auto found = parameters[i].detach().to(at::kDouble).view({-1});
      EXPECT_LE((found - expected).abs().max().item<double>(), 1e-6) << i;
    }
  }
}

TEST(GradientScaler, AsksTheOtherRanksBeforeItTells) {
  auto parameter = at::ones({2}).requires_grad_(true);
  bool asked = false;
  GradientScaler scaler({1024, 10}, at::kCPU, [&](at::Tensor& overflow) {
    asked = true;
    overflow.fill_(1.0);  // another rank's gradients
  });
  scaler.scaled(parameter.sum()).backward();
  EXPECT_EQ(scaler.unscale({parameter}).item<float>(), 1.0f);
  EXPECT_TRUE(asked);
  EXPECT_TRUE(at::equal(parameter.grad(), at::ones({2}))) << "divided by the scale all the same";
  Sgd({parameter}, {}).step(0.1, scaler.unscale({parameter}));
  EXPECT_TRUE(at::equal(parameter.detach(), at::ones({2})));
  scaler.update();
  EXPECT_EQ(scaler.now().scale, 512);
}

}  // namespace
}  // namespace deda::training
