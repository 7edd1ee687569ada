// The stage on 1 to 3 ranks: the same words and LoRA to rounding on any, the same bytes after stops and
// interruptions at one number of ranks; what it leaves is read by those that take it.
#include "diffusion/tuning/tune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <limits>
#include <stdexcept>

#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"
#include "diffusion/inversion/identifiers.h"
#include "diffusion/tuning_fixture.h"
#include "models/weights/weights.h"

namespace deda::diffusion {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// Without events, which tell times.
std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const auto name = fs::relative(entry.path(), folder).string();
    if (entry.is_regular_file() && !name.starts_with("events-")) files[name] = read_text(entry.path());
  }
  return files;
}

void expect_same_bytes(const fs::path& folder, const fs::path& expected) {
  const auto ours = files_of(folder), theirs = files_of(expected);
  std::vector<std::string> names, expected_names;
  for (const auto& [name, bytes] : ours) names.push_back(name);
  for (const auto& [name, bytes] : theirs) expected_names.push_back(name);
  EXPECT_EQ(names, expected_names);
  for (const auto& [name, bytes] : theirs) {
    if (const auto found = ours.find(name); found != ours.end()) {
      EXPECT_TRUE(found->second == bytes) << name << " differs";
    }
  }
}

class Tune : public ::testing::Test {
 protected:
  Tune() : fixture{shared.world, shared.path} {}
  bool tune_into(const std::string& folder) { return tune(shared.world, fixture.request(folder)); }
  // What one rank makes of it.
  void tune_alone(const std::string& folder = "alone") {
    if (shared.world.is_root()) tune(comm::Communicator::self(), fixture.request(folder));
    shared.world.barrier("tuned alone");
  }
  test::SharedFolder shared;
  test::TuningFixture fixture;
};

// Passes are the same on any rank and their gradients are added in double precision, so that numbers are
// equal but where a sum falls just between two floats.
TEST_F(Tune, GivesTheSameToRoundingOnAnyRanks) {
  tune_alone();
  EXPECT_FALSE(tune_into("together"));
  if (!shared.world.is_root()) return;
  const auto record = finished_tuning(fixture / "together", "test");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->outcome, TuningOutcome::done);
  EXPECT_EQ(record->steps, 6);
  EXPECT_EQ(record->tries, 1);
  EXPECT_EQ(record->pictures, 7);
  EXPECT_EQ(record->initial_tokens, 1);
  ASSERT_EQ(record->classes.size(), 4u);
  EXPECT_EQ(record->classes[0].pictures, 3);
  EXPECT_EQ(record->classes[3].outcome, "no_picture");
  EXPECT_EQ(record->files.front().name, tuned_lora_name);
  for (const std::string name : {"unet_lora", "class-0000", "class-0001", "class-0002"}) {
    const auto ours = models::read_tensors(fixture / "together" / (name + ".safetensors")),
               expected = models::read_tensors(fixture / "alone" / (name + ".safetensors"));
    ASSERT_EQ(ours.size(), expected.size());
    for (const auto& [key, tensor] : expected)
      EXPECT_LE((ours.at(key) - tensor).abs().max().item<double>(), 1e-6 * tensor.abs().max().item<double>())
          << name << " " << key;
  }
  const auto curve = read_text(fixture / "together" / tuning_curve_name);
  EXPECT_THAT(curve, HasSubstr("step,loss,grad_norm\n2,"));
  EXPECT_EQ(std::count(curve.begin(), curve.end(), '\n'), 4);
  EXPECT_FALSE(fs::exists(fixture / "together" / "work"));
  EXPECT_FALSE(fs::exists(fixture / "together" / "class-0003.safetensors"));
}

TEST_F(Tune, IsDoneAtOnceWithoutAModelWhenItWasDone) {
  tune_into("done");
  auto request = fixture.request("done");
  request.load_model = []() -> std::shared_ptr<const DiffusionModel> {
    throw ModelError("nobody needs a model here");
  };
  EXPECT_TRUE(tune(shared.world, request));
}

