// Names of any bytes as UTF-8, and back.
#include "core/escaped_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"

namespace deda {
namespace {

TEST(EscapedName, LeavesUsualNamesAlone) {
  for (const char* name :
       {"", "cat/a b.png", "caf\xC3\xA9", "a\\b", "\\x4", "\\xe9", "\xF0\x9F\x90\xA6", "\"'$#"})
    EXPECT_EQ(escaped_name(name), name);
}

TEST(EscapedName, EscapesWhatIsNoUtf8AndControlCharacters) {
  EXPECT_EQ(escaped_name("caf\xE9/1.png"), "caf\\xE9/1.png");
  EXPECT_EQ(escaped_name("a\nb\x7F"), "a\\x0Ab\\x7F");
  EXPECT_EQ(escaped_name("\xC0\xAF"), "\\xC0\\xAF") << "overlong";
  EXPECT_EQ(escaped_name("\xED\xA0\x80"), "\\xED\\xA0\\x80") << "a surrogate";
  EXPECT_EQ(escaped_name("\xF4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80") << "beyond the last character";
  EXPECT_EQ(escaped_name("\xE2\x82"), "\\xE2\\x82") << "cut off";
}

TEST(EscapedName, TellsANameThatLooksEscapedFromOneThatIs) {
  EXPECT_EQ(escaped_name("caf\\xE9"), "caf\\x5CxE9");
  EXPECT_EQ(bytes_of_name("caf\\x5CxE9"), "caf\\xE9");
  EXPECT_EQ(bytes_of_name("caf\\xE9"), "caf\xE9");
}

TEST(EscapedName, ComesBackToTheSameBytesWhateverTheyAre) {
  const RandomStream random{7, Purpose::few_shot, 0, 0};
  constexpr std::string_view usual = "\\x0159AEFaf/";  // pieces of escapes, often
  for (std::uint32_t round = 0; round < 5000; ++round) {
    std::string bytes;
    for (std::uint32_t i = 0; i < 12; ++i) {
      const std::uint32_t draw = random.bits_at(round * 12 + i);
      bytes += draw % 3 == 0 ? static_cast<char>(draw >> 8) : usual[(draw >> 8) % usual.size()];
    }
    const std::string text = escaped_name(bytes);
    EXPECT_TRUE(is_utf8(text));
    ASSERT_EQ(bytes_of_name(text), bytes);
    ASSERT_TRUE(is_utf8(with_private_characters(bytes)));
    ASSERT_EQ(without_private_characters(with_private_characters(bytes)), bytes);
  }
}

TEST(Readable, KeepsLinesAndEscapesTheRest) {
  EXPECT_EQ(readable("one\ntwo\t\xE9 \x1B[2J \\xE9"), "one\ntwo\t\\xE9 \\x1B[2J \\xE9");
}

TEST(Readable, IsOnOneLineWhereItHasTo) {
  EXPECT_EQ(readable_line("new\nline\t\r\x1B[31m \xE9 cat/\"1\" \\ \xF0\x9F\x90\xA6 \\xE9"),
            "new\\x0Aline\\x09\\x0D\\x1B[31m \\xE9 cat/\"1\" \\ \xF0\x9F\x90\xA6 \\xE9");
}

TEST(SomeOf, NamesTheFirstOfMany) {
  EXPECT_EQ(some_of({"a", "b\n"}), "a, b\\x0A");
  EXPECT_EQ(some_of({"a", "b", "c"}, 2), "a, b, ...");
}

TEST(DoubleQuoted, ReadsBackEveryByte) {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  for (const std::string& text :
       {all, std::string{}, std::string{"ünï çödé 北京.png"}, std::string{"\xE9\xFF\xC3"},
        std::string{"\\xE9"}, std::string{"\xED\xA0\x80\xF4\x90\x80\x80\xC0\xAF"}, std::string{"a\0b", 3}}) {
    const std::string written = double_quoted(text) + "  # comment";
    EXPECT_TRUE(is_utf8(written));
    EXPECT_EQ(written.find('\n'), std::string::npos);
    std::size_t at = 0;
    EXPECT_EQ(read_double_quoted(written, at), text);
    EXPECT_EQ(written.substr(at), "  # comment");
  }
}

TEST(DoubleQuoted, LeavesReadableTextAsItIs) {
  EXPECT_EQ(double_quoted("cat/#1 北京.png"), "\"cat/#1 北京.png\"");
}

// Lists that were written before line ends had one way of being written, or by hand.
TEST(DoubleQuoted, ReadsWhatEarlierListsHold) {
  std::size_t at = 0;
  EXPECT_EQ(read_double_quoted(R"("a\n\r\t\"\\\xe9\xE9")", at), "a\n\r\t\"\\\xE9\xE9");
}

TEST(DoubleQuoted, RefusesWhatIsNotClosedOrUnknown) {
  for (const char* text : {"", "plain", "\"open", "\"\\q\"", "\"\\x4\"", "\"\\xZZ\"", "\"\\"}) {
    std::size_t at = 0;
    EXPECT_EQ(read_double_quoted(text, at), std::nullopt) << text;
    EXPECT_EQ(at, 0u);
  }
}

TEST(Errors, AreUtf8WhateverTheyName) {
  const DataError error("is no folder", "/data/caf\xE9", "Check \xFF.");
  EXPECT_STREQ(error.what(), "/data/caf\\xE9: is no folder. Check \\xFF.");
  EXPECT_EQ(error.problems().front().where, "/data/caf\\xE9");
}

}  // namespace
}  // namespace deda
