// Plans as a whole: order, folders, several configurations, stores that settings name, and how far stages
// have come.
#include "pipeline/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "io/store/folder_lock.h"
#include "io/store/record_store.h"
#include "pipeline/example_experiment.h"
#include "pipeline/state.h"

namespace deda::pipeline {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<Stage> stages_of(const Plan& plan) {
  std::vector<Stage> stages;
  for (const auto& node : plan.nodes) stages.push_back(node.stage);
  return stages;
}

// A finished store of one picture without parts.
void write_store(const std::filesystem::path& folder, const std::string& stage, const std::string& key,
                 const std::string& provenance = {}) {
  io::StoreDescription description;
  description.stage = stage;
  description.key = key;
  description.provenance = provenance;
  description.configuration = "{}";
  description.class_names = {"a"};
  description.sources = {"picture.png"};
  description.source_classes = {0};
  io::StoreWriter store(comm::Communicator::self(), folder, description);
  io::ItemResult result;
  result.item = 0;
  result.outcome = io::Outcome::nothing_found;
  result.reason = "made up";
  store.write_segment(0, {result});
  store.finish();
}

TEST(Plan, RefusesToTrainOnOneClass) {
  const test::ExampleExperiment example;
  for (const char* name : {"cat/a.png", "cat/b.png"})
    test::ExampleExperiment::write(example.folder / "set" / name, "x");
  const std::vector<std::string> one = {"dataset.layout=\"folder\"", "dataset.root=" + example.quoted("set"),
                                        "augment.method=\"plain\""};
  EXPECT_EQ(example.plan(one, Stage::decouple).nodes.size(), 1u) << "one class can be decoupled";
  try {
    example.plan(one);
    FAIL() << "nothing to tell apart";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("has one class only"));
  }
  test::ExampleExperiment::write(example.folder / "set/dog/a.png", "x");
  EXPECT_EQ(example.plan(one).nodes.size(), 1u);
}

TEST(Plan, HoldsWhatTheTargetNeedsInOrder) {
  const test::ExampleExperiment example;
  EXPECT_THAT(stages_of(example.plan()),
              ElementsAre(Stage::toy, Stage::decouple, Stage::invert, Stage::generate, Stage::train));
  EXPECT_THAT(stages_of(example.plan({"augment.method=plain"})), ElementsAre(Stage::toy, Stage::train));
  EXPECT_THAT(stages_of(example.plan({"augment.p_syn=0"})),
              ElementsAre(Stage::toy, Stage::decouple, Stage::train));
  EXPECT_THAT(stages_of(example.plan({}, Stage::decouple)), ElementsAre(Stage::toy, Stage::decouple));
  EXPECT_THAT(stages_of(example.plan({"augment.method=plain"}, Stage::invert)),
              ElementsAre(Stage::toy, Stage::decouple, Stage::invert));
  const auto plan = example.plan();
  for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
    for (const auto needed : plan.nodes[i].needs) EXPECT_LT(needed, i);
  }
  const auto& train = plan.at(Stage::train);
  EXPECT_EQ(train.folder, example.config.run.output / ("train-" + train.key.substr(0, 16)));
  EXPECT_THAT(train.command, ElementsAre("train"));
}

