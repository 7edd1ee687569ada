// Data-parallel steps against one process that adds up the shares, and a whole run: every sample once, exact
// counts, complete results.
#include "training/learner.h"

#include <torch/torch.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "models/classifiers/initialise.h"
#include "models/registry.h"
#include "models/weights/weights.h"
#include "training/evaluation.h"
#include "training/loss.h"
#include "training/normalise.h"
#include "training/trainer_fixture.h"

namespace deda::training {
namespace {

using LearnerTest = TrainerTest;

// One process that does what the ranks do: a forward pass per share, gradients added with the share's weight.
class Reference {
 public:
  explicit Reference(const TrainConfig& config)
      : network_{models::make_classifier("resnet18", test::made_up_classes)},
        objective_{make_objective(config)} {
    models::initialise(*network_, 1);
    optimizer_ = std::make_unique<Sgd>(network_->parameters(), SgdOptions{.momentum = config.momentum,
                                                                          .weight_decay = config.weight_decay,
                                                                          .nesterov = config.nesterov});
    for (const auto& entry : network_->named_buffers()) buffers_.push_back(entry.value());
  }
  // Returns the mean loss of the global batch.
  double step(const std::vector<augment::Batch>& shares, double rate) {
    network_->zero_grad();
    double counted = 0;
    for (const auto& share : shares) counted += objective_->counted(as_tensors(share));
    double loss_sum = 0;
    for (std::size_t rank = 0; rank < shares.size(); ++rank) {
      const auto& share = shares[rank];
      if (share.size == 0) continue;
      std::vector<at::Tensor> before;
      for (const auto& buffer : buffers_) before.push_back(buffer.clone());
      const auto batch = as_tensors(share);
      const auto input = Normaliser(at::kCPU, false)(batch.pixels);
      const auto labels = batch.labels;
      const auto loss = objective_->loss(network_->forward(input), labels);
      const double own = objective_->counted(batch);
      (loss * (own / counted)).backward();
      loss_sum += loss.item<double>() * own;
      if (rank == 0) continue;
      const torch::NoGradGuard no_gradients;  // running statistics are rank 0's
      for (std::size_t i = 0; i < buffers_.size(); ++i) buffers_[i].copy_(before[i]);
    }
    optimizer_->step(rate);
    return loss_sum / counted;
  }
  // Starts the next step from where the ranks stand.
  void follow(Learner& learner) {
    const torch::NoGradGuard no_gradients;
    const auto theirs = models::state_of(learner.network());
    for (auto& [name, tensor] : models::state_of(*network_)) tensor.copy_(theirs.at(name));
    for (std::size_t i = 0; i < optimizer_->momentum_buffers().size(); ++i) {
      at::Tensor(optimizer_->momentum_buffers()[i]).copy_(learner.optimizer().momentum_buffers()[i]);
    }
  }
  models::Classifier& network() { return *network_; }

