// Names with any bytes: shown on one line, and written so that the same bytes are read back.
#include "core/quoted_text.h"

#include <gtest/gtest.h>

namespace deda {
namespace {

TEST(QuotedText, ReadsBackEveryByte) {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  for (const std::string& text :
       {all, std::string{}, std::string{"ünï çödé 北京.png"}, std::string{"\xE9\xFF\xC3"},
        std::string{"\xED\xA0\x80\xF4\x90\x80\x80\xC0\xAF"}, std::string{"a\0b", 3}}) {
    const std::string written = double_quoted(text) + "  # comment";
    EXPECT_EQ(written.find('\n'), std::string::npos);
    std::size_t at = 0;
    EXPECT_EQ(read_double_quoted(written, at), text);
    EXPECT_EQ(written.substr(at), "  # comment");
  }
}

TEST(QuotedText, LeavesReadableTextAsItIs) {
  EXPECT_EQ(double_quoted("cat/#1 北京.png"), "\"cat/#1 北京.png\"");
  EXPECT_EQ(shown("cat/\"1\" \\ 北京.png"), "cat/\"1\" \\ 北京.png");
  EXPECT_EQ(shown("new\nline \x1B[31m \xE9"), "new\\nline \\x1B[31m \\xE9");
}

TEST(QuotedText, RefusesWhatIsNotClosedOrUnknown) {
  for (const char* text : {"", "plain", "\"open", "\"\\q\"", "\"\\x4\"", "\"\\xZZ\"", "\"\\"}) {
    std::size_t at = 0;
    EXPECT_EQ(read_double_quoted(text, at), std::nullopt) << text;
    EXPECT_EQ(at, 0u);
  }
}

TEST(QuotedText, NamesTheFirstOfMany) {
  EXPECT_EQ(some_of({"a", "b\n"}), "a, b\\n");
  EXPECT_EQ(some_of({"a", "b", "c"}, 2), "a, b, ...");
}

}  // namespace
}  // namespace deda