TEST(Plan, RefusesASideThatTheNetworkDoesNotTake) {
  const test::ExampleExperiment example;
  const auto problem = [&](const std::vector<std::string>& settings) -> std::string {
    try {
      example.plan(settings);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "none";
  };
  EXPECT_EQ(problem({"train.network=vit_b_16", "augment.crop=448"}), "none");
  EXPECT_THAT(problem({"train.network=vit_b_16", "augment.crop=450"}),
              testing::AllOf(testing::HasSubstr("augment.crop"), testing::HasSubstr("448 or 464")));
  EXPECT_THAT(problem({"train.network=densenet121", "augment.crop=28", "augment.resize_shorter=32"}),
              testing::HasSubstr("from 29 pixels"));
  // The classifier alone is concerned.
  EXPECT_NO_THROW(example.plan({"train.network=vit_b_16", "augment.crop=450"}, Stage::generate));
}

TEST(Plan, RefusesAMixingMethodThatLacksWhatItNeeds) {
  const test::ExampleExperiment example;
  const auto problem = [&](const std::vector<std::string>& settings) -> std::string {
    try {
      example.draw();
      example.plan(settings);
      return "none";
    } catch (const Error& error) {
      return error.what();
    }
  };
  EXPECT_EQ(problem({"augment.method=snapmix"}), "none");
  EXPECT_THAT(problem({"augment.method=snapmix", "train.network=vit_b_16"}),
              testing::AllOf(testing::HasSubstr("augment.method"), testing::HasSubstr("vit_b_16 has none")));
  EXPECT_EQ(problem({"augment.method=guided-ap", "train.network=vit_b_16"}), "none");
  EXPECT_THAT(
      problem({"augment.method=comixup", "train.batch_size=1"}),
      testing::AllOf(testing::HasSubstr("train.batch_size"), testing::HasSubstr("2 pictures or more")));
  EXPECT_THAT(problem({"augment.method=snapmix", "train.objective=multi_label"}),
              testing::HasSubstr("SnapMix is not defined for pictures of several labels"));
  EXPECT_EQ(problem({"augment.method=mixup", "train.objective=multi_label"}), "none");
  // A probability of 0 is plain training, which needs nothing.
  EXPECT_EQ(
      problem({"augment.method=snapmix", "augment.snapmix.mix_probability=0", "train.network=vit_b_16"}),
      "none");
}

TEST(Plan, SurvivesTheWayToOtherProcesses) {
  const test::ExampleExperiment example;
  const auto plan = example.plan();
  const auto again = plan_from(to_json(plan));
  EXPECT_EQ(to_json(again), to_json(plan));
  EXPECT_EQ(to_json(again.provenance_of(again.at(Stage::train))),
            to_json(plan.provenance_of(plan.at(Stage::train))));
  EXPECT_THROW(plan_from(std::string{"{}"}), DataError);
}

TEST(Plan, ProvenanceNamesSettingsNeedsAndInputs) {
  const test::ExampleExperiment example;
  const auto plan = example.plan();
  const auto provenance = plan.provenance_of(plan.at(Stage::train));
  EXPECT_EQ(provenance.key, plan.at(Stage::train).key);
  EXPECT_EQ(provenance.needs,
            (std::map<std::string, std::string>{{"decouple", plan.at(Stage::decouple).key},
                                                {"generate", plan.at(Stage::generate).needed_as}}));
  const auto settings = nlohmann::json::parse(provenance.settings);
  EXPECT_EQ(settings.at("augment.p_aug"), 0.5);
  EXPECT_EQ(settings.at("generate.copies"), 3);
  EXPECT_FALSE(settings.contains("train.device"));
  EXPECT_EQ(nlohmann::json::parse(provenance.configuration).at("train").at("device"), "auto");
}

TEST(Plan, SeveralConfigurationsShareWhatIsEqual) {
  const test::ExampleExperiment example;
  std::vector<Plan> plans;
  for (const char* seed : {"run.seed=1", "run.seed=2"}) {
    for (const char* method : {"augment.method=plain", "augment.p_syn=0", "augment.p_syn=0.25"})
      plans.push_back(example.plan({seed, method}));
  }
  const auto plan = merged(plans);
  EXPECT_THAT(stages_of(plan),
              ElementsAre(Stage::toy, Stage::decouple, Stage::invert, Stage::generate, Stage::train,
                          Stage::train, Stage::train, Stage::train, Stage::train, Stage::train));
  for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
    for (const auto needed : plan.nodes[i].needs) EXPECT_LT(needed, i);
  }
  EXPECT_EQ(plan.nodes[4].key, plans[0].at(Stage::train).key) << "the order of the configurations is kept";
}

TEST(Plan, ListsAllThatIsMissingAtOnce) {
  const test::ExampleExperiment example;
  try {
    example.plan({"dataset.layout=folder", "dataset.root=" + example.quoted("nowhere"),
                  "models.base=" + example.quoted("no_model"),
                  "train.weights=" + example.quoted("no_weights"), "decouple.sources=[\"box_sam\"]"});
    FAIL() << "nothing was missed";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("nowhere"));
    EXPECT_THAT(error.what(), HasSubstr("no_model"));
    EXPECT_THAT(error.what(), HasSubstr("no_weights"));
    EXPECT_THAT(error.what(), HasSubstr("decouple.sam"));
  }
}

