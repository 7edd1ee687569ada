// Steps of textual inversion against a plain PyTorch loop (tests/golden/textual_inversion.py), and what they
// promise: packing, micro-batches and caches change nothing; bad numbers never become a result.
#include "diffusion/inversion/textual_inversion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdlib>
#include <set>

#include "core/error.h"
#include "diffusion/inversion/inversion_unit.h"
#include "diffusion/inversion_fixture.h"
#include "models/made_up_weights.h"

namespace deda::diffusion {
namespace {

using test::TinyLayout;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

double relative_difference(const at::Tensor& ours, const at::Tensor& theirs) {
  return ((ours - theirs).to(at::kDouble).norm() / theirs.to(at::kDouble).norm()).item<double>();
}

// What both programs start from.
TEST(GoldenModels, WritesTheModelsForThePythonScript) {
  const char* folder = std::getenv("DEDA_WRITE_TINY_MODELS");
  if (folder == nullptr) return;  // no test: a tool of tests/golden/textual_inversion.py
  test::write_tiny_diffusion_model(fs::path(folder) / "sd15", {.layout = TinyLayout::sd15});
  test::write_tiny_diffusion_model(fs::path(folder) / "sdxl", {.layout = TinyLayout::sdxl});
}

struct GoldenCase {
  std::string name;
  TinyLayout layout;
  std::int64_t vectors;
  PredictionType prediction;
};

// Latents, noise, timesteps and prompts by the rule of tests/golden/textual_inversion.py.
constexpr std::int64_t golden_steps = 10, golden_batch = 6, golden_side = 8;
const std::vector<std::string> golden_templates{"a photo of a {}", "a rendering of a {}",
                                                "a dark photo of the {}", "a close-up photo of the {}"};

class Golden {
 public:
  Golden(const DiffusionModel& model, std::int64_t vectors) : model_{model}, vectors_{vectors} {
    for (const auto& tokenizer : model.tokenizers) {
      tokenizers_.push_back(tokenizer);
      tokenizers_.back().add_token("<class-0000>");
      if (vectors == 2) tokenizers_.back().add_token("<class-0000>_1");
    }
  }
  IdentifierRows initial() const {
    IdentifierRows rows;
    for (std::size_t i = 0; i < model_.text_encoders.size(); ++i)
      rows.push_back(model_.text_encoders[i]
                         ->token_row(model_.tokenizers[i].tokens("bird").at(0))
                         .unsqueeze(0)
                         .repeat({vectors_, 1}));
    return rows;
  }
  std::string name() const { return vectors_ == 2 ? "<class-0000> <class-0000>_1" : "<class-0000>"; }
  std::vector<at::Tensor> ids_of(const std::vector<std::string>& prompts) const {
    return model_.ids_of(tokenizers_, prompts);
  }
  InversionBatch batch(std::int64_t step) const {
    InversionBatch batch;
    batch.latents = test::made_up(static_cast<std::uint64_t>(2 * step),
                                  {golden_batch, 4, golden_side, golden_side}, -2, 2);
    batch.noise = test::made_up(static_cast<std::uint64_t>(2 * step + 1),
                                {golden_batch, 4, golden_side, golden_side}, -2, 2);
    std::vector<std::int64_t> timesteps;
    for (std::int64_t i = 0; i < golden_batch; ++i) {
      timesteps.push_back((37 * (step * golden_batch + i) + 11) % 401);
      batch.prompts.push_back((step + i * i) % static_cast<std::int64_t>(golden_templates.size()));
    }
    batch.timesteps = at::tensor(timesteps);
    std::vector<std::string> prompts;
    for (const auto& text : golden_templates) prompts.push_back(fill_template(text, name()));
    batch.prompt_ids = ids_of(prompts);
    return batch;
  }

