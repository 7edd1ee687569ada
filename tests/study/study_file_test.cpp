// Study files: what they mean, and that everything wrong with one is told at once, with file and line.
#include "study/study_file.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"
#include "support/temporary_folder.h"

namespace deda::study {
namespace {

class StudyFile : public testing::Test {
 protected:
  std::filesystem::path file(const std::string& name, const std::string& text) {
    write_atomically(folder_ / name, text);
    return folder_ / name;
  }
  // All problems of reading it, a line each.
  std::string problems_of(const std::string& text) {
    try {
      read_study(file("study.toml", text));
    } catch (const ConfigError& error) {
      std::string all;
      for (const auto& problem : error.problems()) all += deda::to_string(problem) + '\n';
      return all;
    }
    return {};
  }
  test::TemporaryFolder folder_;
};

constexpr const char* axes = R"(
[axis.method]
Vanilla = { "augment.method" = "plain" }
De-DA = { augment.method = "deda" }
[axis.dataset]
Zebra = { config = "zebra.toml" }
Ant = { "dataset.root" = "ants" }
)";

TEST_F(StudyFile, KeepsTheOrderOfTheFile) {
  file("zebra.toml", "");
  const auto study = read_study(file("study.toml", std::string{R"(
[study]
name = "two"
seeds = "1-3"
set = { "train.epochs" = 4 }
)"} + axes + R"(
[[grid]]
axes = ["method", "dataset"]
[[grid]]
name = "sweep"
fix = { method = "De-DA" }
vary = { "augment.p_aug" = [0.0, 0.5], "train.milestones" = [[1], [1, 2]] }
zip = { "train.batch_size" = [8, 16], "train.learning_rate" = [0.1, 0.2] }
seeds = [7]
exclude = [{ "augment.p_aug" = 0.0 }]
[[table]]
title = "T"
grids = ["study"]
rows = "method"
columns = ["dataset"]
baseline = "Vanilla"
)"));
  EXPECT_EQ(study.name, "two");
  EXPECT_EQ(study.seeds, (std::vector<std::int64_t>{1, 2, 3}));
  ASSERT_EQ(study.axes.size(), 2u);
  EXPECT_EQ(study.axes[1].values[0].name, "Zebra");
  EXPECT_EQ(study.axes[1].values[0].files, (std::vector<std::filesystem::path>{folder_ / "zebra.toml"}));
  EXPECT_EQ(study.axes[0].values[1].settings[0].key,
            "augment.method");  // tables and dotted keys are the same
  EXPECT_EQ(study.axes[0].values[1].settings[0].toml, "\"deda\"");
  ASSERT_EQ(study.grids.size(), 2u);
  EXPECT_EQ(study.grids[0].name, "study");
  EXPECT_EQ(study.grids[0].settings[0].key, "train.epochs");
  const auto& sweep = study.grids[1];
  EXPECT_EQ(sweep.vary[0].values[1].name, "0.5");
  EXPECT_EQ(sweep.vary[1].values[1].settings[0].toml, "[1, 2]");
  EXPECT_EQ(sweep.zips[0].axes.size(), 2u);
  EXPECT_EQ(sweep.seeds, std::vector<std::int64_t>{7});
  EXPECT_EQ(sweep.excludes[0].labels.at("augment.p_aug"), "0.0");
  EXPECT_EQ(study.tables[0].columns, std::vector<std::string>{"dataset"});
}

TEST_F(StudyFile, IncludedStudiesKeepTheirSurroundings) {
  file("zebra.toml", "");
  file("axes.toml", axes);
  file("base.toml", "");
  file("few.toml", R"(
include = ["axes.toml"]
[study]
name = "few"
base = ["base.toml"]
seeds = [1, 2]
[[grid]]
axes = ["method"]
)");
  const auto study = read_study(file("all.toml", R"(
include = ["axes.toml", "few.toml"]
[study]
name = "all"
seeds = [5]
[[grid]]
axes = ["dataset"]
)"));
  EXPECT_EQ(study.name, "all");
  EXPECT_EQ(study.seeds, std::vector<std::int64_t>{5});
  ASSERT_EQ(study.grids.size(), 2u);
  EXPECT_EQ(study.grids[0].name, "few");
  EXPECT_EQ(study.grids[0].base.size(), 1u);
  EXPECT_TRUE(study.grids[1].base.empty());
}

TEST_F(StudyFile, TellsEverythingThatIsWrongAtOnce) {
  const auto text = problems_of(std::string{R"(
[study]
nme = "x"
seeds = [1, 1]
base = ["missing.toml"]
)"} + axes + R"(
[[grid]]
name = "a"
axes = ["methd"]
[[grid]]
name = "a"
fix = { method = "DeDA" }
vary = { "augment.p_aug" = [] }
[[grid]]
name = "b"
axes = ["method"]
exclude = [{ network = "x" }]
nested = "generate.copies"
[[table]]
title = "T"
grids = ["b"]
rows = "method"
columns = ["dataset"]
baseline = "Vanila"
value = "bestt"
[[figure]]
kind = "pies"
grids = ["c"]
)");
  for (const char* expected :
       {"study.toml:3: unknown key \"nme\"", "seed 1 stands twice", "there is no file", "zebra.toml",
        "unknown axis \"methd\". Did you mean \"method\"?", "a second grid \"a\"",
        "axis \"method\" has no value \"DeDA\". Did you mean \"De-DA\"?", "varies over no value",
        "has no axis \"network\" to exclude by", "is no key that this grid varies",
        "the table asks for \"dataset\", which grid \"b\" does not have", "baseline \"Vanila\" is no value",
        "there is no value \"bestt\"", "a figure needs a title", "there is no kind of figure \"pies\"",
        "there is no grid \"c\""})
    EXPECT_NE(text.find(expected), std::string::npos) << expected << "\nin\n" << text;
}

TEST_F(StudyFile, IncludesThatGoInCircles) {
  file("b.toml", "include = [\"study.toml\"]\n");
  EXPECT_NE(problems_of("include = [\"b.toml\"]\n").find("includes itself"), std::string::npos);
  EXPECT_NE(problems_of("include = [\"nowhere.toml\"]\n").find("study.toml:1"), std::string::npos);
  EXPECT_NE(problems_of("grid = 3\n").find("[[grid]] is wanted"), std::string::npos);
  EXPECT_NE(problems_of("[[grid]\n").find("no valid TOML"), std::string::npos);
  EXPECT_NE(problems_of("").find("has no grid"), std::string::npos);
}

TEST(Seeds, ListsAndRanges) {
  EXPECT_EQ(seeds_of("1-3", "x"), (std::vector<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(seeds_of("5, 1 3", "x"), (std::vector<std::int64_t>{5, 1, 3}));
  for (const char* wrong : {"", "a", "3-1", "1,1", "1-2,2", "1-99999999", "1.5", "-"})
    EXPECT_THROW(seeds_of(wrong, "x"), ConfigError) << wrong;
}

TEST(OneLine, MakesAGridATableAndAFigure) {
  const auto study = study_of({.configurations = {},
                               .settings = {"train.epochs=2"},
                               .vary = {"augment.p_aug=0,0.5, 1", "train.milestones=[1],[1,2]"},
                               .name = {}});
  EXPECT_EQ(study.grids[0].vary[0].values.size(), 3u);
  EXPECT_EQ(study.grids[0].vary[0].values[2].name, "1");
  EXPECT_EQ(study.grids[0].vary[1].values[1].settings[0].toml, "[1,2]");
  EXPECT_EQ(study.tables[0].rows, std::vector<std::string>{"augment.p_aug"});
  EXPECT_EQ(study.figures[0].series, "train.milestones");
  try {
    study_of({.configurations = {"nowhere.toml"},
              .settings = {"epochs=2"},
              .vary = {"x", "a.b=1,1", "run.seed=1,2"},
              .name = {}});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().size(), 5u);
  }
}

}  // namespace
}  // namespace deda::study
