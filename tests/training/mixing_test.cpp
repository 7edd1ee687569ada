// Steps on batches that are mixed beside the network: what saliency costs leaves no trace, clean_weight adds
// the unmixed batch's gradient and nothing else, and any number of ranks takes the steps of one.
#include <torch/torch.h>

#include <map>

#include "augment/mixed_batches.h"
#include "mixing/made_up_batches.h"
#include "models/classifiers/batch_norm.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "training/learner.h"
#include "training/loss.h"
#include "training/mixing/device_mixer.h"
#include "training/trainer_fixture.h"

namespace deda::training {
namespace {

using MixedStepTest = TrainerTest;

constexpr std::uint64_t mixing_seed = 4;
constexpr double rate = 0.01;
// Of the norm: what is left is the order in which float32 gradients are added up. A gradient that is left out
// or counted twice is off by about its size.
constexpr double gradient_tolerance = 1e-5;

mixing::Settings always(const char* name) {
  mixing::Settings settings(test::mixing_method(name));
  settings.set("mix_probability", 1);
  return settings;
}

// One global batch as a rank has it, with the plan that all ranks know.
struct Share {
  augment::Batch batch;
  mixing::BatchPlan plan;
  std::int64_t global_size = 0;
};

// The pictures `first` .. `last` of the made-up ones, in an order of the batch's own.
Share share_of(const mixing::Settings& settings, std::int64_t first, std::int64_t last, int rank, int ranks) {
  Share share;
  share.global_size = last - first;
  const auto step = static_cast<std::uint64_t>(first);
  share.plan = settings.method().plan(settings, {mixing_seed, 1, 0}, share.global_size, test::made_up_side);
  std::vector<std::uint32_t> order =
      permutation(static_cast<std::uint32_t>(share.global_size), RandomStream(1, Purpose::test, 0, step));
  for (auto& sample : order) sample += static_cast<std::uint32_t>(first);
  const augment::MixedBatches batches(settings, {order, share.global_size, mixing_seed, 1}, rank, ranks,
                                      test::made_up_side, 1);
  auto composed = test::empty_batch();
  const auto samples = batches.samples_to_compose();
  for (const auto sample : samples.front()) test::append_picture(composed, sample);
  if (composed.size == 0)
    share.batch = test::empty_batch();
  else
    batches.mix(0, 0, composed, share.batch);
  return share;
}

at::Tensor step(Learner& learner, const Share& share) {
  return learner.step(as_tensors(share.batch), share.global_size, rate, nullptr, &share.plan);
}

// Bit for bit.
void expect_equal(const models::NamedTensors& found, const models::NamedTensors& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) EXPECT_TRUE(at::equal(found.at(name), tensor)) << name;
}

// Another learner's state.
void follow(models::Classifier& network, Learner& learner) {
  const torch::NoGradGuard no_gradients;
  const auto theirs = models::state_of(learner.network());
  for (auto& [name, tensor] : models::state_of(network)) tensor.copy_(theirs.at(name));
}

at::Tensor sum_over(const Communicator& ranks, const at::Tensor& tensor) {
  const auto plain = tensor.detach().to(at::kDouble).contiguous();
  const std::vector<double> own(plain.const_data_ptr<double>(),
                                plain.const_data_ptr<double>() + plain.numel());
  const auto sum = ranks.all_reduce(own, comm::Reduction::sum);
  return at::tensor(sum, at::kDouble).reshape(tensor.sizes()).to(tensor.scalar_type());
}

// What the learner promises, by hand: saliency from a network of its own, mixed pictures and labels.
class ByHand {
 public:
  ByHand(const Communicator& ranks, Learner& learner)
      : ranks_{ranks}, network_{models::make_classifier("resnet18", test::made_up_classes)} {
    network_->train();
    follow(*network_, learner);
  }
  MixOutput mix(const Share& share, const mixing::Settings& settings) {
    const auto batch = as_tensors(share.batch);
    const auto pictures = Normaliser(at::kCPU, false)(batch.pixels);
    const MixInput input{.settings = settings,
                         .plan = share.plan,
                         .size = share.batch.size,
                         .global_size = share.global_size,
                         .places = share.batch.mix->places,
                         .pictures = pictures,
                         .labels = batch.labels};
    clean_pictures_ = pictures.narrow(0, 0, input.size);
    clean_labels_ = batch.labels.narrow(0, 0, input.size);
    const NetworkView view{
        .gradients_by_picture =
            [&](const at::Tensor& own, const at::Tensor& labels, double keep) {
              auto pictures_here = own.clone().requires_grad_();
              const double factor = keep > 0 ? keep * weight_of(share) : 1.0;
              const auto loss = soft_cross_entropy(forward_without_trace(pictures_here), labels) * factor;
              return torch::autograd::grad({loss}, {pictures_here}).front();
            },
        .class_activations =
            [&](const at::Tensor& own, const at::Tensor& labels) {
              const torch::NoGradGuard no_gradients;
              const models::RunningStatisticsKept kept(*network_);
              const auto maps = network_->features(own);
              const auto head = network_->named_parameters();
              const auto all = at::conv2d(maps, head["fc.weight"].unsqueeze(2).unsqueeze(3), head["fc.bias"]);
              return (all * labels.unsqueeze(2).unsqueeze(3)).sum(1);
            },
        .of_all_places =
            [&](const at::Tensor& own) {
              auto sizes = own.sizes().vec();
              sizes.front() = share.global_size;
              auto all = at::zeros(sizes, own.options());
              for (std::int64_t i = 0; i < own.size(0); ++i)
                all[input.places[static_cast<std::size_t>(i)]].copy_(own[i]);
              return sum_over(ranks_, all);
            }};
    return make_device_mixer(settings)->mix(input, view);
  }
  // Of the mean loss over the global batch, `clean_weight` times that of the unmixed batch added.
  std::map<std::string, at::Tensor> gradients(const MixOutput& mixed, const Share& share, double clean_weight,
                                              const std::vector<std::string>& names) {
    std::vector<at::Tensor> by;
    const auto parameters = network_->named_parameters();
    for (const auto& name : names) by.push_back(parameters[name]);
    // Where a loss is multiplied rounding is the learner's: in a fresh network it grows on its way back.
    const double weight = weight_of(share);
    const auto gradients_of = [&](const at::Tensor& pictures, const at::Tensor& labels, double factor) {
      return torch::autograd::grad({soft_cross_entropy(forward_without_trace(pictures), labels) * factor},
                                   by);
    };
    const auto of_mixed = gradients_of(mixed.pictures, mixed.labels, weight);
    std::vector<at::Tensor> of_clean;
    for (const auto& parameter : by) of_clean.push_back(at::zeros_like(parameter));
    if (clean_weight > 0) of_clean = gradients_of(clean_pictures_, clean_labels_, clean_weight * weight);
    std::map<std::string, at::Tensor> found;
    for (std::size_t i = 0; i < names.size(); ++i)
      found[names[i]] =
          sum_over(ranks_, of_mixed[i].to(at::kDouble) + of_clean[i]) / static_cast<double>(ranks_.size());
    return found;
  }