 private:
  const DiffusionModel& model_;
  std::int64_t vectors_;
  std::vector<models::ClipTokenizer> tokenizers_;
};

class PlainLoop : public ::testing::TestWithParam<GoldenCase> {};
INSTANTIATE_TEST_SUITE_P(
    Cases, PlainLoop,
    ::testing::Values(GoldenCase{"sd15", TinyLayout::sd15, 1, PredictionType::epsilon},
                      GoldenCase{"sd15_two_vectors", TinyLayout::sd15, 2, PredictionType::epsilon},
                      GoldenCase{"sd15_velocity", TinyLayout::sd15, 1, PredictionType::v_prediction},
                      GoldenCase{"sdxl", TinyLayout::sdxl, 1, PredictionType::epsilon}),
    [](const auto& each) { return each.param.name; });

TEST_P(PlainLoop, GivesTheSameLossesAndRowsInTenSteps) {
  const auto& golden_case = GetParam();
  const auto golden =
      models::read_tensors(fs::path(DEDA_SOURCE_DIR) / "tests" / "golden" / "textual_inversion.safetensors");
  test::TemporaryFolder folder;
  test::write_tiny_diffusion_model(folder.path(), {.layout = golden_case.layout});
  ModelsConfig config;
  config.base = folder.path();
  DiffusionModel model(config, at::kCPU);
  model.schedule.prediction_type = golden_case.prediction;
  const Golden inputs(model, golden_case.vectors);
  const TextualInversion inversion(model, 4 * golden_side, 0);
  auto rows = inputs.initial();
  AdamW optimizer(rows, {});
  const auto losses = golden.at(golden_case.name + ".losses");
  for (std::int64_t step = 0; step < golden_steps; ++step) {
    const auto result = inversion.gradients(inputs.batch(step), {rows}, {1.0});
    optimizer.step(result.gradients.front(), 5e-3);
    const double expected = losses[step].item<double>();
    EXPECT_NEAR(result.losses().front(), expected, 1e-5 * expected) << "step " << step;
    for (std::size_t encoder = 0; encoder < rows.size(); ++encoder)
      EXPECT_LT(relative_difference(rows[encoder],
                                    golden.at(golden_case.name + ".rows." + std::to_string(encoder))[step]),
                1e-5)
          << "step " << step;
  }
  EXPECT_GT(relative_difference(rows[0], inputs.initial()[0]), 1e-2) << "it did learn";
  // The states that diffusers' loader gives for the same embedding.
  if (const auto states = golden.find(golden_case.name + ".states"); states != golden.end()) {
    const auto ours = model.encode_text(inputs.ids_of({"a photo of a " + inputs.name()}), rows);
    EXPECT_LT(relative_difference(ours.states[0], states->second), 1e-5);
  }
}

TEST(AdamWOnOneRow, EqualsTheWholeMatrixWithAllOtherRowsPutBack) {
  const auto matrix = test::made_up(1, {50, 24}).requires_grad_(true);
  const auto original = matrix.detach().clone();
  auto row = original.slice(0, 49).clone();
  torch::optim::AdamW whole({matrix}, torch::optim::AdamWOptions(1e-3).weight_decay(1e-2));
  AdamW ours({row}, {});
  for (std::uint64_t step = 0; step < 10; ++step) {
    const auto gradient = test::made_up(2 + step, {50, 24});
    matrix.mutable_grad() = gradient.clone();
    whole.step();
    {
      torch::NoGradGuard no_gradients;
      matrix.slice(0, 0, 49).copy_(original.slice(0, 0, 49));
    }
    ours.step({gradient.slice(0, 49)}, 1e-3);
    // Element-wise: the same operations, up to a fused multiply-add.
    EXPECT_LT((matrix.detach().slice(0, 49) - row).abs().max().item<double>(), 1e-7) << "step " << step;
  }
}

class Unit : public ::testing::Test {
 protected:
  Unit() : ranks{comm::Communicator::self()} {}
  void make(const std::vector<std::pair<std::string, std::int64_t>>& classes = {{"cat", 3}, {"dog", 2}},
            const test::TinyModelOptions& options = {}) {
    fixture = std::make_unique<test::InversionFixture>(ranks, folder.path(), classes, options);
  }
  std::vector<LearntClass> learn(const std::vector<std::size_t>& classes,
                                 std::shared_ptr<DiffusionModel> model = nullptr) {
    if (!model) model = fixture->load();
    const InversionContext context(*model, *fixture->source, fixture->settings);
    InversionUnit unit(context, classes, 1 << 20, [&](const ClassLearning&, const std::string& problem) {
      problems.push_back(problem);
    });
    while (!unit.finished()) unit.step();
    return unit.results();
  }
  comm::Communicator ranks;
  test::TemporaryFolder folder;
  std::unique_ptr<test::InversionFixture> fixture;
  std::vector<std::string> problems;
};

TEST_F(Unit, ClassesPackedTogetherLearnAsAlone) {
  for (const auto layout : {TinyLayout::sd15, TinyLayout::sdxl}) {
    const test::TemporaryFolder other;
    fixture = std::make_unique<test::InversionFixture>(
        ranks, other.path(), std::vector<std::pair<std::string, std::int64_t>>{{"cat", 3}, {"dog", 2}},
        test::TinyModelOptions{.layout = layout});
    const auto cat = learn({0}), dog = learn({1});
    fixture->settings.invert.classes_per_batch = 2;
    const auto both = learn({0, 1});
    for (std::size_t encoder = 0; encoder < both[0].rows.size(); ++encoder) {
      EXPECT_LT(relative_difference(both[0].rows[encoder], cat[0].rows[encoder]), 1e-5);
      EXPECT_LT(relative_difference(both[1].rows[encoder], dog[0].rows[encoder]), 1e-5);
    }
    EXPECT_NEAR(both[0].curve.back().loss, cat[0].curve.back().loss, 1e-5);
  }
}

TEST_F(Unit, MicroBatchesAddUpToTheWholeBatch) {
  make();
  const auto whole = learn({0});
  for (const std::int64_t micro : {1, 3}) {
    fixture->settings.invert.micro_batch = micro;
    const auto parts = learn({0});
    EXPECT_LT(relative_difference(parts[0].rows[0], whole[0].rows[0]), 1e-5) << micro;
  }
}

TEST_F(Unit, ContinuesFromWhatItSaved) {
  make();
  fixture->settings.invert.classes_per_batch = 2;
  const auto whole = learn({0, 1});
  const auto model = fixture->load();
  const InversionContext context(*model, *fixture->source, fixture->settings);
  for (int at = 0; at < 6; ++at) {
    InversionUnit first(context, {0, 1}, 1 << 20);
    for (int step = 0; step < at; ++step) first.step();
    InversionUnit second(context, {0, 1}, 1 << 20);
    second.restore(first.save());
    while (!second.finished()) second.step();
    const auto again = second.results();
    EXPECT_TRUE(at::equal(again[1].rows[0], whole[1].rows[0])) << at;
    EXPECT_EQ(again[1].curve.size(), whole[1].curve.size());
    EXPECT_EQ(again[1].record.loss_last, whole[1].record.loss_last);
  }
}

// The table's row of a word becomes too large for the first layer norm.
void spoil_word(const DiffusionModel& model, const std::string& word) {
  const auto id = model.tokenizers[0].tokens(word).at(0);
  const auto parameters = model.text_encoders[0]->named_parameters();
  torch::NoGradGuard no_gradients;
  auto table = parameters["text_model.embeddings.token_embedding.weight"];
  table[id].copy_(1e25 * at::arange(1, table.size(1) + 1, at::kFloat));
}

TEST_F(Unit, BadNumbersOfOneClassFailItAndLeaveItsPackAlone) {
  make();
  const auto cat = learn({0});
  const auto model = fixture->load();
  spoil_word(*model, "dog");
  fixture->settings.invert.classes_per_batch = 2;
  const auto both = learn({0, 1}, model);
  EXPECT_EQ(both[0].record.outcome, IdentifierOutcome::done);
  EXPECT_LT(relative_difference(both[0].rows[0], cat[0].rows[0]), 1e-5);
  EXPECT_EQ(both[1].record.outcome, IdentifierOutcome::failed);
  EXPECT_EQ(both[1].record.tries, 3) << "invert.nan_retries is 2";
  EXPECT_TRUE(both[1].rows.empty());
  EXPECT_THAT(both[1].record.reason, HasSubstr("in step 1"));
  EXPECT_EQ(problems.size(), 3u);
}

TEST_F(Unit, BadNumbersAreTriedAgainMoreSlowlyOrEndAsConfigured) {
  make();
  auto& invert = fixture->settings.invert;
  invert.learning_rate = 1e25;  // the first update is of that size: fine at 1e17, too large before
  invert.weight_decay = 0;
  invert.nan_retries = 10;
  const auto retried = learn({0});
  EXPECT_EQ(retried[0].record.outcome, IdentifierOutcome::done);
  EXPECT_GT(retried[0].record.tries, 1);
  EXPECT_LT(retried[0].record.learning_rate, 1e25);
  EXPECT_TRUE(at::isfinite(retried[0].rows[0]).all().item<bool>());
  EXPECT_THAT(retried[0].record.reason, HasSubstr("in step 2"));
  invert.nan = NanPolicy::skip_class;
  const auto skipped = learn({0});
  EXPECT_EQ(skipped[0].record.outcome, IdentifierOutcome::failed);
  EXPECT_EQ(skipped[0].record.tries, 1);
  invert.nan = NanPolicy::fail;
  try {
    learn({0});
    ADD_FAILURE() << "no error";
  } catch (const ModelError& error) {
    EXPECT_THAT(error.what(), HasSubstr("cat"));
    EXPECT_THAT(error.what(), HasSubstr("step 2"));
  }
}

TEST_F(Unit, HalfPrecisionLearnsNearlyTheSame) {
  make();
  const auto exact = learn({0});
  for (const auto precision : {Precision::fp16, Precision::bf16}) {
    fixture->models.precision = precision;
    const auto rounded = learn({0});
    ASSERT_EQ(rounded[0].record.outcome, IdentifierOutcome::done);
    // The direction learnt; bf16 has 8 bits.
    EXPECT_LT(relative_difference(rounded[0].rows[0], exact[0].rows[0]), 0.1);
    EXPECT_NEAR(*rounded[0].record.loss_last, *exact[0].record.loss_last, 0.03 * *exact[0].record.loss_last);
  }
}

TEST_F(Unit, AWordOfSeveralTokensStartsFromTheirMean) {
  make();
  fixture->settings.diffusion.init_words = {"dog=cat bird"};
  fixture->settings.invert.vectors = 2;
  const auto model = fixture->load();
  const InversionContext context(*model, *fixture->source, fixture->settings);
  const auto row = [&](const char* word) {
    return model->text_encoders[0]->token_row(model->tokenizers[0].tokens(word).at(0));
  };
  EXPECT_EQ(context.initial[1].tokens, 2);
  EXPECT_EQ(context.initial[1].rows[0].size(0), 2);
  EXPECT_TRUE(at::allclose(context.initial[1].rows[0][1], (row("cat") + row("bird")) / 2));
  EXPECT_TRUE(at::equal(context.initial[0].rows[0][0], row("cat"))) << "the class's own name";
  EXPECT_THROW(check_initial_words({.init_words = {"dgo=cat"}}, {"cat", "dog"}), ConfigError);
  EXPECT_THROW(check_initial_words({.init_words = {"dog"}}, {"cat", "dog"}), ConfigError);
}

TEST_F(Unit, ASmallCacheGivesTheSameLatents) {
  make();
  const auto model = fixture->load();
  LatentCache large(*model, *fixture->source, true, 1 << 20),
      small(*model, *fixture->source, true, 2048);
  for (const std::size_t cdp : {0, 1, 0, 2, 1}) {
    for (const bool mirrored : {false, true})
      EXPECT_TRUE(at::equal(large.latents(cdp, mirrored), small.latents(cdp, mirrored)));
  }
  EXPECT_FALSE(at::equal(large.latents(0, true), large.latents(0, false).flip(2)));
  EXPECT_EQ(large.encoded(), 3);
  EXPECT_GT(small.encoded(), 3);
}

TEST(InversionDraws, ComeOncePerPassAndUpToTheLastTimestep) {
  const DrawRules rules{.seed = 3, .batch = 8, .templates = 27, .flip = 0.5, .most_timestep = 400};
  std::set<std::size_t> items;
  std::set<std::int64_t> timesteps;
  double mirrored = 0;
  constexpr std::int64_t steps = 1000;
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto samples = draw_samples(rules, 2, step, 40);
    for (const auto& sample : samples) {
      if (step < 5) {
        EXPECT_TRUE(items.insert(sample.item).second) << "twice within a pass";
      }
      timesteps.insert(sample.timestep);
      mirrored += sample.mirrored ? 1 : 0;
      EXPECT_LT(sample.prompt, 27u);
    }
  }
  EXPECT_EQ(items.size(), 40u);
  EXPECT_EQ(timesteps.size(), 401u);
  EXPECT_EQ(*timesteps.begin(), 0);
  EXPECT_EQ(*timesteps.rbegin(), 400);
  EXPECT_NEAR(mirrored / (8 * steps), 0.5, 0.02);
  EXPECT_EQ(draw_held_out(3, 0, 10, 4).size(), 4u);
  EXPECT_EQ(draw_held_out(3, 0, 1, 4).size(), 0u);
  EXPECT_EQ(draw_held_out(3, 0, 0, 4).size(), 0u);
}

TEST(MostTimestep, FollowsTheStrength) {
  InversionSettings settings;
  EXPECT_EQ(most_timestep_of(settings, 1000), 400);
  EXPECT_EQ(most_timestep_of(settings, 300), 299) << "a model with fewer timesteps";
  settings.diffusion.strength = 1;
  EXPECT_EQ(most_timestep_of(settings, 1000), 999);
  settings.invert.most_timestep = 250;
  EXPECT_EQ(most_timestep_of(settings, 1000), 250);
}

}  // namespace
}  // namespace deda::diffusion
