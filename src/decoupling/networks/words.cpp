#include "decoupling/networks/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "core/config.h"
#include "core/error.h"

namespace deda::decoupling {

namespace {

constexpr std::size_t most_listed = 20;

std::string lower(std::string text) {
  for (char& c : text) c = c == '_' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool has_word(const std::string& text) {
  // Bytes of other alphabets are beyond 127 and count as letters.
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) != 0 || c > 127; });
}

// Lower case, dots between and after the phrases: without the last one the final phrase would lose its mask.
std::string as_prompt(const std::string& text) {
  std::string prompt = lower(text);
  while (!prompt.empty() && (prompt.back() == ' ' || prompt.back() == '.')) prompt.pop_back();
  return prompt + ".";
}

std::string replaced(std::string text, const std::string& mark, const std::string& by) {
  for (std::size_t place = 0; (place = text.find(mark, place)) != std::string::npos; place += by.size())
    text.replace(place, mark.size(), by);
  return text;
}

std::string joined_subjects(const std::vector<std::string>& subjects) {
  return fmt::format("{}", fmt::join(subjects, ". "));
}

// Other words for what Pascal calls otherwise.
const std::map<std::string, std::string>& synonyms() {
  static const std::map<std::string, std::string> words = {{"aircraft", "aeroplane"},
                                                           {"airplane", "aeroplane"},
                                                           {"plane", "aeroplane"},
                                                           {"automobile", "car"},
                                                           {"bike", "bicycle"},
                                                           {"motorcycle", "motorbike"},
                                                           {"couch", "sofa"},
                                                           {"tv", "tvmonitor"},
                                                           {"potted plant", "pottedplant"},
                                                           {"dining table", "diningtable"},
                                                           {"people", "person"}};
  return words;
}

int class_named(const std::string& word, const std::vector<std::string>& labels) {
  for (const std::string& name :
       {lower(word), synonyms().count(lower(word)) ? synonyms().at(lower(word)) : lower(word)}) {
    for (std::size_t i = 1; i < labels.size(); ++i) {  // 0 is the background
      if (lower(labels[i]) == name) return static_cast<int>(i);
    }
  }
  return -1;
}

}  // namespace

std::vector<std::string> prompts_by_class(const DecoupleConfig& config, const data::Dataset& dataset) {
  std::string pattern = config.prompt;
  if (pattern.empty()) pattern = dataset.subjects.empty() ? "{label}" : joined_subjects(dataset.subjects);
  std::vector<std::string> prompts;
  std::vector<Problem> problems;
  for (const std::string& name : dataset.class_names) {
    const std::string prompt = replaced(pattern, "{label}", name);
    if (!has_word(prompt) && problems.size() < most_listed)
      problems.push_back({fmt::format("the prompt \"{}\" for class \"{}\" has no word", prompt, name),
                          "decouple.prompt", "Say in a word what the pictures show, e.g. \"bird\"."});
    prompts.push_back(as_prompt(prompt));
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return prompts;
}

std::vector<std::vector<std::uint8_t>> semantic_by_class(const DecoupleConfig& config,
                                                         const data::Dataset& dataset,
                                                         const std::vector<std::string>& network_labels) {
  std::vector<Problem> problems;
  const auto indices_of = [&](const std::vector<std::string>& words, const std::string& place) {
    std::vector<std::uint8_t> indices;
    for (const std::string& word : words) {
      const int index = class_named(word, network_labels);
      if (index >= 0) {
        indices.push_back(static_cast<std::uint8_t>(index));
        continue;
      }
      if (problems.size() == most_listed) continue;
      const std::string near = nearest_name(lower(word), network_labels);
      problems.push_back({fmt::format("\"{}\" is no class of the network", word), place,
                          near.empty() ? fmt::format("It knows {}.", fmt::join(network_labels, ", "))
                                       : fmt::format("Did you mean \"{}\"?", near)});
    }
    return indices;
  };
  std::vector<std::vector<std::uint8_t>> classes;
  if (!config.semantic_classes.empty()) {
    classes.assign(dataset.class_names.size(),
                   indices_of(config.semantic_classes, "decouple.semantic_classes"));
  } else if (!dataset.subjects.empty()) {
    classes.assign(dataset.class_names.size(), indices_of(dataset.subjects, "dataset " + dataset.name));
  } else {
    for (const std::string& name : dataset.class_names)
      classes.push_back(indices_of({name}, "class of the dataset; set decouple.semantic_classes"));
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return classes;
}

}  // namespace deda::decoupling