 private:
  std::shared_ptr<models::Classifier> network_;
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<Sgd> optimizer_;
  std::vector<at::Tensor> buffers_;
};

TEST_F(LearnerTest, StepsAreThoseOfOneProcessThatAddsUpTheSharesUnevenAndEmptyOnesToo) {
  const auto settings = config(1);
  const auto order = permutation(pictures, RandomStream(1, Purpose::shuffle, 1, 0));
  const int size = ranks_.size();
  Learner learner(ranks_, settings, test::made_up_classes, 1, {});
  Reference reference(settings);
  // Even shares; uneven ones; and a batch for two ranks alone, the others having nothing.
  struct Cut {
    std::int64_t first, last;
    int over;
  };
  const std::vector<Cut> cuts{{0, 8, size}, {8, 17, size}, {17, 22, std::min(size, 2)}};
  for (const auto& cut : cuts) {
    std::vector<augment::Batch> shares;
    for (int rank = 0; rank < size; ++rank) {
      shares.push_back(rank < cut.over ? test::share_of(order, cut.first, cut.last, rank, cut.over)
                                       : test::empty_batch());
    }
    const auto global_size = cut.last - cut.first;
    // Each step from the same start: a network at its start multiplies a difference of 1e-6 in a weight by a
    // thousand in every step (ReLUs that switch), so over several steps there would be nothing to compare.
    learner.synchronise_buffers();
    reference.follow(learner);
    const double own =
        learner.step(as_tensors(shares[static_cast<std::size_t>(ranks_.rank())]), global_size, 0.01, nullptr)
            .item<double>();
    const double loss = ranks_.all_reduce(std::vector<double>{own}, comm::Reduction::sum).at(0) /
                        static_cast<double>(global_size);
    learner.synchronise_buffers();
    EXPECT_NEAR(loss, reference.step(shares, 0.01), 1e-6) << "batch from " << cut.first;
    const auto ours = models::state_of(learner.network());
    for (const auto& [name, tensor] : models::state_of(reference.network())) {
      // What is left is the order in which float32 gradients are added up; the smallest updates are of size
      // 1e-3.
      EXPECT_LE((ours.at(name) - tensor).to(at::kDouble).abs().max().item<double>(), 1e-6)
          << name << ", batch from " << cut.first;
    }
  }
}

// Of several labels a share weighs by its entries that count, which differ by rank: also where one has none.
TEST_F(LearnerTest, StepsOfSeveralLabelsAreTheMeanOverTheEntriesThatCountInTheWholeBatch) {
  auto settings = config(1);
  settings.objective = ObjectiveChoice::multi_label;
  const auto order = permutation(pictures, RandomStream(1, Purpose::shuffle, 1, 0));
  const int size = ranks_.size();
  std::vector<augment::Batch> shares;
  for (int rank = 0; rank < size; ++rank) {
    auto& share = shares.emplace_back(test::share_of(order, 0, 9, rank, size));
    for (std::size_t i = 0; i < share.labels.size(); ++i) {
      if (rank == 1 || i % 5 == 3) share.labels[i] = -1.0f;
    }
  }
  Learner learner(ranks_, settings, test::made_up_classes, 1, {});
  Reference reference(settings);
  const double own =
      learner.step(as_tensors(shares[static_cast<std::size_t>(ranks_.rank())]), 9, 0.01, nullptr)
          .item<double>();
  const double loss = ranks_.all_reduce(std::vector<double>{own}, comm::Reduction::sum).at(0) / 9;
  learner.synchronise_buffers();
  EXPECT_NEAR(loss, reference.step(shares, 0.01), 1e-6);
  const auto ours = models::state_of(learner.network());
  for (const auto& [name, tensor] : models::state_of(reference.network()))
    EXPECT_LE((ours.at(name) - tensor).to(at::kDouble).abs().max().item<double>(), 1e-6) << name;
}

TEST_F(LearnerTest, LearnsVisitsEverySampleOnceAnEpochAndLeavesCompleteResults) {
  std::vector<Visit> visits;
  const auto order = request("whole", 2);
  EXPECT_FALSE(finished_run(order.folder, order.run.made_of.key).has_value());
  const auto state = run(ranks_, order, {}, &visits);
  EXPECT_EQ(gathered(visits), expected_visits(2));
  ASSERT_EQ(state.history.size(), 2u);
  EXPECT_DOUBLE_EQ(state.history[0].learning_rate, 0.01);
  EXPECT_DOUBLE_EQ(state.history[1].learning_rate, 0.001);
  ASSERT_EQ(state.history[1].scores.size(), 2u);
  EXPECT_EQ(state.history[1].scores[0].total, tests);
  EXPECT_EQ(state.history[1].scores[1].group, "even");
  EXPECT_EQ(state.history[1].scores[1].total, 7);
  EXPECT_LT(state.history[1].loss, state.history[0].loss);

  const auto results = nlohmann::json::parse(read_text(order.folder / "results.json"));
  EXPECT_EQ(results.at("finished"), true);
  EXPECT_EQ(results.at("ranks"), ranks_.size());
  EXPECT_EQ(results.at("epochs_done"), 2);
  EXPECT_EQ(results.at("groups"), nlohmann::json({"all", "even"}));
  EXPECT_EQ(results.at("accuracy").at("all").at("images"), tests);
  EXPECT_THAT(read_text(order.folder / "history.csv"),
              testing::StartsWith("epoch,learning_rate,loss,accuracy.all,accuracy.even\n1,0.01,"));
  EXPECT_TRUE(finished_run(order.folder, order.run.made_of.key).has_value());
  EXPECT_FALSE(finished_run(order.folder, "another key").has_value());

  // What best.safetensors holds scores what the results say.
  const auto network = models::make_classifier("resnet18", test::made_up_classes);
  models::load_weights(*network, order.folder / "best.safetensors");
  const auto scores =
      evaluate(*network, test::made_up_tests(ranks_, tests), ranks_, at::kCPU, order.config).scores;
  EXPECT_DOUBLE_EQ(scores.front().accuracy(), state.best_accuracy);
}

// The steps that tests/golden/gradient_scaler.py disturbs, disturbed on the last rank alone.
TEST_F(LearnerTest, InFp16AllRanksSkipTheStepsThatPyTorchsScalerSkipsWhicheverRankOverflows) {
  std::ifstream file(DEDA_SOURCE_DIR "/tests/golden/gradient_scaler.json");
  const auto golden = nlohmann::json::parse(file);
  const auto& run = golden.at("runs").at(1);  // a scale at which nothing overflows by itself
  auto settings = config(1);
  settings.precision = Precision::fp16;
  settings.loss_scale = run.at("initial").get<double>();
  settings.loss_scale_interval = run.at("interval").get<std::int64_t>();
  Learner learner(ranks_, settings, test::made_up_classes, 1, {});
  std::string overflow;  // of this step's gradients
  auto parameter = learner.network().parameters().back();
  parameter.register_hook([&](const at::Tensor& gradient) {
    return overflow.empty() || ranks_.rank() + 1 != ranks_.size() ? gradient : gradient * std::stof(overflow);
  });
  const auto order = permutation(pictures, RandomStream(1, Purpose::shuffle, 1, 0));
  const auto& scales = run.at("scales");
  std::int64_t skipped = 0;
  for (std::size_t step = 0; step < scales.size(); ++step) {
    const auto found = golden.at("overflows").find(std::to_string(step));
    overflow = found == golden.at("overflows").end() ? "" : found->get<std::string>();
    const auto share = test::share_of(order, 0, batch_size, ranks_.rank(), ranks_.size());
    const auto before = parameter.detach().clone();
    learner.step(as_tensors(share), batch_size, 1e-3, nullptr);
    if (!overflow.empty()) ++skipped;
    EXPECT_EQ(at::equal(before, parameter.detach()), !overflow.empty()) << step;
    ASSERT_TRUE(learner.loss_scale().has_value());
    EXPECT_EQ(learner.loss_scale()->scale, scales.at(step).get<double>()) << step;
    EXPECT_EQ(learner.loss_scale()->skipped, skipped) << step;
  }
  EXPECT_EQ(skipped, 6);
  EXPECT_TRUE(learner.finite());
  for (const auto& [name, tensor] : learner.tensors()) {
    if (!tensor.is_floating_point()) continue;
    const double own = tensor.to(at::kDouble).sum().item<double>();
    if (name.find("running") == std::string::npos) {
      EXPECT_EQ(ranks_.all_reduce(std::vector<double>{own}, comm::Reduction::maximum).front(), own) << name;
    }
  }
  Learner exact(ranks_, config(1), test::made_up_classes, 1, {});
  EXPECT_FALSE(exact.loss_scale().has_value());
}

TEST_F(LearnerTest, RefusesSharesThatCannotWorkBeforeWorkStarts) {
  auto settings = config(1);
  training::TrainingSamples samples = test::made_up_training(ranks_, 20, 8);
  samples.height = samples.width = 32;
  EXPECT_NO_THROW(check_run(settings, samples, 2));
  EXPECT_THROW(check_run(settings, samples, 16), ConfigError);  // more ranks than samples in a batch
  EXPECT_THROW(check_run(settings, samples, 3),
               ConfigError);  // the last batch of 4 leaves one rank with one picture
  samples.height = samples.width = 64;
  EXPECT_NO_THROW(check_run(settings, samples, 3));
  samples.count = 0;
  EXPECT_THROW(check_run(settings, samples, 1), ConfigError);
}

TEST_F(LearnerTest, RefusesARecipeThatTheDataCannotFollowWithAllProblemsAtOnce) {
  auto settings = config(1);
  settings.last_batch = LastBatch::drop;
  training::TrainingSamples samples = test::made_up_training(ranks_, 7, 8);
  try {
    check_run(settings, samples, 16);
    ADD_FAILURE() << "no step would be left";
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().size(), 2u);
    EXPECT_THAT(error.what(), HasSubstr("7 training pictures for batches of 8"));
    EXPECT_THAT(error.what(), HasSubstr("16 ranks"));
  }
  samples.count = 8;
  EXPECT_NO_THROW(check_run(settings, samples, 2));
  // A batch of four over three ranks leaves one with a single picture that ends as one pixel; of the whole
  // batch there are statistics.
  samples.height = samples.width = 32;
  settings.last_batch = LastBatch::keep;
  samples.count = 20;
  EXPECT_THROW(check_run(settings, samples, 3), ConfigError);
  settings.batch_norm = BatchNorm::global;
  EXPECT_NO_THROW(check_run(settings, samples, 3));
  samples.count = 17;  // but not of one picture
  EXPECT_THROW(check_run(settings, samples, 3), ConfigError);
  EXPECT_THROW(check_run(settings, samples, 1), ConfigError);
  settings.last_batch = LastBatch::drop;
  EXPECT_NO_THROW(check_run(settings, samples, 3));
}

TEST_F(LearnerTest, AsksOfBatchesWhatTheNetworksBatchNormNeeds) {
  auto settings = config(2);
  training::TrainingSamples samples = test::made_up_training(ranks_, 17, 4);
  settings.batch_size = 4;
  samples.height = samples.width = 48;  // one pixel of DenseNet-121, four of ResNet-18
  EXPECT_NO_THROW(check_run(settings, samples, 1));
  settings.network = "densenet121";
  EXPECT_THROW(check_run(settings, samples, 1), ConfigError);
  samples.height = samples.width = 64;
  EXPECT_NO_THROW(check_run(settings, samples, 1));
  // ViT-B/16 has no batch norm: nothing to refuse, nothing to doubt.
  settings.network = "vit_b_16";
  samples.height = samples.width = 16;
  EXPECT_NO_THROW(check_run(settings, samples, 1));
  EXPECT_THAT(doubts_about_run(settings, samples, 2), testing::IsEmpty());
}

TEST_F(LearnerTest, DoubtsWhatWorksButMayNotBeMeant) {
  auto settings = config(4);
  const auto samples = test::made_up_training(ranks_, 43, 16);
  settings.batch_size = 16;
  EXPECT_THAT(doubts_about_run(settings, samples, 1), testing::IsEmpty());
  EXPECT_THAT(doubts_about_run(settings, samples, 2), testing::IsEmpty());
  EXPECT_THAT(doubts_about_run(settings, samples, 3), testing::ElementsAre(HasSubstr("batch norm sees 5")));
  settings.batch_norm = BatchNorm::global;
  EXPECT_THAT(doubts_about_run(settings, samples, 3), testing::IsEmpty());
  settings.milestones = {2, 5, 9};
  settings.last_batch = LastBatch::drop;
  EXPECT_THAT(doubts_about_run(settings, samples, 1),
              testing::ElementsAre(HasSubstr("5, 9 lies beyond the 4 epochs"), HasSubstr("11 of 43")));
}

}  // namespace
}  // namespace deda::training
