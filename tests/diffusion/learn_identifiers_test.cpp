// The stage on 1 to 3 ranks and with one or two threads: the same bytes, also after stops and damage. Kills
// are tests/restart/generation_restart_test.sh's: a process with torch's threads cannot be forked safely to
// be killed here.
#include "diffusion/inversion/learn_identifiers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>

#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"
#include "diffusion/inversion_fixture.h"

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

class LearnIdentifiers : public ::testing::Test {
 protected:
  LearnIdentifiers()
      : fixture{shared.world, shared.path, {{"bird", 3}, {"car", 0}, {"cat", 1}, {"dog", 1000}}} {
    fixture.settings.invert.held_out = 1;
  }
  bool learn(const std::string& folder, int workers = 1) {
    return learn_identifiers(shared.world, fixture.request(folder, workers));
  }
  // What one rank with one thread makes of it.
  void learn_alone() {
    if (shared.world.is_root()) learn_identifiers(comm::Communicator::self(), fixture.request("alone"));
    shared.world.barrier("learnt alone");
  }
  test::SharedFolder shared;
  test::InversionFixture fixture;
};

TEST_F(LearnIdentifiers, GivesTheSameBytesOnAnyRanksAndThreads) {
  learn_alone();
  EXPECT_FALSE(learn("together", 2));
  if (shared.world.is_root()) {
    expect_same_bytes(fixture / "together", fixture / "alone");
    const auto manifest = finished_identifiers(fixture / "together", "test");
    ASSERT_TRUE(manifest);
    ASSERT_EQ(manifest->classes.size(), 4u);
    EXPECT_EQ(manifest->classes[1].outcome, IdentifierOutcome::no_cdp);
    EXPECT_THAT(manifest->classes[1].reason, HasSubstr("CDP"));
    for (const std::size_t id : {0, 2, 3}) {
      const auto& record = manifest->classes[id];
      EXPECT_EQ(record.outcome, IdentifierOutcome::done) << record.reason;
      EXPECT_EQ(record.initial_tokens, 1) << "the tiny model knows the word";
      EXPECT_EQ(record.held_out, record.cdps > 1 ? 1 : 0) << "one CDP is left to learn from";
      EXPECT_EQ(record.held_out_after.has_value(), record.held_out > 0);
      EXPECT_LT(record.cosine.at(0), 1.0);
    }
    // A word of one token and an identifier that starts from its row are the same prompt.
    EXPECT_NEAR(*manifest->classes[3].held_out_word, *manifest->classes[3].held_out_before, 1e-6);
    EXPECT_NE(*manifest->classes[3].held_out_before, *manifest->classes[3].held_out_after);
  }
}

TEST_F(LearnIdentifiers, IsDoneAtOnceWithoutAModelWhenItWasDone) {
  learn("done");
  auto request = fixture.request("done");
  request.load_model = []() -> std::shared_ptr<const DiffusionModel> {
    throw ModelError("nobody needs a model here");
  };
  EXPECT_TRUE(learn_identifiers(shared.world, request));
}

TEST_F(LearnIdentifiers, StopsWellAndContinuesToTheSameBytes) {
  learn_alone();
  for (int at = 1; at <= 3; ++at) {
    auto request = fixture.request("stopped");
    request.on_step = [&](std::int64_t, std::int64_t steps) {
      if (steps % 4 == at) request_stop("the test says so");
    };
    EXPECT_THROW(learn_identifiers(shared.world, request), Stopped);
    clear_stop_request();
    shared.world.barrier("stopped");
  }
  learn("stopped");
  if (shared.world.is_root()) expect_same_bytes(fixture / "stopped", fixture / "alone");
}

