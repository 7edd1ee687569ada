// The name somebody probably meant: edit distance with neighbouring letters swapped counting once.
#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"

namespace deda {

namespace {

// Upper case and the kind of separator are never what sets two names apart.
std::string folded(std::string_view word) {
  std::string text{word};
  for (char& c : text)
    c = c == '-' || c == ' ' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_previous, previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before_previous[j - 2] + 1);
    }
    before_previous = previous;
    std::swap(previous, current);
  }
  return previous[b.size()];
}

}  // namespace

std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr std::size_t longest_compared = 128, shortest_prefix = 3;
  if (word.empty() || word.size() > longest_compared) return {};
  const std::string wanted = folded(word);
  const std::size_t tolerated = std::max<std::size_t>(1, wanted.size() / 3);
  std::string nearest;
  std::size_t smallest = tolerated + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(wanted, folded(candidate));
    // A word as short as its own distance has nothing in common with the candidate.
    if (distance < smallest && distance < std::max(wanted.size(), candidate.size())) {
      smallest = distance;
      nearest = candidate;
    }
  }
  if (!nearest.empty() || wanted.size() < shortest_prefix) return nearest;
  const auto begins = std::find_if(candidates.begin(), candidates.end(), [&](const std::string& candidate) {
    return folded(candidate).starts_with(wanted);
  });
  return begins == candidates.end() ? std::string{} : *begins;
}

}  // namespace deda