TEST(Plan, AStoreThatASettingNamesCountsByItsKey) {
  const test::ExampleExperiment example;
  write_store(example.folder / "parts", "decouple", "0123");
  const auto with = [&](const std::string& name) {
    return example.plan({"augment.p_syn=0", "train.store=" + example.quoted(name)});
  };
  const auto plan = with("parts");
  EXPECT_EQ(plan.at(Stage::decouple).key, "0123");
  EXPECT_EQ(plan.at(Stage::decouple).folder, example.folder / "parts");
  EXPECT_TRUE(plan.at(Stage::decouple).command.empty()) << "nothing has to be run for it";
  std::filesystem::rename(example.folder / "parts", example.folder / "moved");
  EXPECT_EQ(with("moved").at(Stage::train).key, plan.at(Stage::train).key);
  write_store(example.folder / "others", "decouple", "4567");
  EXPECT_NE(with("others").at(Stage::train).key, plan.at(Stage::train).key);
  // The store that the plan would make itself is the same thing under a name.
  const auto own = example.plan({"augment.p_syn=0"});
  write_store(own.at(Stage::decouple).folder, "decouple", own.at(Stage::decouple).key);
  EXPECT_EQ(
      example.plan({"augment.p_syn=0", "train.store=\"" + own.at(Stage::decouple).folder.string() + '"'})
          .at(Stage::train)
          .key,
      own.at(Stage::train).key);
  write_store(example.folder / "copies", "generate", "89ab");
  EXPECT_THROW(with("copies"), DataError) << "of another stage";
  EXPECT_THROW(with("nowhere"), DataError);
}

// As many copies as a store holds are used of one that a setting names.
TEST(Plan, ANamedStoreOfSyntheticCdpsIsTheOneThatThePlanWouldMake) {
  const test::ExampleExperiment example;
  const auto with = [&](const std::string& setting) { return example.plan({setting}); };
  const auto name = [&](const Plan& plan, const std::string& folder, const std::string& key) {
    const auto& store = plan.at(Stage::generate);
    write_store(example.folder / folder, "generate", key, to_json(plan.provenance_of(store)));
    return with("train.synthetic_store=" + example.quoted(folder)).at(Stage::train).key;
  };
  const auto three = with("generate.copies=3"), nine = with("generate.copies=9"),
             three_of_nine = with("generate.store_copies=9");
  const auto key_of = [](const Plan& plan) { return plan.at(Stage::generate).key; };
  EXPECT_EQ(key_of(nine), key_of(three_of_nine));
  EXPECT_EQ(three_of_nine.at(Stage::train).key, three.at(Stage::train).key);
  EXPECT_EQ(name(three, "three", key_of(three)), three.at(Stage::train).key);
  EXPECT_EQ(name(nine, "nine", key_of(nine)), nine.at(Stage::train).key);
  EXPECT_NE(nine.at(Stage::train).key, three.at(Stage::train).key);
  // What it was made of does not give its key: made by another version. It counts by its key.
  const auto other = name(three, "other", "89ab");
  EXPECT_NE(other, three.at(Stage::train).key);
  EXPECT_EQ(name(nine, "another", "89ab"), other);
}

TEST(NodeState, FollowsWhatIsOnDisk) {
  const test::ExampleExperiment example;
  const auto plan = example.plan();
  for (const auto& node : plan.nodes)
    EXPECT_EQ(state_of(node).progress, Progress::missing) << name_of(node.stage);
  example.draw();
  EXPECT_EQ(state_of(plan.at(Stage::toy)).progress, Progress::done);
  EXPECT_EQ(state_of(example.plan({"toy.seed=9"}).at(Stage::toy)).progress, Progress::conflict);

  const auto& parts = plan.at(Stage::decouple);
  make_folder(parts.folder);
  EXPECT_EQ(state_of(parts).progress, Progress::partial);
  {
    const io::FolderLock lock(parts.folder);
    EXPECT_EQ(state_of(parts).progress, Progress::held);
    EXPECT_THAT(state_of(parts).detail, HasSubstr("process"));
  }
  write_store(parts.folder, "decouple", parts.key);
  EXPECT_EQ(state_of(parts).progress, Progress::done);
  test::ExampleExperiment::write(parts.folder / "manifest.json", "{");
  EXPECT_EQ(state_of(parts).progress, Progress::damaged);

  const auto& train = plan.at(Stage::train);
  make_folder(train.folder);
  const auto results = [&](const char* finished) {
    test::ExampleExperiment::write(train.folder / "results.json", std::string{R"({"finished":)"} + finished +
                                                                      R"(,"epochs":4,"epochs_done":2})");
    return state_of(train);
  };
  EXPECT_EQ(results("false").progress, Progress::partial);
  EXPECT_EQ(results("false").detail, "2 of 4 epochs");
  EXPECT_EQ(results("true").progress, Progress::partial) << "its weights are not there";
  test::ExampleExperiment::write(train.folder / "last.safetensors", "weights");
  EXPECT_EQ(results("true").progress, Progress::done);
  EXPECT_EQ(results("\"yes\"").progress, Progress::damaged);

  const auto& identifiers = plan.at(Stage::invert);
  const auto manifest = identifiers.folder / "identifiers.json";
  test::ExampleExperiment::write(manifest, R"({"classes":[{"files":[{"name":"class-0000.safetensors"}]}]})");
  EXPECT_EQ(state_of(identifiers).progress, Progress::partial);
  test::ExampleExperiment::write(identifiers.folder / "class-0000.safetensors", "rows");
  EXPECT_EQ(state_of(identifiers).progress, Progress::done);
  for (const char* text : {"garbage", "{}", R"({"classes":[7]})"}) {
    test::ExampleExperiment::write(manifest, text);
    EXPECT_EQ(state_of(identifiers).progress, Progress::damaged) << text;
  }

  const auto& copies = plan.at(Stage::generate);
  write_store(copies.folder, "generate", copies.key);
  EXPECT_EQ(state_of(copies).progress, Progress::done);
  std::filesystem::remove(copies.folder / "segment-000000.h5");
  EXPECT_EQ(state_of(copies).progress, Progress::partial) << "the stage makes the segment anew";
}