TEST_F(LearnIdentifiers, LearnsOnlyTheClassAnewWhoseFileIsDamaged) {
  learn_alone();
  learn("damaged");
  std::atomic<std::int64_t> steps = 0;
  if (shared.world.is_root())
    std::ofstream(fixture / "damaged" / "class-0002.safetensors", std::ios::app) << "x";
  shared.world.barrier("damaged");
  auto request = fixture.request("damaged");
  request.on_step = [&](std::int64_t, std::int64_t) { ++steps; };
  EXPECT_FALSE(learn_identifiers(shared.world, request));
  EXPECT_EQ(shared.world.all_reduce(std::int64_t{steps}, comm::Reduction::sum),
            fixture.settings.invert.steps);
  if (shared.world.is_root()) expect_same_bytes(fixture / "damaged", fixture / "alone");
}

TEST_F(LearnIdentifiers, IsReadBackWithTokensAndPrompts) {
  fixture.settings.invert.vectors = 2;
  learn("read");
  const auto model = fixture.load();
  const Identifiers identifiers(fixture / "read", fixture.settings.class_names, {test::tiny_text_width});
  EXPECT_TRUE(identifiers.has(0));
  EXPECT_FALSE(identifiers.has(1));
  EXPECT_EQ(identifiers.name_in_prompts(3), "<class-0003> <class-0003>_1");
  EXPECT_NO_THROW(identifiers.require({0, 2, 3}));
  try {
    identifiers.require({0, 1});
    ADD_FAILURE() << "a class without identifier was accepted";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("car"));
  }
  const auto tokens = identifiers.tokens_for(*model);
  EXPECT_EQ(tokens.rows.at(0).sizes(), (std::vector<std::int64_t>{6, test::tiny_text_width}));
  const auto ids = model->ids_of(tokens.tokenizers, {"a photo of a " + identifiers.name_in_prompts(2)});
  const auto vocabulary = model->tokenizers[0].vocabulary();
  EXPECT_EQ(ids[0][0][5].item<std::int64_t>(), vocabulary + 2) << "behind the two rows of class 0";
  EXPECT_EQ(ids[0][0][6].item<std::int64_t>(), vocabulary + 3);
  EXPECT_THROW(Identifiers(fixture / "read", {"bird"}, {test::tiny_text_width}), DataError);
  EXPECT_THROW(Identifiers(fixture / "read", fixture.settings.class_names, {99}), DataError);
}

TEST_F(LearnIdentifiers, TracesWithTheNamesOfTheReference) {
  if (!shared.world.is_root()) return;
  fixture.settings.invert.classes_per_batch = 2;
  const auto model = fixture.load();
  const InversionContext context(*model, *fixture.source, fixture.settings);
  trace_inversion(context, fixture / "trace", 3);
  const io::SafetensorsFile first(fixture / "trace" / "step-000000.safetensors");
  for (const char* key : {"schema", "seed", "placeholder", "lr", "tmax", "class"})
    EXPECT_EQ(first.metadata().count(key), 1u) << key;
  EXPECT_EQ(first.metadata().at("class"), "bird, cat");
  const auto one = models::read_tensors(fixture / "trace" / "step-000000.safetensors");
  const auto two = models::read_tensors(fixture / "trace" / "step-000001.safetensors");
  for (const char* name :
       {"latents", "noise", "timesteps", "input_ids", "row_before", "noisy_latents", "encoder_hidden_states",
        "noise_pred", "loss", "grad", "row_after", "exp_avg", "exp_avg_sq", "class_index"})
    EXPECT_EQ(one.count(name), 1u) << name;
  EXPECT_EQ(one.at("row_before").sizes(), (std::vector<std::int64_t>{2, 1, test::tiny_text_width}));
  EXPECT_EQ(one.at("input_ids").sizes(), (std::vector<std::int64_t>{8, 77}));
  EXPECT_TRUE(at::equal(one.at("row_after"), two.at("row_before")));
  EXPECT_FALSE(at::equal(one.at("row_after"), one.at("row_before")));
  EXPECT_TRUE(fs::exists(fixture / "trace" / "step-000002.safetensors"));
}

}  // namespace
}  // namespace deda::diffusion