TEST_F(Tune, StopsWellAndContinuesToTheSameBytes) {
  tune_into("undisturbed");
  for (const std::int64_t at : {1, 3, 5}) {
    auto request = fixture.request("stopped");
    request.on_step = [&](std::int64_t step) {
      // One rank is asked; all stop.
      if (step == at && shared.world.is_root()) request_stop("the test says so");
    };
    EXPECT_THROW(tune(shared.world, request), Stopped);
    clear_stop_request();
    shared.world.barrier("stopped");
  }
  tune_into("stopped");
  if (shared.world.is_root()) expect_same_bytes(fixture / "stopped", fixture / "undisturbed");
}

// As after a kill: nothing is saved but what the checkpoints hold.
TEST_F(Tune, IsContinuedFromItsLastGoodCheckpointToTheSameBytes) {
  tune_into("undisturbed");
  for (const std::int64_t at : {3, 5}) {
    auto request = fixture.request("interrupted");
    request.on_step = [&](std::int64_t step) {
      if (step == at) throw std::runtime_error("interrupted");
    };
    EXPECT_ANY_THROW(tune(shared.world, request));
    shared.world.barrier("interrupted");
  }
  if (shared.world.is_root()) {
    // The newest checkpoint is damaged: the one before it counts.
    const auto newest = fixture / "interrupted" / "work" / "tuning-000000004.safetensors";
    ASSERT_TRUE(fs::exists(newest));
    std::ofstream(newest, std::ios::app) << "x";
  }
  shared.world.barrier("damaged");
  std::int64_t first = 0;
  auto request = fixture.request("interrupted");
  request.on_step = [&](std::int64_t step) { first = first == 0 ? step : first; };
  EXPECT_FALSE(tune(shared.world, request));
  EXPECT_EQ(first, 3) << "the steps of the checkpoint are not taken again";
  if (shared.world.is_root()) expect_same_bytes(fixture / "interrupted", fixture / "undisturbed");
}

TEST_F(Tune, IsMadeAnewWhenAFileIsDamaged) {
  tune_into("undisturbed");
  tune_into("damaged");
  if (shared.world.is_root())
    std::ofstream(fixture / "damaged" / "class-0002.safetensors", std::ios::app) << "x";
  shared.world.barrier("damaged");
  EXPECT_FALSE(tune_into("damaged"));
  if (shared.world.is_root()) expect_same_bytes(fixture / "damaged", fixture / "undisturbed");
}

TEST_F(Tune, WordsAndLoraAreReadByWhatTakesThem) {
  tune_into("read");
  if (!shared.world.is_root()) return;
  const Identifiers words(fixture / "read", fixture.settings.class_names, {test::tiny_text_width});
  EXPECT_TRUE(words.has(0) && words.has(1) && words.has(2));
  EXPECT_FALSE(words.has(3));
  EXPECT_THAT(words.record(3).reason, HasSubstr("no training picture"));
  EXPECT_LT(words.record(0).cosine.at(0), 1.0);
  EXPECT_EQ(words.manifest().model_identity, "tiny");
  // Merged by models.lora it gives what the UNet gave with the LoRA beside it.
  auto merging = fixture.models;
  merging.lora = {(fixture / "read" / tuned_lora_name).string()};
  const DiffusionModel merged(merging, at::kCPU, UNetWeights::plain, LatentCodec::plain);
  const auto plain = fixture.load();
  const auto sample = at::ones({1, 4, 8, 8}), timestep = at::tensor({400});
  torch::NoGradGuard no_gradients;
  const auto tokens = words.tokens_for(*plain);
  const auto text = plain->encode_text(
      plain->ids_of(tokens.tokenizers, {tuning_caption(words.name_in_prompts(1), "cat")}), tokens.rows);
  const auto without = plain->unet->forward(sample, timestep, text.states);
  const auto with = merged.unet->forward(sample, timestep, text.states);
  const models::LoraLayers beside(*plain->unet, models::read_lora(fixture / "read" / tuned_lora_name));
  EXPECT_EQ(beside.rank(), 3);
  const auto expected = plain->unet->forward(sample, timestep, text.states);
  const auto scale = expected.abs().max().item<double>();
  EXPECT_LT((with - expected).abs().max().item<double>(), 1e-5 * scale);
  EXPECT_GT((with - without).abs().max().item<double>(), 1e-3 * scale);
}

