// A configuration printed, hashed and explained.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/config.h"
#include "core/error.h"
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
  EXPECT_EQ(values.size(), 12u);
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

TEST(HelpConfig, ShowsDefaultsAndRanges) {
  const std::string text = help_config(SampleConfig{});
  EXPECT_THAT(text, HasSubstr("[train.optimizer]"));
  EXPECT_THAT(
      text, testing::ContainsRegex("epochs +passes over the images \\[integer; at least 1; default 300\\]"));
}

}  // namespace
}  // namespace deda
