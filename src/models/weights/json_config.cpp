#include "models/weights/json_config.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"

namespace deda::models {
namespace {

using Json = nlohmann::json;
constexpr std::uint64_t most_bytes = 4u << 20;  // no configuration is larger
constexpr std::int64_t largest_integer = 1'000'000;

std::string quoted(const std::string& text) {
  return Json(text).dump();
}

}  // namespace

struct JsonConfig::State {
  std::filesystem::path file;
  std::string prefix;  // of keys in errors: "vision_config." inside of that object
  Json json = Json::object();
  std::vector<Problem> own;
  std::vector<Problem>* problems = &own;  // a part's are its parent's
};

JsonConfig::JsonConfig(const std::filesystem::path& file) : state_{std::make_unique<State>()} {
  state_->file = file;
  try {
    state_->json = Json::parse(read_text(file, most_bytes));
    if (!state_->json.is_object()) throw DataError("is no JSON object", file.string());
  } catch (const Error& error) {
    state_->json = Json::object();
    for (const auto& each : error.problems()) state_->own.push_back(each);
  } catch (const Json::exception& error) {
    state_->own.push_back({"is not JSON: " + std::string{error.what()}, file.string(), {}});
  }
}

JsonConfig::JsonConfig(std::unique_ptr<State> state) : state_{std::move(state)} {}
JsonConfig::~JsonConfig() = default;
JsonConfig::JsonConfig(JsonConfig&&) noexcept = default;

JsonConfig JsonConfig::part(const std::string& key) {
  auto inner = std::make_unique<State>();
  inner->file = state_->file;
  inner->prefix = state_->prefix + key + ".";
  inner->problems = state_->problems;
  if (has(key) && !is_null(key)) {
    if (state_->json[key].is_object())
      inner->json = state_->json[key];
    else
      problem(key, "must be an object");
  }
  return JsonConfig(std::move(inner));
}

bool JsonConfig::has(const std::string& key) const {
  return state_->json.contains(key);
}
bool JsonConfig::is_null(const std::string& key) const {
  return has(key) && state_->json[key].is_null();
}
bool JsonConfig::is_object(const std::string& key) const {
  return has(key) && state_->json[key].is_object();
}

void JsonConfig::problem(const std::string& key, const std::string& what, const std::string& hint) {
  state_->problems->push_back({what, state_->file.string() + ": " + state_->prefix + key, hint});
}

std::int64_t JsonConfig::integer(const std::string& key, std::int64_t fallback) {
  if (!has(key) || is_null(key)) return fallback;
  const auto& value = state_->json[key];
  const std::int64_t least = std::min<std::int64_t>(1, fallback);
  if (!value.is_number_integer() || value.get<std::int64_t>() < least ||
      value.get<std::int64_t>() > largest_integer) {
    problem(key, "must be a whole number of at least " + std::to_string(least) + ", is " + value.dump());
    return fallback;
  }
  return value.get<std::int64_t>();
}

double JsonConfig::number(const std::string& key, double fallback) {
  if (!has(key) || is_null(key)) return fallback;
  if (!state_->json[key].is_number()) {
    problem(key, "must be a number, is " + state_->json[key].dump());
    return fallback;
  }
  return state_->json[key].get<double>();
}

bool JsonConfig::boolean(const std::string& key, bool fallback) {
  if (!has(key) || is_null(key)) return fallback;
  if (!state_->json[key].is_boolean()) {
    problem(key, "must be true or false, is " + state_->json[key].dump());
    return fallback;
  }
  return state_->json[key].get<bool>();
}

std::string JsonConfig::text(const std::string& key, const std::string& fallback) {
  if (!has(key) || is_null(key)) return fallback;
  if (!state_->json[key].is_string()) {
    problem(key, "must be a text, is " + state_->json[key].dump());
    return fallback;
  }
  return state_->json[key].get<std::string>();
}

std::vector<std::int64_t> JsonConfig::integers(const std::string& key, std::vector<std::int64_t> fallback) {
  if (!has(key) || is_null(key)) return fallback;
  std::vector<std::int64_t> values;
  const auto& list = state_->json[key];
  bool good = list.is_array() && !list.empty();
  for (const auto& each : list) {
    good = good && each.is_number_integer() && each.get<std::int64_t>() >= 1 &&
           each.get<std::int64_t>() <= largest_integer;
    if (good) values.push_back(each.get<std::int64_t>());
  }
  if (good) return values;
  problem(key, "must be a list of whole numbers of at least 1, is " + list.dump());
  return fallback;
}

std::vector<double> JsonConfig::numbers(const std::string& key, std::vector<double> fallback) {
  if (!has(key) || is_null(key)) return fallback;
  std::vector<double> values;
  const auto& list = state_->json[key];
  bool good = list.is_array();
  for (const auto& each : list) {
    good = good && each.is_number();
    if (good) values.push_back(each.get<double>());
  }
  if (good) return values;
  problem(key, "must be a list of numbers, is " + list.dump());
  return fallback;
}

std::vector<std::string> JsonConfig::strings(const std::string& key, std::vector<std::string> fallback) {
  if (!has(key) || is_null(key)) return fallback;
  std::vector<std::string> values;
  const auto& list = state_->json[key];
  bool good = list.is_array();
  for (const auto& each : list) {
    good = good && each.is_string();
    if (good) values.push_back(each.get<std::string>());
  }
  if (good) return values;
  problem(key, "must be a list of texts, is " + list.dump());
  return fallback;
}

std::vector<std::int64_t> JsonConfig::integer_per_level(const std::string& key, std::int64_t fallback,
                                                        std::size_t levels) {
  if (has(key) && state_->json[key].is_array()) {
    auto values = integers(key, std::vector<std::int64_t>(levels, fallback));
    if (values.size() != levels)
      problem(key, "must have " + std::to_string(levels) + " entries, one per block");
    values.resize(levels, fallback);
    return values;
  }
  return std::vector<std::int64_t>(levels, integer(key, fallback));
}

std::int64_t JsonConfig::integer_or_first(const std::string& key, std::int64_t fallback) {
  if (has(key) && state_->json[key].is_array()) return integers(key, {fallback}).front();
  return integer(key, fallback);
}

void JsonConfig::expect_class(const std::string& name) {
  const auto found = text("_class_name", name);
  if (found != name)
    problem("_class_name", "this is the configuration of " + found + ", not of " + name,
            "Check which folder holds which part of the model.");
}

void JsonConfig::expect_text(const std::string& key, const std::string& value) {
  if (const auto found = text(key, value); found != value)
    problem(key, quoted(found) + " is not supported", "Supported: " + quoted(value) + ".");
}

void JsonConfig::expect_boolean(const std::string& key, bool value) {
  if (boolean(key, value) != value) problem(key, std::string{value ? "false" : "true"} + " is not supported");
}

void JsonConfig::expect_integer(const std::string& key, std::int64_t value) {
  if (!has(key) || is_null(key)) return;
  if (!state_->json[key].is_number() || state_->json[key].get<double>() != static_cast<double>(value))
    problem(key, state_->json[key].dump() + " is not supported", "Supported: " + std::to_string(value) + ".");
}

void JsonConfig::expect_null(const std::string& key) {
  if (has(key) && !is_null(key))
    problem(key, state_->json[key].dump() + " is not supported", "Supported: null.");
}

void JsonConfig::finish() const {
  if (!state_->problems->empty()) throw DataError(*state_->problems);
}

void JsonText::add(const std::string& key, const std::string& value) {
  body_ += (body_.empty() ? "  " : ",\n  ") + quoted(key) + ": " + value;
}
void JsonText::text(const std::string& key, const std::string& value) {
  add(key, quoted(value));
}
void JsonText::integer(const std::string& key, std::int64_t value) {
  add(key, std::to_string(value));
}
void JsonText::number(const std::string& key, double value) {
  add(key, Json(value).dump());
}
void JsonText::boolean(const std::string& key, bool value) {
  add(key, value ? "true" : "false");
}
void JsonText::integers(const std::string& key, const std::vector<std::int64_t>& values) {
  add(key, Json(values).dump());
}
void JsonText::numbers(const std::string& key, const std::vector<double>& values) {
  add(key, Json(values).dump());
}
void JsonText::texts(const std::string& key, const std::vector<std::string>& values) {
  add(key, Json(values).dump());
}
void JsonText::object(const std::string& key, const JsonText& value) {
  std::string indented;  // a level deeper; no text holds a line break of its own, they are escaped
  for (const char c : value.body_) indented += c == '\n' ? std::string{"\n  "} : std::string{c};
  add(key, "{\n  " + indented + "\n  }");
}
std::string JsonText::str() const {
  return "{\n" + body_ + "\n}\n";
}

}  // namespace deda::models
