// Ten steps of each classifier beside ResNet-18 (parts_test.cpp) in double precision, against torchvision and
// PyTorch: forward, backward, optimizer and running statistics together.
#include "models/classifiers/densenet.h"
#include "models/classifiers/resnet.h"
#include "models/classifiers/vision_transformer.h"
#include "models/golden_network.h"
#include "training/sgd.h"

namespace deda::training {
namespace {

// Ten steps let the differences from the order of sums grow.
constexpr double tolerance = 1e-8;

void expect_steps(const std::string& name, const std::shared_ptr<models::Classifier>& network) {
  SCOPED_TRACE(name);
  const auto all = test::golden_classifiers();
  const auto& golden = all.at(name);
  const auto batch = all.at("batch").get<std::int64_t>();
  network->to(torch::kDouble);
  test::fill_as_golden(*network);
  network->train();
  Sgd optimizer(network->parameters(), {.momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
  const auto& losses = golden.at("losses");
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const auto number = static_cast<std::int64_t>(step);
    network->zero_grad();
    const auto pictures = test::golden_pictures(number, batch, golden.at("step_sides"));
    const auto loss = at::cross_entropy_loss(network->forward(pictures), test::golden_labels(number, batch));
    EXPECT_NEAR(loss.item<double>(), losses.at(step).get<double>(), tolerance) << "step " << step;
    loss.backward();
    optimizer.step(0.01);
  }
  for (const auto& [key, tensor] : models::state_of(*network))
    test::expect_digest(tensor, golden.at("after").at(key), tolerance, key);
}

TEST(TenSteps, OfEveryClassifierLandWhereTorchvisionAndPyTorchDo) {
  models::ClassifierOptions options;
  options.classes = 5;
  expect_steps("resnet50", models::make_resnet50(options.classes));
  expect_steps("densenet121", models::make_densenet121(options));
  options.recompute_concatenations = true;
  expect_steps("densenet121", models::make_densenet121(options));
  options.side = 48;
  expect_steps("small_vit", models::make_vision_transformer(
                                {.layers = 3, .width = 64, .heads = 4, .mlp_width = 96}, options));
}

}  // namespace
}  // namespace deda::training
