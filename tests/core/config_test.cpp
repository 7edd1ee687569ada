// Reading configurations: every mistake is found, in one go, with its place and what to do.
#include "core/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"
#include "sample_config.h"
#include "support/temporary_folder.h"

namespace deda {
namespace {

using test::SampleConfig;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Reads `texts` as files 0.toml, 1.toml, ... and returns each problem as one line; the folder's name is cut
// off.
std::vector<std::string> problems_of(const std::vector<std::string>& texts,
                                     const std::vector<std::string>& overrides = {},
                                     SampleConfig* result = nullptr) {
  const test::TemporaryFolder folder;
  ConfigSources sources;
  for (const std::string& text : texts) {
    sources.files.push_back(folder / (std::to_string(sources.files.size()) + ".toml"));
    write_atomically(sources.files.back(), text);
  }
  sources.overrides = overrides;
  SampleConfig config;
  std::vector<std::string> lines;
  try {
    read_config(config, sources);
  } catch (const ConfigError& error) {
    for (const Problem& problem : error.problems()) {
      std::string line = to_string(problem);
      if (line.starts_with(folder.path().string())) line.erase(0, folder.path().string().size() + 1);
      lines.push_back(line);
    }
  }
  if (result != nullptr) *result = config;
  return lines;
}

SampleConfig read(const std::vector<std::string>& texts, const std::vector<std::string>& overrides = {}) {
  SampleConfig config;
  EXPECT_THAT(problems_of(texts, overrides, &config), ElementsAre());
  return config;
}

TEST(ReadConfig, KeepsDefaultsAndLetsLaterSourcesWin) {
  const SampleConfig config = read({"[train]\nepochs = 10\nname = \"a\"\n", "[train]\nepochs = 20\n"},
                                   {"train.epochs=30", "train.epochs=40"});
  EXPECT_EQ(config.train.epochs, 40);
  EXPECT_EQ(config.train.name, "a");
  EXPECT_EQ(config.train.optimizer.momentum, 0.9);
}

TEST(ReadConfig, ReadsEveryType) {
  const SampleConfig config = read({R"(
[train]
epochs = 12
verbose = true
name = "täst"
folder = "some/where"
recipe = "fine_tune"
milestones = [1, 2]
weights = [1, 0.5]
labels = ["a", "b"]
[train.optimizer]
momentum = 0.5
rate = 1
)"});
  EXPECT_EQ(config.train.epochs, 12);
  EXPECT_TRUE(config.train.verbose);
  EXPECT_EQ(config.train.name, "täst");
  EXPECT_EQ(config.train.folder, "some/where");
  EXPECT_EQ(config.train.recipe, test::Recipe::fine_tune);
  EXPECT_THAT(config.train.milestones, ElementsAre(1, 2));
  EXPECT_THAT(config.train.weights, ElementsAre(1.0, 0.5));
  EXPECT_THAT(config.train.labels, ElementsAre("a", "b"));
  EXPECT_EQ(config.train.optimizer.rate, 1.0);
  EXPECT_EQ(config.train.optimizer.momentum, 0.5);
}

TEST(ReadConfig, ListsAllProblemsOfAllSourcesAtOnce) {
  const auto problems =
      problems_of({"[train]\nepoch = 10\nverbose = 1\n", "[train]\nrecipe = \"fine_tnue\"\n", "[train\n"},
                  {"train.epochs=0"});
  EXPECT_THAT(
      problems,
      testing::UnorderedElementsAre(
          AllOf(StartsWith("0.toml:2:1: train.epoch: unknown key"), HasSubstr("Did you mean \"epochs\"?")),
          AllOf(StartsWith("0.toml:3:11: train.verbose: true or false is wanted"), HasSubstr("found 1")),
          AllOf(StartsWith("1.toml:2:10: train.recipe: unknown name \"fine_tnue\""),
                HasSubstr("\"fine_tune\"?"), HasSubstr("from_scratch")),
          AllOf(StartsWith("2.toml:1:"), HasSubstr("no valid TOML")),
          AllOf(StartsWith("--set train.epochs: 0 is outside"), HasSubstr("at least 1"))));
}

TEST(ReadConfig, TakesWholeNumbersAsNumbersButNotTheOtherWay) {
  EXPECT_EQ(read({"[train.optimizer]\nrate = 1\n"}).train.optimizer.rate, 1.0);
  EXPECT_THAT(problems_of({"[train]\nepochs = 10.0\n"}),
              ElementsAre(AllOf(HasSubstr("whole number"), HasSubstr("Write 10,"))));
  EXPECT_THAT(problems_of({"[train]\nepochs = 10.5\n"}),
              ElementsAre(HasSubstr("whole number is wanted here, found 10.5")));
}

TEST(ReadConfig, RefusesWrongTypesWithWhatToWrite) {
  EXPECT_THAT(problems_of({"[train]\nname = 7\n"}), ElementsAre(HasSubstr("double quotes")));
  EXPECT_THAT(problems_of({"[train]\nepochs = \"7\"\n"}), ElementsAre(HasSubstr("found \"7\"")));
  EXPECT_THAT(problems_of({"[train]\noptimizer = 7\n"}), ElementsAre(HasSubstr("Write [train.optimizer]")));
  EXPECT_THAT(problems_of({"[train.epochs]\nx = 7\n"}), ElementsAre(HasSubstr("found a section")));
  EXPECT_THAT(problems_of({"train = 7\n"}), ElementsAre(HasSubstr("Write [train]")));
  EXPECT_THAT(problems_of({"[[train]]\nepochs = 7\n"}), ElementsAre(HasSubstr("Write [train]")));
  EXPECT_THAT(problems_of({"[train]\nmilestones = 5\n"}), ElementsAre(HasSubstr("Write [5].")));
  EXPECT_THAT(problems_of({"[train]\nname = 1979-05-27\n"}), ElementsAre(HasSubstr("found a date")));
  EXPECT_THAT(problems_of({"[train.optimizer]\nrate = nan\n"}), ElementsAre(HasSubstr("outside")));
}

TEST(ReadConfig, NamesEachWrongElementOfAList) {
  EXPECT_THAT(problems_of({"[train]\nmilestones = [1, \"two\", 3.0, -4]\n"}),
              ElementsAre(StartsWith("0.toml:2:18: train.milestones[1]:"),
                          StartsWith("0.toml:2:25: train.milestones[2]:"),
                          AllOf(StartsWith("0.toml:2:30: train.milestones[3]:"), HasSubstr("at least 0"))));
}

TEST(ReadConfig, ChecksRangesAndShowsThem) {
  EXPECT_THAT(
      problems_of({"[train.optimizer]\nmomentum = 1.5\n"}),
      ElementsAre(AllOf(StartsWith("0.toml:2:12: train.optimizer.momentum: 1.5"), HasSubstr("from 0 to 1"))));
}

TEST(ReadConfig, ChecksRulesWhereTheKeyWasSet) {
  EXPECT_THAT(problems_of({"[train]\nepochs = 5\nwarm_up = 6\n"}),
              ElementsAre(StartsWith("0.toml:3:11: train.warm_up: the warm-up is longer")));
  EXPECT_THAT(problems_of({}, {"train.warm_up=400"}),
              ElementsAre(StartsWith("--set train.warm_up: the warm-up")));
  EXPECT_THAT(problems_of({"[train]\nepochs = 1\n"}),
              ElementsAre(StartsWith("train.warm_up (default): the warm-up")));
}

TEST(ReadConfig, DoesNotBlameDefaultsForValuesItCouldNotRead) {
  EXPECT_THAT(problems_of({"[train]\nepochs = 1\nwarm_up = \"x\"\n"}),
              ElementsAre(HasSubstr("whole number")));
}

TEST(ReadConfig, SuggestsSectionsAndKeysOfOtherSections) {
  EXPECT_THAT(
      problems_of({"[trian]\nepochs = 1\n"}),
      ElementsAre(AllOf(StartsWith("0.toml:1:"), HasSubstr("unknown section"), HasSubstr("\"train\""))));
  EXPECT_THAT(problems_of({"momentum = 1\n"}),
              ElementsAre(HasSubstr("Did you mean train.optimizer.momentum?")));
  EXPECT_THAT(problems_of({"[train.optimizer]\nxyzzy = 1\n"}),
              ElementsAre(HasSubstr("Valid here: momentum, rate.")));
}

TEST(ReadConfig, ReportsMissingFilesAndFoldersAmongTheOtherProblems) {
  SampleConfig config;
  const test::TemporaryFolder folder;
  try {
    read_config(config, {.files = {folder / "none.toml", folder.path()}, .overrides = {"train.epoch=1"}});
    FAIL() << "nothing thrown";
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.problems().size(), 3u);
    EXPECT_THAT(to_string(error.problems()[0]), AllOf(HasSubstr("none.toml"), HasSubstr("No such file")));
    EXPECT_THAT(to_string(error.problems()[1]), HasSubstr("folder"));
  }
}

TEST(ReadConfig, SurvivesBrokenFiles) {
  const std::vector<std::string> broken{"[train]\nepochs = \n",
                                        "[train]\nepochs = 1\nepochs = 2\n",
                                        "\"",
                                        "[train]\nname = \"\xff\xfe\"\n",
                                        "= 1",
                                        "[train]\nx = {",
                                        std::string(1000, '['),
                                        "x = " + std::string(100000, '['),
                                        std::string(3, '\0'),
                                        "[.]",
                                        "[train]\nname = 'a\n"};
  for (const std::string& text : broken) {
    EXPECT_THAT(problems_of({text}), ElementsAre(HasSubstr("no valid TOML"))) << text.substr(0, 40);
  }
}

TEST(ReadConfig, RefusesNestingThatWouldExhaustTheStack) {
  std::string deep = "a";
  for (int i = 0; i < 200000; ++i) deep += ".a";
  EXPECT_THAT(problems_of({deep + " = 1"}), ElementsAre(HasSubstr("nested too deep")));
  EXPECT_THAT(problems_of({"[" + deep + "]"}), ElementsAre(HasSubstr("nested too deep")));
  EXPECT_THAT(problems_of({"x = {" + deep + " = 1}"}), ElementsAre(HasSubstr("nested too deep")));
  EXPECT_THAT(problems_of({}, {deep + "=1"}), ElementsAre(HasSubstr("--set")));
  EXPECT_EQ(problems_of({std::string(2'000'000, '#')}).size(), 1u);
}

TEST(Override, TakesBareWordsAsTexts) {
  EXPECT_EQ(read({}, {"train.name=plain"}).train.name, "plain");
  EXPECT_EQ(read({}, {"train.name=two words"}).train.name, "two words");
  EXPECT_EQ(read({}, {"train.name=\"quoted\""}).train.name, "quoted");
  EXPECT_EQ(read({}, {"train.name=7"}).train.name, "7");
  EXPECT_EQ(read({}, {"train.name=true"}).train.name, "true");
  EXPECT_EQ(read({}, {"train.name=2024-01-02"}).train.name, "2024-01-02");
  EXPECT_EQ(read({}, {"train.name="}).train.name, "");
  EXPECT_EQ(read({}, {"train.name=a=b"}).train.name, "a=b");
  EXPECT_EQ(read({}, {"train.name=line\nbreak \"x\""}).train.name, "line\nbreak \"x\"");
  EXPECT_EQ(read({}, {"train.folder=/data/pets v2"}).train.folder, "/data/pets v2");
  EXPECT_EQ(read({}, {"train.recipe=fine_tune"}).train.recipe, test::Recipe::fine_tune);
  EXPECT_THAT(read({}, {"train.milestones=[3, 4]"}).train.milestones, ElementsAre(3, 4));
}

TEST(Override, SaysWhatItsFormIs) {
  for (const char* text : {"train.epochs", "=5", "train..epochs=5", "", "train epochs=5", "[train]\nepochs=5",
                           "train.epochs#=5", "a=1\nb=2\n[c]"}) {
    const auto problems = problems_of({}, {text});
    ASSERT_EQ(problems.size(), 1u) << text;
    EXPECT_THAT(problems[0], HasSubstr("--set")) << text;
  }
}

TEST(Override, NamesItselfInProblems) {
  EXPECT_THAT(problems_of({}, {"train.optimiser.rate=1"}),
              ElementsAre(AllOf(StartsWith("--set train.optimiser.rate: unknown section"),
                                HasSubstr("\"optimizer\""))));
  EXPECT_THAT(problems_of({}, {"train.verbose=maybe"}),
              ElementsAre(HasSubstr("Write --set train.verbose=true")));
}

TEST(NearestName, FindsTyposAndOnlyTypos) {
  const std::vector<std::string> names{"train", "evaluate", "learning_rate", "seed"};
  EXPECT_EQ(nearest_name("trian", names), "train");
  EXPECT_EQ(nearest_name("TRAIN", names), "train");
  EXPECT_EQ(nearest_name("evalute", names), "evaluate");
  EXPECT_EQ(nearest_name("learning-rate", names), "learning_rate");
  EXPECT_EQ(nearest_name("learn", names), "learning_rate");
  EXPECT_EQ(nearest_name("xyz", names), "");
  EXPECT_EQ(nearest_name("x", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("train", {}), "");
}

}  // namespace
}  // namespace deda
