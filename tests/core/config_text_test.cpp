// A configuration printed, hashed and explained.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

#include "core/config.h"
#include "core/error.h"
#include "core/escaped_name.h"
#include "core/files.h"
#include "sample_config.h"
#include "support/temporary_folder.h"

namespace deda {
namespace {

using test::SampleConfig;
using testing::HasSubstr;
using testing::Not;

TEST(PrintConfig, ReadsBackToTheSameValues) {
  SampleConfig config;
  config.train.epochs = std::numeric_limits<std::int64_t>::max();
  config.train.name = "tab\t \"quote\" back\\slash \x01 line\n caf\xc3\xa9";
  config.train.folder = "/a b/c";
  config.train.recipe = test::Recipe::fine_tune;
  config.train.weights = {1.0 / 3.0, 1e300, 5e-324, -0.0, 3.0, std::numeric_limits<double>::infinity()};
  config.train.labels = {"x", "y,z"};
  config.train.optimizer.rate = 0.1 + 0.2;
  const std::string text = print_config(config);
  const test::TemporaryFolder folder;
  write_atomically(folder / "a.toml", text);
  SampleConfig again;
  ASSERT_NO_THROW(read_config(again, {.files = {folder / "a.toml"}, .overrides = {}})) << text;
  EXPECT_EQ(print_config(again), text);
  EXPECT_EQ(again.train.name, config.train.name);
  EXPECT_EQ(again.train.weights, config.train.weights);
  EXPECT_EQ(again.train.optimizer.rate, config.train.optimizer.rate);
}

TEST(PrintConfig, ExplainsEachKeyInAComment) {
  const std::string text = print_config(SampleConfig{});
  EXPECT_THAT(text, HasSubstr("# Training\n[train]\n"));
  EXPECT_THAT(text, HasSubstr("# passes over the images (at least 1)\nepochs = 300\n"));
  EXPECT_THAT(text, HasSubstr("# momentum of SGD (0 to 1)\nmomentum = 0.9\n"));
  EXPECT_THAT(text, HasSubstr("# which recipe (from_scratch, fine_tune)\nrecipe = \"from_scratch\"\n"));
}

TEST(ConfigValues, AreEverySettingByKeyInCompactJson) {
  SampleConfig config;
  config.train.name = "a";
  config.train.weights = {0.1, 1, std::numeric_limits<double>::infinity()};
  const auto values = config_values(config);
  const auto json_of = [&](const std::string& key) {
    for (const auto& value : values)
      if (value.key == key) return value.json;
    return std::string{"no such key"};
  };
  EXPECT_EQ(values.size(), 13u);
  EXPECT_EQ(json_of("train.optimizer.rate"), "0.1");
  EXPECT_EQ(json_of("train.weights"), R"([0.1,1.0,"inf"])");
  EXPECT_EQ(json_of("train.recipe"), R"("from_scratch")");
  EXPECT_EQ(json_of("train.folder"), R"("runs")");
}

TEST(ConfigValues, BecomeOneObjectBySection) {
  SampleConfig config;
  config.with_spare = true;
  EXPECT_THAT(to_json(config_values(config)), HasSubstr(R"("spare":{"momentum":0.9,"rate":0.1})"));
  EXPECT_THAT(to_json(config_values(config)), HasSubstr(R"("optimizer":{"momentum":0.9,"rate":0.1})"));
}

// What people type behind --set, and what it becomes (the key's value as JSON).
TEST(TypedValues, AreTakenWhereOneMeaningIsPossible) {
  struct Row {
    const char *setting, *json;
  };
  setenv("HOME", "/home/somebody", 1);
  for (const Row& row : std::initializer_list<Row>{
           // a number where the key takes a name or a text
           {"train.gain=300", R"("300")"},
           {"train.gain=300.0", R"("300")"},
           {"train.gain=\"300\"", R"("300")"},
           {"train.gain=0", R"("0")"},
           {"train.gain=auto", R"("auto")"},
           {"train.recipe='fine_tune'", R"("fine_tune")"},
           {"train.name=300", R"("300")"},
           {"train.name=1e-3", R"("1e-3")"},
           {"train.name=yes", R"("yes")"},
           {"train.name=[a]", R"("[a]")"},
           {"train.name=it's", R"("it's")"},
           // lists in every way in which a shell may leave them
           {"train.labels=[annotated]", R"(["annotated"])"},
           {"train.labels=annotated,box_grabcut", R"(["annotated","box_grabcut"])"},
           {"train.labels=[annotated, box_grabcut]", R"(["annotated","box_grabcut"])"},
           {"train.labels=[\"annotated\", box_grabcut]", R"(["annotated","box_grabcut"])"},
           {"train.labels=['a', \"b\"]", R"(["a","b"])"},
           {"train.labels=\"a\",\"b, c\"", R"(["a","b, c"])"},
           {"train.labels=annotated", R"(["annotated"])"},
           {"train.labels=striped beetle, spotted beetle", R"(["striped beetle","spotted beetle"])"},
           {"train.labels=[it's,b]", R"(["it's","b"])"},
           {"train.labels=7", R"(["7"])"},
           {"train.labels=[1, 2]", R"(["1","2"])"},
           {"train.labels=[]", R"([])"},
           {"train.labels=", R"([])"},
           {"train.labels=a,", R"(["a"])"},
           {"train.milestones=10,20", R"([10,20])"},
           {"train.milestones=10", R"([10])"},
           {"train.milestones=[1e1, \"20\"]", R"([10,20])"},
           {"train.weights=.5, 1e-3,2", R"([0.5,0.001,2.0])"},
           // true and false
           {"train.verbose=True", "true"},
           {"train.verbose=TRUE", "true"},
           {"train.verbose=yes", "true"},
           {"train.verbose=on", "true"},
           {"train.verbose=1", "true"},
           {"train.verbose=\"true\"", "true"},
           {"train.verbose=No", "false"},
           {"train.verbose=off", "false"},
           {"train.verbose=0", "false"},
           // numbers
           {"train.epochs=1e2", "100"},
           {"train.epochs=10.0", "10"},
           {"train.epochs=\"12\"", "12"},
           {"train.epochs='12'", "12"},
           {"train.epochs=+12", "12"},
           {"train.epochs=012", "12"},
           {"train.epochs= 12 ", "12"},
           {"train.epochs=1_000", "1000"},
           {"train.optimizer.rate=1e-3", "0.001"},
           {"train.optimizer.rate=.5", "0.5"},
           {"train.optimizer.rate=5.", "5.0"},
           {"train.optimizer.rate=\"0.5\"", "0.5"},
           // paths
           {"train.folder=~/runs", R"("/home/somebody/runs")"},
           {"train.folder=~", R"("/home/somebody")"},
           {"train.folder=\"~/a b\"", R"("/home/somebody/a b")"},
           {"train.folder=./~", R"("./~")"},
           {"train.folder=a~b", R"("a~b")"},
           {"train.folder=2024", R"("2024")"},
           {"train.folder=[x]", R"("[x]")"},
           {"train.folder=/a \"b\" $c\\d", R"("/a \"b\" $c\\d")"},
       }) {
    SampleConfig config;
    ASSERT_NO_THROW(read_config(config, {.files = {}, .overrides = {row.setting}})) << row.setting;
    const std::string key = std::string{row.setting}.substr(0, std::string_view{row.setting}.find('='));
    for (const auto& value : config_values(config)) {
      if (value.key == key) {
        EXPECT_EQ(value.json, row.json) << row.setting;
      }
    }
  }
}

TEST(TypedValues, AreRefusedWithSomethingThatWorksWhenPasted) {
  struct Row {
    const char *setting, *hint;
  };
  setenv("HOME", "/home/somebody", 1);
  for (const Row& row : std::initializer_list<Row>{
           {"train.epochs=1e-3", "Write --set train.epochs=1"},
           {"train.epochs=10.5", "Write --set train.epochs=11"},
           {"train.epochs=1,000", "Write --set train.epochs=1000"},
           {"train.epochs=ten", "a whole number is wanted"},
           {"train.epochs=", "a whole number is wanted"},
           {"train.epochs=[3]", "found a list"},
           {"train.epochs=0x", "a whole number"},
           {"train.epochs=-1", "at least 1"},
           {"train.epochs=\"-1\"", "at least 1"},
           {"train.optimizer.rate=0,5", "Write --set train.optimizer.rate=0.5"},
           {"train.optimizer.momentum=50%", "Write --set train.optimizer.momentum=0.5"},
           {"train.optimizer.rate=fast", "a number is wanted"},
           {"train.verbose=maybe", "Write --set train.verbose=true"},
           {"train.gain=3", "One of: auto, 0, 300"},
           {"train.gain=[300]", "One of: auto, 0, 300"},
           {"train.milestones=ten,20", "Write --set train.milestones=[100,200]"},
           {"train.milestones=[1.5]", "a whole number"},
           {"train.labels={a=1}", "a list is wanted"},
           {"train.folder=~other/runs", "Write the folder in full"},
       }) {
    SampleConfig config;
    try {
      read_config(config, {.files = {}, .overrides = {row.setting}});
      ADD_FAILURE() << row.setting << " was taken";
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr(row.hint)) << row.setting;
      const std::string text = error.what();
      constexpr std::string_view write = "Write --set ";
      const auto at = text.find(write);
      if (at == std::string::npos) continue;
      SampleConfig pasted;
      const auto setting = text.substr(at + write.size(), text.find_last_not_of('.') + 1 - at - write.size());
      EXPECT_NO_THROW(read_config(pasted, {.files = {}, .overrides = {"train.warm_up=0", setting}}))
          << setting;
    }
  }
}

TEST(TypedValues, TellThatHomeIsMissing) {
  unsetenv("HOME");
  SampleConfig config;
  try {
    read_config(config, {.files = {}, .overrides = {"train.folder=~/runs"}});
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("HOME is not set"));
  }
}

TEST(TypedValues, KeepTheBytesOfPathsAndShowThemEscaped) {
  SampleConfig config;
  read_config(config,
              {.files = {}, .overrides = {"train.folder=/data/caf\xe9 \n\xff", "train.name=caf\xe9"}});
  EXPECT_EQ(config.train.folder.native(), "/data/caf\xe9 \n\xff");
  EXPECT_EQ(config.train.name, "caf\\xE9");
  const std::string printed = print_config(config);
  EXPECT_TRUE(is_utf8(printed));
  EXPECT_THAT(to_json(config_values(config)), HasSubstr(R"(/data/caf\\xE9 \\x0A\\xFF)"));
  const test::TemporaryFolder folder;
  write_atomically(folder / "a.toml", printed);
  SampleConfig again;
  read_config(again, {.files = {folder / "a.toml"}, .overrides = {}});
  EXPECT_EQ(again.train.folder, config.train.folder);
  // Between quotes as well, and in a list.
  read_config(again, {.files = {}, .overrides = {"train.folder=\"/b\xe9\"", "train.labels=[b\xe9]"}});
  EXPECT_EQ(again.train.folder.native(), "/b\xe9");
  EXPECT_THAT(again.train.labels, testing::ElementsAre("b\\xE9"));
}

TEST(HelpConfig, ShowsDefaultsAndRanges) {
  const std::string text = help_config(SampleConfig{});
  EXPECT_THAT(text, HasSubstr("[train.optimizer]"));
  EXPECT_THAT(
      text, testing::ContainsRegex("epochs +passes over the images \\[integer; at least 1; default 300\\]"));
}

}  // namespace
}  // namespace deda
