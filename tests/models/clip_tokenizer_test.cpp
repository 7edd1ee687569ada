// The tokenizer against transformers' (tests/golden/clip_tokenizer.py), on CLIP's own vocabulary where it is
// there and on a small one that this project writes, which always is.
#include "models/text/clip_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/random.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

namespace deda::models {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;
using Ids = std::vector<std::int64_t>;

const fs::path golden_folder = DEDA_SOURCE_DIR "/tests/golden";

const nlohmann::json& golden() {
  static const auto json = nlohmann::json::parse(read_text(golden_folder / "clip_tokenizer.json"));
  return json;
}

fs::path clip_folder() {
  return test::test_data() / "tokenizers" / "clip";
}

const std::vector<std::string>& words() {
  static const std::vector<std::string> list{"a",     "photo", "of", "the", "bird",  "car",
                                             "dog's", "café",  "<",  ">",   "class", "beetle"};
  return list;
}

void expect_golden(const fs::path& folder, const std::string& name) {
  auto tokenizer = ClipTokenizer::from_folder(folder);
  const auto texts = golden().at("texts").get<std::vector<std::string>>();
  for (std::size_t i = 0; i < texts.size(); ++i)
    EXPECT_EQ(tokenizer.encode(texts[i]), golden().at(name)[i].get<Ids>())
        << i << ": " << golden().at("texts")[i].dump(-1, ' ', true);
  for (const auto& placeholder : golden().at("placeholders"))
    tokenizer.add_token(placeholder.get<std::string>());
  const auto added = golden().at("added_texts").get<std::vector<std::string>>();
  for (std::size_t i = 0; i < added.size(); ++i)
    EXPECT_EQ(tokenizer.encode(added[i]), golden().at(name + "_added")[i].get<Ids>())
        << i << ": " << golden().at("added_texts")[i].dump(-1, ' ', true);
}

TEST(ClipTokenizer, OnAVocabularyOfOurOwnEqualsTransformers) {
  test::TemporaryFolder folder;
  const auto kept = golden_folder / "word_tokenizer";
  write_word_tokenizer(std::getenv("DEDA_RENEW_GOLDEN") != nullptr ? kept : folder.path(), words(), 77);
  for (const auto& file : fs::directory_iterator(folder.path()))
    EXPECT_EQ(read_bytes(file.path()), read_bytes(kept / file.path().filename())) << file.path().filename();
  expect_golden(kept, "word");
}

TEST(ClipTokenizer, OnClipsVocabularyEqualsTransformers) {
  if (!fs::exists(clip_folder())) GTEST_SKIP() << clip_folder() << " is not here";
  expect_golden(clip_folder(), "clip");
}

TEST(ClipTokenizer, GivesThePublishedIds) {
  if (!fs::exists(clip_folder())) GTEST_SKIP() << clip_folder() << " is not here";
  const auto tokenizer = ClipTokenizer::from_folder(clip_folder());
  const auto published =
      nlohmann::json::parse(read_text(test::test_data() / "tokenizers" / "golden_tokens.json")).at("clip");
  EXPECT_GE(published.size(), 15u);
  for (const auto& each : published)
    EXPECT_EQ(tokenizer.encode(each.at("text").get<std::string>()), each.at("ids").get<Ids>())
        << each.at("text");
  const std::vector<std::pair<std::string, Ids>> known{
      {"", {49406, 49407}},
      {"a photo of a bird", {49406, 320, 1125, 539, 320, 3329, 49407}},
      {"  A   photo,of  a   CAR!! ", {49406, 320, 1125, 267, 539, 320, 1615, 748, 49407}},
      {"a photo of a Black footed Albatross", {49406, 320, 1125, 539, 320, 1449, 38040, 42797, 2158, 49407}},
      {"a photo of a Clark's Nutcracker", {49406, 320, 1125, 539, 320, 7521, 568, 36733, 49407}},
      {"Boeing 737-400", {49406, 11857, 278, 274, 278, 268, 275, 271, 271, 49407}},
      {"a photo of a <class_12>", {49406, 320, 1125, 539, 320, 283, 1874, 318, 272, 273, 285, 49407}},
      {"café", {49406, 15304, 49407}},
      {"a photo with a bird on it", {49406, 320, 1125, 593, 320, 3329, 525, 585, 49407}},
      {"a photo without a bird on it", {49406, 320, 1125, 2193, 320, 3329, 525, 585, 49407}}};
  for (const auto& [text, ids] : known) EXPECT_EQ(tokenizer.encode(text), ids) << text;
  const std::map<std::string, std::int64_t> single{
      {"Bird", 3329},   {"Aircraft", 7706}, {"Car", 1615},      {"airplane", 16451}, {"the", 518},
      {"cat", 2368},    {"dog", 1929},      {"bicycle", 11652}, {"boat", 4440},      {"bottle", 5392},
      {"bus", 2840},    {"chair", 4269},    {"cow", 9706},      {"horse", 4558},     {"motorbike", 33341},
      {"person", 2533}, {"sheep", 9629},    {"sofa", 15723},    {"train", 3231}};
  for (const auto& [word, id] : single) EXPECT_EQ(tokenizer.tokens(word), Ids{id}) << word;
  const std::map<std::string, Ids> several{{"aeroplane", {27735, 3980}},
                                           {"diningtable", {1462, 653, 2175}},
                                           {"pottedplant", {3547, 4841, 3912}},
                                           {"tvmonitor", {3197, 10198}}};
  for (const auto& [word, ids] : several) EXPECT_EQ(tokenizer.tokens(word), ids) << word;
  EXPECT_EQ(tokenizer.vocabulary(), 49408);
}

// SD1.5 pads with the end token, SDXL's second encoder with "!"; a text that is too long keeps its end.
TEST(ClipTokenizer, PadsAndCutsAsItsFolderSays) {
  test::TemporaryFolder folder;
  write_word_tokenizer(folder.path(), words(), 77);
  const auto first = ClipTokenizer::from_folder(folder.path());
  EXPECT_EQ(first.pad_id(), first.end_id());
  EXPECT_EQ(first.start_id(), first.end_id() - 1);
  const auto ids = first.encode_padded("a bird");
  ASSERT_EQ(ids.size(), 77u);
  EXPECT_EQ(ids[0], first.start_id());
  for (std::size_t i = 3; i < ids.size(); ++i) EXPECT_EQ(ids[i], first.end_id());

  for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
    auto json = nlohmann::json::parse(read_text(folder / name));
    json["pad_token"] = {{"content", "!"},
                         {"lstrip", false}};  // as transformers writes tokens with properties
    write_atomically(folder / name, json.dump());
  }
  const auto second = ClipTokenizer::from_folder(folder.path());
  EXPECT_EQ(second.pad_id(), 0);
  const auto padded = second.encode_padded("a bird");
  EXPECT_EQ(padded[3], second.end_id());
  for (std::size_t i = 4; i < padded.size(); ++i) EXPECT_EQ(padded[i], 0);