TEST(Plan, CarriesPathsThatAreNoUtf8) {
  const test::ExampleExperiment example;
  auto config = example.config;
  config.run.output = std::string{"n\xe9"};
  config.augment.method = augment::Method::plain;
  FileDigests digests{{}};
  const auto plan = plan_of(config, Stage::train, digests, {"--out", "n\xe9"});
  const auto json = to_json(plan);
  EXPECT_TRUE(nlohmann::json::accept(json));
  EXPECT_THAT(json, HasSubstr(R"("output":"n\\xE9")"));
  const auto again = plan_from(json);
  EXPECT_EQ(again.output, plan.output);
  EXPECT_EQ(again.at(Stage::train).folder, plan.at(Stage::train).folder);
  EXPECT_EQ(again.at(Stage::train).command, plan.at(Stage::train).command);
}

TEST(ProgressMark, ChangesWithFinishedWorkOnly) {
  const test::ExampleExperiment example;
  const auto plan = example.plan();
  const auto write = [&](Stage stage, const char* name, const char* text) {
    test::ExampleExperiment::write(plan.at(stage).folder / name, text);
  };
  std::string mark = progress_mark(plan);
  const auto changed = [&] { return std::exchange(mark, progress_mark(plan)) != mark; };
  // What a stage leaves that began and was stopped at once.
  write(Stage::decouple, "manifest.json", "{}");
  write(Stage::decouple, "segments.jsonl", "");
  write(Stage::decouple, "segment-000000.h5.partial", "half");
  write(Stage::decouple, "events-0.jsonl", "{}\n");
  write(Stage::decouple, "writer.lock", "process 1");
  write(Stage::train, "results.json", "{}");
  write(Stage::train, "state.json", "{}");
  write(Stage::train, "history.csv", "epoch\n");
  write(Stage::train, "checkpoint-000001-00000000.safetensors", "first");
  EXPECT_FALSE(changed());
  // Work.
  write(Stage::decouple, "segment-000000.h5", "whole");
  EXPECT_TRUE(changed());
  EXPECT_FALSE(changed());
  write(Stage::invert, "work/unit-0-10.safetensors", "ten steps");
  EXPECT_TRUE(changed());
  write(Stage::invert, "class-0000.csv", "curve");
  EXPECT_TRUE(changed());
  write(Stage::train, "checkpoint-000001-00000003.safetensors", "three steps");
  EXPECT_TRUE(changed());
  write(Stage::train, "checkpoint-000002-00000000.safetensors", "an epoch");
  EXPECT_TRUE(changed());
  example.draw();
  EXPECT_TRUE(changed());
}

TEST(OtherFolders, AreNamedAndOlderOnesToldApart) {
  const test::ExampleExperiment example;
  const auto plan = example.plan();
  const auto old = plan.output / "train-00000000000000aa", other = plan.output / "train-00000000000000bb";
  test::ExampleExperiment::write(old / "results.json", R"({"finished":true,"identity":"x"})");
  test::ExampleExperiment::write(other / "results.json", R"({"finished":true,"provenance":{"key":"x"}})");
  make_folder(plan.output / "notes");
  make_folder(plan.at(Stage::train).folder);
  const auto others = other_folders(plan);
  ASSERT_EQ(others.size(), 2u);
  EXPECT_EQ(others[0].folder, old);
  EXPECT_TRUE(others[0].of_earlier_version);
  EXPECT_FALSE(others[1].of_earlier_version);
}

}  // namespace
}  // namespace deda::pipeline
