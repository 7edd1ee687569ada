// Lists of excluded pictures: whatever a picture is called, the entry that the review page writes names it;
// lists of plain lines work as they did.
#include "decoupling/exclusions.h"

#include <gmock/gmock.h>

#include "core/error.h"
#include "core/files.h"
#include "support/temporary_folder.h"

namespace deda::decoupling {
namespace {

using testing::HasSubstr;

const std::vector<std::string> odd_names = {"cat/#1 hash.png",     "#first.png",          "cat/a#b.png",
                                            "cat/a.png",           "cat/a.png # small",   "cat/new\nline.png",
                                            "cat/cr\rreturn.png",  " lead/x.png",         "cat/trail.png ",
                                            "\ttab.png",           "cat/quote\"in.png",   "\"all quoted\"",
                                            "cat/back\\slash.png", "cat/latin1_\xE9.png", "cat/北京.png",
                                            "cat/percent%20.png",  "\"half.png",          "cat/x.png#"};

struct List {
  test::TemporaryFolder folder;
  data::Dataset dataset;
  List() {
    dataset.name = "odd";
    for (const std::string& name : odd_names) {
      data::Item item;
      item.path = name;
      dataset.items.push_back(item);
    }
  }
  std::set<std::string> read(const std::string& text) {
    write_atomically(folder / "list.txt", text);
    return read_exclusions(folder / "list.txt", dataset);
  }
};

TEST(Exclusions, EntriesNameEveryPicture) {
  List list;
  std::string all;
  for (const std::string& name : odd_names) {
    const std::string entry = exclusion_entry(name);
    EXPECT_EQ(entry.find('\n'), std::string::npos);
    EXPECT_EQ(list.read(entry + "  # some doubt, 12 % small\n"), std::set<std::string>{name}) << entry;
    EXPECT_EQ(list.read("  " + entry + "\r\n"), std::set<std::string>{name}) << entry;
    EXPECT_TRUE(list.read("#" + entry + "  # not yet\n").empty()) << entry;
    all += entry + '\n';
  }
  EXPECT_EQ(list.read(all).size(), odd_names.size());
  EXPECT_EQ(exclusion_entry("cat/a.png"), "cat/a.png") << "usual names stay plain";
}

TEST(Exclusions, PlainLinesWorkAsTheyDid) {
  List list;
  EXPECT_EQ(list.read("# doubtful\n  cat/a.png  # another\n\n#cat/x.png#\n"),
            std::set<std::string>{"cat/a.png"});
  EXPECT_EQ(list.read("cat/a.png#no blank before\n"), std::set<std::string>{"cat/a.png"});
  EXPECT_EQ(list.read("cat/a.png # small"), std::set<std::string>{"cat/a.png # small"}) << "the longest name";
  EXPECT_EQ(list.read("cat/#1 hash.png\n"), std::set<std::string>{"cat/#1 hash.png"})
      << "as it is written by hand";
  EXPECT_EQ(list.read("cat/#1 hash.png # a # b\n"), std::set<std::string>{"cat/#1 hash.png"});
  EXPECT_EQ(list.read("\xEF\xBB\xBF"
                      "cat/a.png\r\n"),
            std::set<std::string>{"cat/a.png"})
      << "saved by Notepad";
}

TEST(Exclusions, NameTheLinesThatAreNoPicture) {
  List list;
  try {
    list.read("cat/a.png\ncat/#2 hash.png\n\"cat/open.png\n\"cat/a.png\" and more\n");
    FAIL() << "three lines that name no picture";
  } catch (const DataError& error) {
    EXPECT_EQ(error.problems().size(), 3u);
    EXPECT_THAT(error.what(), HasSubstr("list.txt:2: \"cat/\" is no picture of odd"));
    EXPECT_THAT(error.what(), HasSubstr("list.txt:3:"));
    EXPECT_THAT(error.what(), HasSubstr("stand in double quotes"));
  }
}

}  // namespace
}  // namespace deda::decoupling