  std::string text;
  for (int i = 0; i < 100; ++i) text += "bird ";
  const auto cut = first.encode(text);
  ASSERT_EQ(cut.size(), 77u);
  EXPECT_EQ(cut.back(), first.end_id());
  EXPECT_EQ(cut[75], first.tokens("bird")[0]);
}

TEST(ClipTokenizer, AddedTokensAreUniqueWithoutRegardToCase) {
  test::TemporaryFolder folder;
  write_word_tokenizer(folder.path(), words(), 77);
  auto tokenizer = ClipTokenizer::from_folder(folder.path());
  const auto before = tokenizer.size();
  EXPECT_EQ(tokenizer.add_token("<cls>"), before);
  EXPECT_EQ(tokenizer.add_token("<cls>_1"), before + 1);
  EXPECT_EQ(tokenizer.size(), before + 2);
  EXPECT_EQ(tokenizer.vocabulary(), before);
  EXPECT_EQ(tokenizer.tokens("<cls> <cls>_1"), (Ids{before, before + 1}));
  for (const std::string taken : {"<cls>", "<CLS>", "", "bird</w>"})
    EXPECT_THROW(tokenizer.add_token(taken), ConfigError) << taken;
  // A copy goes its own way.
  auto copy = tokenizer;
  copy.add_token("<other>");
  EXPECT_EQ(tokenizer.size(), before + 2);
}

// Whatever bytes come: an answer, in bounds and in time.
TEST(ClipTokenizer, InvalidUtf8IsReplacedNeverFatal) {
  test::TemporaryFolder folder;
  write_word_tokenizer(folder.path(), words(), 77);
  auto tokenizer = ClipTokenizer::from_folder(folder.path());
  tokenizer.add_token("<cls>");
  EXPECT_EQ(tokenizer.tokens("\xff"), tokenizer.tokens("\xEF\xBF\xBD"));
  EXPECT_EQ(tokenizer.tokens("a \xC3 bird"), tokenizer.tokens("a \xEF\xBF\xBD bird"));
  EXPECT_EQ(tokenizer.tokens(std::string("a\0bird", 6)).front(), tokenizer.tokens("a")[0]);
  RandomStream random{1, Purpose::test, 0, 7};
  for (int i = 0; i < 300; ++i) {
    std::string text;
    const auto length = random.below(200);
    for (std::uint32_t c = 0; c < length; ++c) text += static_cast<char>(random.below(256));
    if (i % 3 == 0) text.insert(random.below(static_cast<std::uint32_t>(text.size()) + 1), "<CLS>");
    for (const auto id : tokenizer.encode_padded(text)) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, tokenizer.size());
    }
  }
}

TEST(ClipTokenizer, WhatIsMissingOrBrokenIsTold) {
  test::TemporaryFolder folder;
  const auto told = [&] {
    try {
      ClipTokenizer::from_folder(folder.path());
    } catch (const DataError& error) {
      std::string text;
      for (const auto& problem : error.problems()) text += to_string(problem) + "\n";
      return text;
    }
    return std::string{};
  };
  EXPECT_THAT(told(), HasSubstr("vocab.json"));
  EXPECT_THAT(told(), HasSubstr("merges.txt"));
  write_word_tokenizer(folder.path(), words(), 77);
  EXPECT_EQ(told(), "");
  write_atomically(folder / "merges.txt", "#version: 0.2\na b c\n");
  EXPECT_THAT(told(), HasSubstr("is no pair of symbols: \"a b c\""));
  write_atomically(folder / "vocab.json", R"({"a": 0, "b": 0, "<|startoftext|>": 1})");
  EXPECT_THAT(told(), HasSubstr("does not number its symbols"));
  EXPECT_THAT(told(), HasSubstr("lacks the token <|endoftext|>"));
  write_atomically(folder / "vocab.json", R"({"a": "x"})");
  EXPECT_THAT(told(), HasSubstr("is not the JSON of a tokenizer"));
}

}  // namespace
}  // namespace deda::models
