// The keys that a configuration has, to tell unknown ones and to say what was meant. Internal to src/core.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace deda {

// What a describe() named, section by section.
struct KnownSection {
  std::vector<std::string> fields;
  std::map<std::string, KnownSection> sections;

  std::vector<std::string> names() const;  // fields, then sections
};

// "Did you mean "epochs"?", or "" when no name is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& names);

// For a key that `here` does not have: its nearest name, else the sections under `root` that have such a key,
// else all that is valid here.
std::string unknown_key_hint(const std::string& name, const KnownSection& here, const KnownSection& root);

}  // namespace deda
