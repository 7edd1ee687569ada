#include "core/provenance.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace deda {
namespace {

TEST(Provenance, ReadsBackWhatItWrote) {
  const Provenance provenance{.stage = "train",
                              .key = "0123",
                              .needs = {{"decouple", "4567"}},
                              .inputs = {{"pictures", "89ab"}},
                              .settings = R"({"augment.p_aug":0.5})",
                              .configuration = R"({"augment":{"p_aug":0.5}})",
                              .code_version = "0.1.0 (abc)",
                              .processor = "a processor"};
  const auto text = to_json(provenance);
  const auto again = provenance_from(text, "here");
  EXPECT_EQ(to_json(again), text);
  EXPECT_EQ(again.needs, provenance.needs);
  EXPECT_EQ(again.settings, provenance.settings);
}

TEST(Provenance, NamesThePlaceOfADamagedOne) {
  for (const char* text : {"", "{", "[]", R"({"stage":"train"})", R"({"stage":7})"}) {
    try {
      provenance_from(text, "runs/train-1/results.json");
      ADD_FAILURE() << text;
    } catch (const DataError& error) {
      EXPECT_NE(std::string{error.what()}.find("runs/train-1/results.json"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace deda