 private:
  // The mean over the ranks of losses so weighted is the mean over the global batch.
  double weight_of(const Share& share) const {
    return static_cast<double>(share.batch.size) * static_cast<double>(ranks_.size()) /
           static_cast<double>(share.global_size);
  }
  at::Tensor forward_without_trace(const at::Tensor& pictures) {
    const models::RunningStatisticsKept kept(*network_);
    return network_->forward(pictures);
  }
  const Communicator& ranks_;
  std::shared_ptr<models::Classifier> network_;
  at::Tensor clean_pictures_, clean_labels_;
};

constexpr auto device_methods = {"snapmix", "guided-sr", "guided-ap"};

TEST_F(MixedStepTest, ABatchThatIsNotMixedTakesAPlainStep) {
  auto settings = always("guided-ap");
  settings.set("mix_probability", 0);
  settings.set("clean_weight", 1);
  const auto share = share_of(settings, 0, batch_size, ranks_.rank(), ranks_.size());
  ASSERT_FALSE(share.plan.applied);
  Learner mixing(ranks_, config(1), test::made_up_classes, 1, {}, test::made_up_side, &settings),
      plain(ranks_, config(1), test::made_up_classes, 1, {}, test::made_up_side);
  const auto loss = step(mixing, share);
  EXPECT_TRUE(at::equal(loss, plain.step(as_tensors(share.batch), share.global_size, rate, nullptr)));
  expect_equal(mixing.tensors(), plain.tensors());
  EXPECT_EQ(mixing.left_unmixed(), 0);
}

// A learner without any method that is handed the mixed pictures takes the same step: saliency's pass left
// neither gradients nor running statistics nor a count of batches behind.
TEST_F(MixedStepTest, SaliencyLeavesNoTrace) {
  // Class activations are summed in another order by hand, and labels follow them.
  constexpr double tolerance = 1e-5;
  for (const auto* name : device_methods) {
    const auto settings = always(name);
    Learner mixing(ranks_, config(1), test::made_up_classes, 1, {}, test::made_up_side, &settings),
        plain(ranks_, config(1), test::made_up_classes, 1, {}, test::made_up_side);
    const auto share = share_of(settings, 0, batch_size, ranks_.rank(), ranks_.size());
    const auto mixed = ByHand(ranks_, plain).mix(share, settings);
    ASSERT_TRUE(mixed.usable);
    const auto clean = Normaliser(at::kCPU, false)(as_tensors(share.batch).pixels);
    EXPECT_GT((mixed.pictures - clean.narrow(0, 0, share.batch.size)).abs().max().item<double>(), 0.1);
    const auto loss = step(mixing, share);
    const auto expected = plain.step({share.batch.size, {}, mixed.labels, &share.batch, mixed.pictures},
                                     share.global_size, rate, nullptr);
    EXPECT_NEAR(loss.item<double>(), expected.item<double>(), tolerance) << name;
    const auto found = mixing.tensors();
    double worst = 0;
    for (const auto& [tensor_name, tensor] : plain.tensors()) {
      if (tensor_name.find("num_batches_tracked") != std::string::npos) {
        EXPECT_EQ(found.at(tensor_name).item<std::int64_t>(), 1) << name << " " << tensor_name;
      }
      worst = std::max(worst, (found.at(tensor_name) - tensor).to(at::kDouble).abs().max().item<double>());
    }
    EXPECT_LE(worst, tolerance) << name;
  }
}

TEST_F(MixedStepTest, CleanWeightAddsTheUnmixedBatchsGradientAndNothingElse) {
  const std::vector<std::string> names{"conv1.weight", "bn1.bias", "layer4.1.bn2.weight", "fc.weight",
                                       "fc.bias"};
  constexpr double clean_weight = 2.5;
  auto settings = always("guided-ap");
  settings.set("clean_weight", clean_weight);
  Learner learner(ranks_, config(1), test::made_up_classes, 1, {}, test::made_up_side, &settings);
  // The first step, when no gradients are there yet, and later ones.
  for (std::int64_t number = 0; number < 3; ++number) {
    SCOPED_TRACE("step " + std::to_string(number));
    // Of nine pictures shares are unequal.
    const auto share = share_of(settings, number * 9, number * 9 + 9, ranks_.rank(), ranks_.size());
    ByHand by_hand(ranks_, learner);
    const auto mixed = by_hand.mix(share, settings);
    ASSERT_TRUE(mixed.usable);
    const auto expected = by_hand.gradients(mixed, share, clean_weight, names);
    step(learner, share);
    const auto parameters = learner.network().named_parameters();
    for (const auto& name : names) {
      const auto found = parameters[name].grad().to(at::kDouble);
      const auto& wanted = expected.at(name);
      EXPECT_LE((found - wanted).norm().item<double>(), gradient_tolerance * wanted.norm().item<double>())
          << name;
    }
    learner.synchronise_buffers();
  }
}

// With a first layer of zeros no pixel changes what comes after it: there is no saliency, but a gradient of
// all other layers, also of the unmixed batch, which must not be added then.
TEST_F(MixedStepTest, ABatchWithoutSaliencyIsTrainedUnmixedAndCounted) {
  auto settings = always("guided-ap");
  settings.set("clean_weight", 1);
  Learner mixing(ranks_, config(1), test::made_up_classes, 1, {}, test::made_up_side, &settings),
      plain(ranks_, config(1), test::made_up_classes, 1, {}, test::made_up_side);
  for (std::int64_t number = 0; number < 2; ++number) {
    for (auto* learner : {&mixing, &plain}) {
      const torch::NoGradGuard no_gradients;
      learner->network().named_parameters()["conv1.weight"].zero_();
      learner->network().named_parameters()["bn1.bias"].fill_(0.5);
    }
    const auto share =
        share_of(settings, number * batch_size, (number + 1) * batch_size, ranks_.rank(), ranks_.size());
    ASSERT_TRUE(share.plan.applied);
    const auto loss = step(mixing, share);
    const auto whole = as_tensors(share.batch);
    const DeviceBatch clean{share.batch.size,
                            whole.pixels.narrow(0, 0, share.batch.size),
                            whole.labels.narrow(0, 0, share.batch.size),
                            &share.batch,
                            {}};
    EXPECT_TRUE(at::equal(loss, plain.step(clean, share.global_size, rate, nullptr)));
    expect_equal(mixing.tensors(), plain.tensors());
    EXPECT_EQ(mixing.left_unmixed(), number + 1);
    EXPECT_GT(plain.network().named_parameters()["fc.weight"].grad().abs().max().item<double>(), 1e-3);
  }
}

// Float32 all through, as saliency is; each step from where one rank stands, for a fresh network multiplies
// rounding. The last batch is of two pictures, which is fewer than ranks.
TEST_F(MixedStepTest, AnyNumberOfRanksTakesTheStepsOfOne) {
  auto train_settings = config(1);
  train_settings.batch_norm = BatchNorm::global;
  const auto alone = Communicator::self();  // learners keep a reference
  for (const auto* name : device_methods) {
    auto settings = always(name);
    if (settings.has("clean_weight")) settings.set("clean_weight", 0.5);
    Learner learner(ranks_, train_settings, test::made_up_classes, 1, {}, test::made_up_side, &settings);
    std::unique_ptr<Learner> one;
    if (ranks_.is_root())
      one = std::make_unique<Learner>(alone, train_settings, test::made_up_classes, 1, device::Place{},
                                      test::made_up_side, &settings);
    double worst_loss = 0, worst_statistics = 0;
    for (const auto& [first, last] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 8}, {8, 15}, {15, 17}}) {
      learner.restore(one ? one->tensors() : models::NamedTensors{});
      const auto share = share_of(settings, first, last, ranks_.rank(), ranks_.size());
      ASSERT_TRUE(share.plan.applied);
      const double own = step(learner, share).item<double>();
      const double loss = ranks_.all_reduce(std::vector<double>{own}, comm::Reduction::sum).front();
      if (!one) continue;
      const double expected = step(*one, share_of(settings, first, last, 0, 1)).item<double>();
      worst_loss = std::max(worst_loss, std::abs(loss - expected) / expected);
      const auto found = learner.tensors();
      for (const auto& [tensor_name, tensor] : one->tensors()) {
        if (tensor_name.find("running") != std::string::npos)
          worst_statistics =
              std::max(worst_statistics,
                       (found.at(tensor_name) - tensor).norm().item<double>() / tensor.norm().item<double>());
      }
    }
    EXPECT_EQ(learner.left_unmixed(), 0);
    if (!one) continue;
    std::printf("%s in 3 single steps: losses %.1e apart, running statistics %.1e\n", name, worst_loss,
                worst_statistics);
    EXPECT_LE(worst_loss, 1e-5) << name;
    EXPECT_LE(worst_statistics, 1e-5) << name;
  }
}

// As the trainer does where a rank could not read its pictures, until the ranks talk of it.
TEST_F(MixedStepTest, ARankWithoutAnyPictureKeepsInStep) {
  if (ranks_.size() == 1) return;
  for (const auto& [name, kind] : {std::pair{"snapmix", BatchNorm::global},
                                   {"guided-sr", BatchNorm::local},
                                   {"guided-ap", BatchNorm::global}}) {
    const auto settings = always(name);
    auto train_settings = config(1);
    train_settings.batch_norm = kind;
    Learner learner(ranks_, train_settings, test::made_up_classes, 1, {}, test::made_up_side, &settings);
    auto share = share_of(settings, 0, batch_size, ranks_.rank(), ranks_.size());
    if (ranks_.rank() + 1 == ranks_.size()) share.batch = {};
    EXPECT_NO_THROW(step(learner, share)) << name;
    EXPECT_TRUE(learner.finite()) << name;
  }
}

}  // namespace
}  // namespace deda::training
