// A training trace holds what another program needs: the names of the convention, and numbers that fit
// together. (analysis/replay_train_trace.py replays one in PyTorch.)
#include "training/trace.h"

#include <ATen/ATen.h>

#include "training/loss.h"
#include "training/trainer_fixture.h"

namespace deda::training {
namespace {

using TraceTest = TrainerTest;

TEST_F(TraceTest, HoldsEveryNameOfTheConventionAndNumbersThatFitTogether) {
  auto traced = request("traced", 1);
  traced.config.label_smoothing = 0.1;
  traced.trace = folder_ / "trace";
  traced.trace_steps = 2;
  run(ranks_, traced);
  if (!ranks_.is_root()) return;
  EXPECT_FALSE(fs::exists(*traced.trace / "step-000002.safetensors"));
  const auto first = models::read_tensors(*traced.trace / "step-000000.safetensors");
  const auto second = models::read_tensors(*traced.trace / "step-000001.safetensors");
  for (const auto* name : {"input",
                           "label",
                           "output",
                           "loss",
                           "lr",
                           "epoch",
                           "grad.conv1.weight",
                           "updated.layer4.1.bn2.running_var",
                           "updated.fc.bias",
                           "initial.bn1.num_batches_tracked",
                           "draw.index",
                           "draw.epoch",
                           "draw.augmented",
                           "draw.version",
                           "draw.mix",
                           "draw.mix_version",
                           "draw.cip",
                           "draw.u1",
                           "draw.u2",
                           "draw.x1",
                           "draw.y1",
                           "draw.w1",
                           "draw.h1",
                           "draw.x2",
                           "draw.y2",
                           "draw.w2",
                           "draw.h2",
                           "draw.flip1",
                           "draw.flip2",
                           "draw.angle1",
                           "draw.angle2",
                           "draw.crop_x",
                           "draw.crop_y",
                           "draw.flip",
                           "draw.area1",
                           "draw.area2",
                           "draw.class1",
                           "draw.class2"}) {
    EXPECT_EQ(first.count(name), 1u) << name;
  }
  EXPECT_EQ(second.count("initial.conv1.weight"), 0u);
  EXPECT_EQ(first.at("draw.index").scalar_type(), at::kLong);
  const auto share = batch_size / ranks_.size();
  EXPECT_EQ(first.at("input").sizes(), at::IntArrayRef({share, 3, test::made_up_side, test::made_up_side}));
  EXPECT_TRUE(at::equal(first.at("label").sum(1), at::ones({share}))) << "labels are kept before smoothing";

  if (ranks_.size() == 1) {
    const auto loss = soft_cross_entropy(first.at("output"), smooth_labels(first.at("label"), 0.1));
    EXPECT_NEAR(first.at("loss").item<double>(), loss.item<double>(), 1e-6);
  } else {
    EXPECT_TRUE(fs::exists(*traced.trace / "step-000000.rank-1.safetensors"));
  }
  // First step of SGD with Nesterov from rest: p - lr * (g + momentum * g) with g = gradient + decay * p.
  const auto& p = first.at("initial.fc.weight");
  const auto g = first.at("grad.fc.weight") + 5e-4 * p;
  EXPECT_TRUE(at::allclose(first.at("updated.fc.weight"), p - 0.01 * 1.9 * g, 1e-6, 1e-7));
}

// Other programs read these lines: names, order and values stay, of a natural picture too.
TEST_F(TraceTest, WritesDrawsAsJsonWithTheSameNames) {
  augment::Draws draws;
  draws.index = 12;
  draws.epoch = 2;
  draws.crop_x = 7;
  EXPECT_EQ(
      draw_json(draws, {0.25f, 0.75f}),
      R"({"index":12,"epoch":2,"augmented":0,"anchor":-1,"version":0,"mix":-1,"mix_version":0,"cip":-1,)"
      R"("u1":0.0,"u2":0.0,"x1":0,"y1":0,"w1":0,"h1":0,"x2":0,"y2":0,"w2":0,"h2":0,)"
      R"("flip1":0,"flip2":0,"angle1":0.0,"angle2":0.0,"crop_x":7,"crop_y":0,"flip":0,)"
      R"("area1":0,"area2":0,"class1":-1,"class2":-1,"label":[0.25,0.75]})");
  augment::CombinationDraws combination;
  combination.mix = 3;
  combination.cip = 5;
  combination.u1 = 0.75;
  combination.box2 = {1, 2, 3, 4};
  combination.flip2 = true;
  combination.area2 = 90;
  combination.class1 = 1;
  combination.class2 = 4;
  draws.method = combination;
  draws.flip = true;
  EXPECT_EQ(draw_json(draws, {0.25f, 0.75f}),
            R"({"index":12,"epoch":2,"augmented":1,"anchor":-1,"version":0,"mix":3,"mix_version":0,"cip":5,)"
            R"("u1":0.75,"u2":0.0,"x1":0,"y1":0,"w1":0,"h1":0,"x2":1,"y2":2,"w2":3,"h2":4,)"
            R"("flip1":0,"flip2":1,"angle1":0.0,"angle2":0.0,"crop_x":7,"crop_y":0,"flip":1,)"
            R"("area1":0,"area2":90,"class1":1,"class2":4,"label":[0.25,0.75]})");
}

}  // namespace
}  // namespace deda::training
