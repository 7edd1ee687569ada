// The paper's numbers as this project keeps them, and what is said of files that do not fit a study.
#include "study/paper_numbers.h"

#include <gmock/gmock.h>

#include <fstream>

#include "support/temporary_folder.h"

namespace deda::study {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::filesystem::path kept =
    std::filesystem::path{DEDA_SOURCE_DIR} / "configs" / "studies" / "paper" / "numbers";

// Every value of these axes is right.
const KnownLabels any = {
    {"method", {}}, {"network", {}}, {"dataset", {}}, {"group", {}}, {"generate.copies", {}}};

class File {
 public:
  explicit File(const std::string& text, const std::string& averages = {}) {
    write(path(), text);
    if (!averages.empty()) write(folder_.path() / "averages.csv", averages);
  }
  std::filesystem::path path() const { return folder_.path() / "table7.csv"; }
  PaperNumbers read(const KnownLabels& known) const { return read_paper_numbers(path(), known, {"method"}); }
  std::string at(int line) const { return path().string() + ':' + std::to_string(line) + ": "; }

 private:
  static void write(const std::filesystem::path& path, const std::string& text) {
    std::ofstream{path} << text;
  }
  test::TemporaryFolder folder_;
};

const KnownLabels two_methods = {{"method", {"Vanilla", "De-DA"}}, {"dataset", {"CUB", "Car"}}};

TEST(PaperNumbers, OfAllTablesAreThere) {
  const std::map<int, std::size_t> cells = {{2, 108}, {3, 33}, {4, 36}, {5, 32}, {8, 12}};
  for (const auto& [table, count] : cells) {
    const auto read = read_paper_numbers(kept / ("table" + std::to_string(table) + ".csv"), any, {"method"});
    EXPECT_EQ(read.numbers.size(), count) << table;
    EXPECT_THAT(read.problems, IsEmpty()) << table;
    for (const PaperNumber& number : read.numbers) EXPECT_GT(number.images, 0);
  }
}

TEST(PaperNumbers, AreFoundByLabels) {
  const auto table2 = read_paper_numbers(kept / "table2.csv", any, {"method"});
  const PaperNumber* number =
      table2.find({{"method", "De-DA"}, {"network", "resnet50"}, {"dataset", "Aircraft"}, {"other", "x"}});
  ASSERT_NE(number, nullptr);
  EXPECT_EQ(number->percent, 84.79);
  EXPECT_EQ(number->images, 3333);
  EXPECT_EQ(table2.find({{"method", "De-DA"}, {"network", "vit_b_16"}, {"dataset", "CUB"}}), nullptr);
  std::string problem;
  EXPECT_EQ(table2.find({{"method", "De-DA"}, {"network", "resnet50"}}, &problem), nullptr)
      << "three datasets fit";
  EXPECT_THAT(problem, HasSubstr("both fit one cell"));
}

TEST(PaperNumbers, MatchNumbersByValueAndTextsByLetters) {
  const File file("method,augment.p_aug,accuracy\nDe-DA,0.50,70\nde-da,0.25,71\n");
  const auto read = file.read({{"method", {}}, {"augment.p_aug", {}}});
  ASSERT_NE(read.find({{"method", "De-DA"}, {"augment.p_aug", "0.5"}}), nullptr);
  EXPECT_EQ(read.find({{"method", "De-DA"}, {"augment.p_aug", "0.25"}}), nullptr);
}

TEST(PaperNumbers, FiveAveragesAreMisprints) {
  std::map<std::string, std::vector<Misprint>> found;
  std::size_t count = 0;
  for (const char* table : {"table2", "table3", "table4", "table5", "table8"}) {
    found[table] = read_paper_numbers(kept / (std::string{table} + ".csv"), any, {"method"}).misprints;
    count += found[table].size();
  }
  ASSERT_EQ(count, 5u);
  ASSERT_EQ(found["table2"].size(), 2u);
  EXPECT_EQ(found["table2"][0].row, "CutMix");
  EXPECT_EQ(found["table2"][0].printed, 80.33);
  EXPECT_NEAR(found["table2"][0].recomputed, 80.2178, 5e-5);
  EXPECT_EQ(found["table2"][1].row, "Guided-SR");
  EXPECT_NEAR(found["table2"][1].recomputed, 82.6389, 5e-5);
  ASSERT_EQ(found["table3"].size(), 1u);
  EXPECT_EQ(found["table3"][0].printed, 86.70);
  EXPECT_NEAR(found["table3"][0].recomputed, 89.20, 5e-5);
  ASSERT_EQ(found["table5"].size(), 2u) << "weighted by pictures";
  EXPECT_NEAR(found["table5"][0].recomputed, 70.2624, 5e-5);
  EXPECT_NEAR(found["table5"][1].recomputed, 72.4889, 5e-5);
}

TEST(PaperNumbers, UnknownLabelsAreToldOnceWithLineAndNearestName) {
  const File file("method,dataset,accuracy\nVanilla,CUB,1\nDeDA,CUB,2\nDeDA,Car,3\n");
  const auto read = file.read(two_methods);
  EXPECT_EQ(read.numbers.size(), 1u);
  ASSERT_EQ(read.problems.size(), 1u);
  EXPECT_EQ(
      read.problems[0],
      file.at(3) + "no value of \"method\" in this study: \"DeDA\" (2 lines) (did you mean \"De-DA\"?)");
}

TEST(PaperNumbers, TwoLinesForOneCellAreAmbiguousAndNeitherIsTaken) {
  const File file("method,dataset,accuracy\nDe-DA,CUB,1\nVanilla,CUB,2\nDe-DA,CUB,3\n");
  const auto read = file.read(two_methods);
  EXPECT_THAT(read.problems, ElementsAre(file.at(2) + "line 4 has the same labels; none is taken"));
  EXPECT_EQ(read.find({{"method", "De-DA"}, {"dataset", "CUB"}}), nullptr);
  EXPECT_NE(read.find({{"method", "Vanilla"}, {"dataset", "CUB"}}), nullptr);
}

TEST(PaperNumbers, WhatIsNoNumberIsNamedWithItsLine) {
  const File file(
      "method,dataset,accuracy,test_images\nDe-DA,CUB,80.x,10\nDe-DA,Car,101,10\nVanilla,CUB,70\n"
      "Vanilla,Car,70,many\n");
  const auto read = file.read(two_methods);
  EXPECT_EQ(read.numbers.size(), 1u);
  EXPECT_EQ(read.numbers[0].images, 0);
  EXPECT_THAT(read.problems, ElementsAre(file.at(2) + "\"80.x\" is no accuracy in percent",
                                         file.at(3) + "\"101\" is no accuracy in percent",
                                         file.at(4) + "has another number of cells than the header",
                                         file.at(5) + "\"many\" is no number of test pictures"));
}

TEST(PaperNumbers, AFileWithoutAColumnOfTheTableOrThatIsMissingGivesNoNumbers) {
  const File file("metod,accuracy\nDe-DA,80\n");
  const auto read = file.read(two_methods);
  EXPECT_THAT(read.numbers, IsEmpty());
  EXPECT_THAT(read.problems, ElementsAre(AllOf(HasSubstr("has no column \"method\""), HasSubstr("metod"))));
  EXPECT_EQ(read_paper_numbers("/nowhere/table2.csv", any, {}).problems.size(), 1u);
}

TEST(PaperNumbers, AnAverageOfARowThatTheTableLacksIsNamed) {
  const File file("method,dataset,accuracy\nDe-DA,CUB,80\nDe-DA,Car,90\n",
                  "table,method,printed_average\n7,De-DA,85.02\n7,Vanila,80\n8,Vanilla,1\n");
  const auto read = file.read(two_methods);
  EXPECT_THAT(read.misprints, IsEmpty()) << "0.02 is rounding";
  ASSERT_EQ(read.problems.size(), 1u);
  EXPECT_THAT(read.problems[0], AllOf(HasSubstr("averages.csv:3"), HasSubstr("Vanila")));
}

}  // namespace
}  // namespace deda::study
