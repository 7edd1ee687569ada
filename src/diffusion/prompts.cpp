#include "diffusion/prompts.h"

#include <fmt/format.h>

#include <array>

namespace deda::diffusion {
namespace {

std::vector<std::string> object_templates() {
  std::vector<std::string> list;
  const auto add = [&](const std::string& noun, const std::string& link,
                       std::initializer_list<const char*> words) {
    for (const std::string word : words)
      list.push_back(noun + " " + link + " " + (word.empty() ? "" : word + " ") + "{}");
  };
  add("a photo", "of a", {"", "clean", "dirty", "nice", "cool", "small"});
  add("a photo", "of the", {"", "cool", "clean", "nice", "small", "weird", "large"});
  list.insert(list.end(), {"a photo of my {}", "a photo of one {}"});
  add("the photo", "of a", {""});
  add("a rendering", "of a", {""});
  for (const std::string noun : {"a rendition", "a cropped photo", "a close-up photo", "a good photo"}) {
    add(noun, "of a", {""});
    add(noun, "of the", {""});
  }
  add("a bright photo", "of the", {""});
  add("a dark photo", "of the", {""});
  return list;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

}  // namespace

const std::vector<std::string>& prompt_templates(TemplateSet set) {
  static const std::vector<std::string> objects = object_templates();
  static const std::vector<std::string> photo{"a photo of a {}"};
  return set == TemplateSet::objects ? objects : photo;
}

std::string fill_template(const std::string& text, const std::string& name) {
  return replaced(replaced(text, "{token}", name), "{}", name);
}

std::string placeholder_of_class(std::size_t class_id) {
  return fmt::format("<class-{:04}>", class_id);
}

}  // namespace deda::diffusion
