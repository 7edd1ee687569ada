#include "mixing/settings.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "mixing/method.h"

namespace deda::mixing {

Settings::Settings(const Method& method) : method_{&method} {
  for (const auto& key : method.facts().keys) values_.push_back(key.standard);
}

std::size_t Settings::place_of(std::string_view key) const {
  const auto& keys = method_->facts().keys;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].name == key) return i;
  }
  throw std::logic_error(fmt::format("{} has no setting {}", method_->facts().name, key));
}

double Settings::operator[](std::string_view key) const {
  return values_[place_of(key)];
}
std::int64_t Settings::whole(std::string_view key) const {
  return std::llround((*this)[key]);
}
bool Settings::has(std::string_view key) const {
  for (const auto& each : method_->facts().keys) {
    if (each.name == key) return true;
  }
  return false;
}
void Settings::set(std::string_view key, double value) {
  values_[place_of(key)] = value;
}

void Settings::describe(ConfigVisitor& visitor) {
  const auto& keys = method_->facts().keys;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Field field{.key = keys[i].name, .help = keys[i].help, .min = keys[i].min, .max = keys[i].max};
    switch (keys[i].kind) {
      case Key::Kind::real:
        visitor.field(field, values_[i]);
        break;
      case Key::Kind::whole: {
        auto value = std::llround(values_[i]);
        std::int64_t whole = value;
        visitor.field(field, whole);
        values_[i] = static_cast<double>(whole);
        break;
      }
      case Key::Kind::flag: {
        bool flag = values_[i] != 0;
        visitor.field({.key = field.key, .help = field.help}, flag);
        values_[i] = flag ? 1 : 0;
        break;
      }
    }
  }
}

MixingConfig::MixingConfig() {
  for (const auto* method : mixing::methods()) methods.emplace_back(*method);
}

void MixingConfig::describe_sections(ConfigVisitor& visitor) {
  for (auto& settings : methods)
    visitor.section(settings.method().facts().name, settings.method().facts().help, settings);
}

}  // namespace deda::mixing
