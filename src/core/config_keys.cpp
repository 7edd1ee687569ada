#include "core/config_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/config.h"

namespace deda {

namespace {

void find_field(const std::string& name, const KnownSection& known, const std::string& prefix,
                std::vector<std::string>& found) {
  if (std::find(known.fields.begin(), known.fields.end(), name) != known.fields.end())
    found.push_back(prefix + name);
  for (const auto& [key, section] : known.sections) find_field(name, section, prefix + key + '.', found);
}

}  // namespace

std::vector<std::string> KnownSection::names() const {
  std::vector<std::string> all = fields;
  for (const auto& [name, section] : sections) all.push_back(name);
  return all;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const std::string nearest = nearest_name(word, names);
  return nearest.empty() ? std::string{} : fmt::format("Did you mean \"{}\"?", nearest);
}

std::string unknown_key_hint(const std::string& name, const KnownSection& here, const KnownSection& root) {
  if (std::string hint = did_you_mean(name, here.names()); !hint.empty()) return hint;
  std::vector<std::string> elsewhere;
  find_field(name, root, "", elsewhere);
  if (!elsewhere.empty()) return fmt::format("Did you mean {}?", fmt::join(elsewhere, " or "));
  return fmt::format("Valid here: {}.", fmt::join(here.names(), ", "));
}

}  // namespace deda
