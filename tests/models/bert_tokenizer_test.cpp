// BERT's WordPiece against transformers' BertTokenizer (tests/golden/grounding_dino.py), and the
// sub-sentences that GroundingDINO makes of the ids.
#include "models/text/bert_tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "models/grounding_dino/text_blocks.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::int64_t>;

const fs::path tokenizers = test::test_data() / "tokenizers";

nlohmann::json golden() {
  return nlohmann::json::parse(read_text(DEDA_SOURCE_DIR "/tests/golden/grounding_dino.json"));
}

class BertTokenizerOfTheRealVocabulary : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(tokenizers / "bert_uncased" / "vocab.txt"))
      GTEST_SKIP() << "no vocabulary in " << tokenizers.string();
  }
};

TEST_F(BertTokenizerOfTheRealVocabulary, EncodesAsTransformersDoes) {
  const auto tokenizer = BertTokenizer::from_folder(tokenizers / "bert_uncased");
  EXPECT_EQ(tokenizer.size(), 30522);
  EXPECT_EQ(tokenizer.encode("fish. shark."), (Ids{101, 3869, 1012, 11420, 1012, 102}));
  for (const auto& each : golden()["tokens"])
    EXPECT_EQ(tokenizer.encode(each["text"].get<std::string>()), each["ids"].get<Ids>()) << each["text"];
  const auto shared = nlohmann::json::parse(read_text(tokenizers / "golden_tokens.json"));
  for (const auto& each : shared["bert_uncased"]) {
    // That list was made by a program that does not set CJK characters apart, as transformers does.
    if (each["text"].get<std::string>().find("\xe5\x8c\x97\xe4\xba\xac") != std::string::npos) continue;
    EXPECT_EQ(tokenizer.encode(each["text"].get<std::string>()), each["ids"].get<Ids>()) << each["text"];
  }
}

TEST_F(BertTokenizerOfTheRealVocabulary, DecodesAsTransformersDoes) {
  const auto tokenizer = BertTokenizer::from_folder(tokenizers / "bert_uncased" / "vocab.txt");
  for (const auto& each : golden()["decoded"])
    EXPECT_EQ(tokenizer.decode(each["ids"].get<Ids>()), each["text"].get<std::string>());
}

TEST_F(BertTokenizerOfTheRealVocabulary, TakesBrokenAndVeryLongTexts) {
  const auto tokenizer = BertTokenizer::from_folder(tokenizers / "bert_uncased");
  EXPECT_EQ(tokenizer.encode("bird\xff\xfe\xc3"), tokenizer.encode("bird"));
  EXPECT_EQ(tokenizer.encode(std::string(100'000, 'z')).size(), 3u);
  EXPECT_EQ(tokenizer.decode({-1, 4743, 99'999}), "bird");
}

TEST(BertTokenizer, ReadsTokenizerJsonWhereThereIsNoVocabulary) {
  test::TemporaryFolder folder;
  const std::vector<std::string> words{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "bird", "##s", "."};
  nlohmann::json json{{"model", {{"type", "WordPiece"}, {"vocab", nlohmann::json::object()}}},
                      {"normalizer", {{"type", "BertNormalizer"}, {"lowercase", true}}}};
  for (std::size_t i = 0; i < words.size(); ++i) json["model"]["vocab"][words[i]] = i;
  write_atomically(folder / "tokenizer.json", json.dump());
  EXPECT_EQ(BertTokenizer::from_folder(folder.path()).encode("Birds. [MASK]fish"),
            (Ids{2, 5, 6, 7, 4, 1, 3}));
  write_atomically(folder / "tokenizer_config.json", R"({"do_lower_case": false})");
  EXPECT_EQ(BertTokenizer::from_folder(folder.path()).encode("Birds birds"), (Ids{2, 1, 5, 6, 3}));
}

TEST(BertTokenizer, TellsWhatIsMissingOrBroken) {
  test::TemporaryFolder folder;
  EXPECT_THROW(BertTokenizer::from_folder(folder.path()), DataError);
  EXPECT_THROW(BertTokenizer::from_folder(folder / "absent.txt"), DataError);
  write_atomically(folder / "vocab.txt", "[PAD]\nbird\n");
  write_atomically(folder / "tokenizer_config.json", R"({"tokenize_chinese_chars": false})");
  try {
    BertTokenizer::from_folder(folder.path());
    FAIL() << "a vocabulary without special tokens was taken";
  } catch (const DataError& error) {
    EXPECT_EQ(error.problems().size(), 5u);  // [UNK] [CLS] [SEP] [MASK], and the setting
  }
  write_atomically(folder / "tokenizer_config.json", "{");
  EXPECT_THROW(BertTokenizer::from_folder(folder.path()), DataError);
  fs::remove(folder / "vocab.txt");
  write_atomically(folder / "tokenizer.json", R"({"model": {"type": "BPE"}})");
  EXPECT_THROW(BertTokenizer::from_folder(folder.path()), DataError);
}

TEST(TextBlocks, WordsSeeTheirSubSentenceAndCountFromItsStart) {
  // [CLS] a . b c . [SEP]
  const auto blocks = text_blocks(at::tensor({101, 5, 1012, 6, 7, 1012, 102}, at::kLong).unsqueeze(0));
  EXPECT_TRUE(at::equal(blocks.positions[0], at::tensor({0, 0, 1, 0, 1, 2, 0}, at::kLong)));
  auto expected = at::eye(7, at::kBool);
  expected.slice(0, 1, 3).slice(1, 1, 3).fill_(true);
  expected.slice(0, 3, 6).slice(1, 3, 6).fill_(true);
  EXPECT_TRUE(at::equal(blocks.attends[0], expected));
}

TEST(TextBlocks, WithoutItsDotEveryWordStandsAlone) {
  const auto blocks = text_blocks(at::tensor({101, 5, 6, 102}, at::kLong).unsqueeze(0));
  EXPECT_TRUE(at::equal(blocks.attends[0], at::eye(4, at::kBool)));
  EXPECT_EQ(blocks.positions.abs().max().item<std::int64_t>(), 0);
}

TEST(TextBlocks, PaddingChangesNothingForAPromptThatEndsWithADot) {
  const auto alone = text_blocks(at::tensor({101, 5, 6, 1012, 102}, at::kLong).unsqueeze(0));
  const auto padded = text_blocks(at::tensor({101, 5, 6, 1012, 102, 0, 0}, at::kLong).unsqueeze(0));
  EXPECT_TRUE(at::equal(padded.attends[0].slice(0, 0, 5).slice(1, 0, 5), alone.attends[0]));
  EXPECT_TRUE(at::equal(padded.positions[0].slice(0, 0, 5), alone.positions[0]));
}

}  // namespace
}  // namespace deda::models
