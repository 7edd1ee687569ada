// Text tables with their line numbers, and MATLAB files.
#include <gmock/gmock.h>

#include "core/error.h"
#include "core/files.h"
#include "io/formats/matlab_file.h"
#include "io/formats/text_table.h"
#include "support/temporary_folder.h"

namespace deda::io {
namespace {

using testing::ElementsAre;

TEST(TextTable, SplitsWordsAndKeepsTheRestOfTheLineWhenAsked) {
  const test::TemporaryFolder folder;
  write_atomically(folder / "list.txt",
                   "\xEF\xBB\xBF"
                   "1 one two\r\n\n  2\tBAE 146-200  \n3");
  const TextTable all = read_words(folder / "list.txt"), two = read_words(folder / "list.txt", 2);
  ASSERT_EQ(all.rows.size(), 3u);
  EXPECT_THAT(all.rows[0].cells, ElementsAre("1", "one", "two"));
  EXPECT_EQ(all.rows[1].line, 3) << "empty lines count";
  EXPECT_THAT(two.rows[1].cells, ElementsAre("2", "BAE 146-200"));
  EXPECT_EQ(all.where(all.rows[2]), (folder / "list.txt").string() + ":4");
  EXPECT_THROW(read_words(folder / "none.txt"), DataError);
}

TEST(TextTable, ReadsTextsOfOtherSystems) {
  const test::TemporaryFolder folder;
  const auto cells = [&](const std::string& bytes) {
    write_atomically(folder / "list.txt", bytes);
    std::vector<std::string> all;
    for (const TextRow& row : read_words(folder / "list.txt").rows)
      all.insert(all.end(), row.cells.begin(), row.cells.end());
    return all;
  };
  EXPECT_THAT(cells("a b\rc\r\nd\n\x1A"), ElementsAre("a", "b", "c", "d"))
      << "line ends of three systems, Ctrl-Z";
  const std::string little("\xFF\xFE\x61\0 \0\xFC\0\x3D\xD8\x31\xDC\x3D\xD8",
                           14);  // the last surrogate stands alone
  EXPECT_THAT(cells(little), ElementsAre("a", "\xC3\xBC\xF0\x9F\x90\xB1\xEF\xBF\xBD"));
  EXPECT_THAT(cells(std::string("\xFE\xFF\0a\0 \0b", 8)), ElementsAre("a", "b"));
  EXPECT_THROW(cells(std::string("a\0b\0", 4)), DataError) << "UTF-16 without a mark";
  EXPECT_THAT(cells("\xE9 x"), ElementsAre("\xE9", "x")) << "other bytes stay";
}

TEST(TextTable, ReadsQuotedCells) {
  const test::TemporaryFolder folder;
  write_atomically(folder / "t.csv", "a,\"b, \"\"c\"\"\",\n\"open\n");
  EXPECT_THROW(read_csv(folder / "t.csv"), DataError) << "a quote that is not closed";
  write_atomically(folder / "t.csv", "a,\"b, \"\"c\"\"\",\n");
  EXPECT_THAT(read_csv(folder / "t.csv").rows[0].cells, ElementsAre("a", "b, \"c\"", ""));
}

TEST(TextTable, TakesWholeCellsAsNumbersOnly) {
  EXPECT_EQ(to_integer("-12"), -12);
  EXPECT_EQ(to_integer("12x"), std::nullopt);
  EXPECT_EQ(to_integer(""), std::nullopt);
  EXPECT_EQ(to_number("1.5e2"), 150.0);
  EXPECT_EQ(to_number("nan"), std::nullopt);
  EXPECT_EQ(to_number("1e999"), std::nullopt);
}

TEST(MatlabFile, ReadsStructArraysAndCellsOfTexts) {
  const auto path = std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/cars_like.mat";
  const auto rows = read_matlab_struct_array(path, "annotations");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(std::get<double>(rows[0].at("bbox_x1")), 39);
  EXPECT_EQ(std::get<double>(rows[1].at("bbox_x1")), 300);
  EXPECT_EQ(std::get<std::string>(rows[1].at("fname")), "b.jpg");
  EXPECT_THAT(read_matlab_texts(path, "class_names"), ElementsAre("AM General Hummer", "Acura RL", "x"));
  EXPECT_THROW(read_matlab_struct_array(path, "nothing"), DataError);
  EXPECT_THROW(read_matlab_struct_array(path, "number"), DataError);
  EXPECT_THROW(read_matlab_texts(path, "annotations"), DataError);
  EXPECT_THROW(read_matlab_texts(path.parent_path() / "absent.mat", "x"), DataError);
}

}  // namespace
}  // namespace deda::io
