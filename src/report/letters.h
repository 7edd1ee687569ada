// How wide text is, letters and not bytes, and text that has to fit.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace deda::report {

inline bool begins_letter(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
}

// Code points of UTF-8 text.
inline std::size_t count_letters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_letter));
}

// The first `most` letters.
inline std::string_view first_letters(std::string_view text, std::size_t most) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (begins_letter(text[at]) && most-- == 0) return text.substr(0, at);
  }
  return text;
}

inline std::string_view last_letters(std::string_view text, std::size_t most) {
  const std::size_t all = count_letters(text);
  return all <= most ? text : text.substr(first_letters(text, all - most).size());
}

// Cut in the middle where it is too long, since both ends of a name or path tell something: "001.Bl..tross".
inline std::string shortened(std::string_view text, std::size_t most) {
  constexpr std::string_view gap = "..";
  if (count_letters(text) <= most || most <= gap.size()) return std::string{first_letters(text, most)};
  const std::size_t kept = most - gap.size();
  return std::string{first_letters(text, kept - kept / 2)} + std::string{gap} +
         std::string{last_letters(text, kept / 2)};
}

// Filled up with blanks to the right.
inline std::string padded(std::string_view text, std::size_t width) {
  return std::string{text} + std::string(width - std::min(width, count_letters(text)), ' ');
}

// Lines of at most `most` letters, broken at blanks where there are some, else within the word.
inline std::vector<std::string> wrapped(std::string_view text, std::size_t most) {
  std::vector<std::string> lines;
  most = std::max<std::size_t>(most, 1);
  while (count_letters(text) > most) {
    const std::string_view line = first_letters(text, most + 1);
    const std::size_t blank = line.rfind(' ');
    const bool at_blank = blank != std::string_view::npos && blank > 0;
    const std::size_t end = at_blank ? blank : first_letters(text, most).size();
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end + (at_blank ? 1 : 0));
  }
  if (!text.empty() || lines.empty()) lines.emplace_back(text);
  return lines;
}

// The first few names and how many more there are: "a, b, c and 177 more".
inline std::string few_of(const std::vector<std::string>& names, std::size_t most = 5) {
  std::string text;
  const std::size_t shown = names.size() <= most + 1 ? names.size() : most;
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + names[i];
  if (shown < names.size()) text += " and " + std::to_string(names.size() - shown) + " more";
  return text;
}

}  // namespace deda::report
