// What `deda invert` left, read back for people: losses, outcomes, and what is damaged is named.
#include "report/identifier_report.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"
#include "support/temporary_folder.h"

namespace deda::report {
namespace {

constexpr auto manifest = R"({"schema":"deda-identifiers-1","classes":[
 {"class":"striped beetle","placeholder":"<class-0000>","outcome":"done","reason":"","initial_word":"beetle","cdps":60,
  "loss_first":0.5,"loss_last":0.4,"held_out_loss_word":0.48,"held_out_loss_after":0.41,"cosine":[0.9],
  "files":[{"name":"class-0000.safetensors","hash":"0"},{"name":"class-0000.csv","hash":"0"}]},
 {"class":"spotted beetle","placeholder":"<class-0001>","outcome":"no_cdp","reason":"no CDP in the store","initial_word":"beetle",
  "cdps":0,"loss_first":null,"loss_last":null,"held_out_loss_word":null,"held_out_loss_after":null,"cosine":[],"files":[]}]})";

TEST(IdentifierReport, TellsLossesCurvesAndOutcomes) {
  const test::TemporaryFolder folder;
  write_atomically(folder / "identifiers.json", manifest);
  write_atomically(folder / "class-0000.csv", "step,loss\n10,0.5\n20,0.4\n");
  ASSERT_TRUE(is_identifier_folder(folder.path()));
  const auto summary = read_identifiers(folder.path());
  ASSERT_EQ(summary.classes.size(), 2u);
  EXPECT_EQ(summary.classes[0].loss_curve, (std::vector<std::pair<double, double>>{{10, 0.5}, {20, 0.4}}));
  EXPECT_FALSE(summary.classes[1].loss_last.has_value());
  const auto text = to_text(summary);
  EXPECT_NE(text.find("0.4800 with the initial word and 0.4100 with the identifier; lower in 1 of 1"),
            std::string::npos)
      << text;
  constexpr auto left_out = "1 of 2 classes have no CDP, so no identifier: spotted beetle";
  EXPECT_NE(text.find(left_out), std::string::npos) << text;
  Page page("identifiers");
  add_to_page(page, summary);
  EXPECT_NE(page.html().find(left_out), std::string::npos);
  EXPECT_EQ(page.html().find(">spotted beetle</td>"), std::string::npos) << "no row of dashes";
}

TEST(IdentifierReport, NamesADamagedManifest) {
  const test::TemporaryFolder folder;
  write_atomically(folder / "identifiers.json", "{\"classes\":[{}]}");
  try {
    read_identifiers(folder.path());
    FAIL() << "a damaged manifest was read";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("identifiers.json"), std::string::npos);
  }
}

}  // namespace
}  // namespace deda::report