TEST_F(Tune, BadNumbersInEveryTryAreANamedOutcome) {
  fixture.settings.tune.nan_retries = 1;
  auto request = fixture.request("bad");
  request.load_model = [&]() -> std::shared_ptr<const DiffusionModel> {
    auto model = fixture.load();
    torch::NoGradGuard no_gradients;
    at::Tensor bias = models::state_of(*model->unet).at("conv_out.bias");
    bias.fill_(std::numeric_limits<float>::quiet_NaN());
    return model;
  };
  EXPECT_FALSE(tune(shared.world, request));
  if (!shared.world.is_root()) return;
  const auto record = finished_tuning(fixture / "bad", "test");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->outcome, TuningOutcome::failed);
  EXPECT_EQ(record->tries, 2);
  EXPECT_THAT(record->reason, HasSubstr("the loss is not a finite number in step 1"));
  EXPECT_EQ(record->classes[0].outcome, "failed");
  EXPECT_FALSE(fs::exists(fixture / "bad" / tuned_lora_name));
  const Identifiers words(fixture / "bad", fixture.settings.class_names, {test::tiny_text_width});
  EXPECT_FALSE(words.has(0));
}

TEST_F(Tune, APictureThatOneRankCannotReadEndsAllNamed) {
  fixture.pictures.broken = 2;
  try {
    tune_into("broken");
    ADD_FAILURE() << "a broken picture was accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("picture 2.png"));
  }
}

TEST_F(Tune, TracesWithTheNamesOfTheReference) {
  if (!shared.world.is_root()) return;
  const auto model = fixture.load();
  trace_tuning(*model, fixture.pictures, fixture.settings, fixture / "trace", 2);
  const io::SafetensorsFile first(fixture / "trace" / "step-000000.safetensors");
  for (const char* key : {"schema", "seed", "lr", "token_lr", "weight_decay", "max_grad_norm", "alpha"})
    EXPECT_EQ(first.metadata().count(key), 1u) << key;
  const auto one = models::read_tensors(fixture / "trace" / "step-000000.safetensors");
  const auto two = models::read_tensors(fixture / "trace" / "step-000001.safetensors");
  for (const char* name :
       {"latents", "noise", "timesteps", "input_ids", "row_before", "noisy_latents", "encoder_hidden_states",
        "noise_pred", "loss", "grad", "row_after", "exp_avg", "exp_avg_sq", "class_index", "grad_norm"})
    EXPECT_EQ(one.count(name), 1u) << name;
  EXPECT_EQ(one.at("latents").sizes(), (std::vector<std::int64_t>{6, 4, 8, 8}));
  EXPECT_EQ(one.at("row_before").sizes(), (std::vector<std::int64_t>{4, 1, test::tiny_text_width}));
  EXPECT_EQ(one.at("input_ids").sizes(), (std::vector<std::int64_t>{6, 77}));
  EXPECT_TRUE(one.at("row_after").equal(two.at("row_before")));
  const std::string matrix =
      "down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_v_lora.up.weight";
  EXPECT_EQ(one.at("initial." + matrix).abs().max().item<double>(), 0);
  EXPECT_EQ(two.count("initial." + matrix), 0u);
  EXPECT_GT(one.at("grad." + matrix).abs().max().item<double>(), 0);
  EXPECT_GT((two.at("updated." + matrix) - one.at("updated." + matrix)).abs().max().item<double>(), 0);
  // The loss is that of what was traced.
  const auto error = (one.at("noise_pred") - one.at("noise")).square().mean().item<double>();
  EXPECT_NEAR(one.at("loss").item<double>(), error, 1e-5 * error);
}

}  // namespace
}  // namespace deda::diffusion
