// A network's config.json (diffusers, transformers), read with every problem kept for one error at the end,
// and written. Unknown keys are ignored: the files carry many that do not change the network; those that
// would, are asked for by expect_...().
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace deda::models {

class JsonConfig {
 public:
  explicit JsonConfig(const std::filesystem::path& file);  // a file that cannot be read is a problem too
  ~JsonConfig();
  JsonConfig(JsonConfig&&) noexcept;
  bool has(const std::string& key) const;
  bool is_null(const std::string& key) const;
  bool is_object(const std::string& key) const;
  // The object under a key, whose problems count as this one's; empty where there is none. Must not outlive
  // it.
  JsonConfig part(const std::string& key);
  std::int64_t integer(const std::string& key, std::int64_t fallback);  // >= 1 unless the fallback is less
  double number(const std::string& key, double fallback);
  bool boolean(const std::string& key, bool fallback);
  std::string text(const std::string& key, const std::string& fallback);  // null counts as the fallback
  std::vector<std::int64_t> integers(const std::string& key, std::vector<std::int64_t> fallback);
  std::vector<double> numbers(const std::string& key, std::vector<double> fallback);
  std::vector<std::string> strings(const std::string& key, std::vector<std::string> fallback);
  // One number for all levels or a list with one for each.
  std::vector<std::int64_t> integer_per_level(const std::string& key, std::int64_t fallback,
                                              std::size_t levels);
  std::int64_t integer_or_first(const std::string& key, std::int64_t fallback);

  // What this program computes; anything else in the file is a problem. An absent key passes.
  void expect_class(const std::string& name);  // `_class_name`: the config of another model is named as such
  void expect_text(const std::string& key, const std::string& value);
  void expect_boolean(const std::string& key, bool value);
  void expect_integer(const std::string& key, std::int64_t value);
  void expect_null(const std::string& key);

  void problem(const std::string& key, const std::string& what, const std::string& hint = {});
  void finish() const;  // DataError with everything found

 private:
  struct State;
  explicit JsonConfig(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A JSON object, keys in the order of calls.
class JsonText {
 public:
  void text(const std::string& key, const std::string& value);
  void integer(const std::string& key, std::int64_t value);
  void number(const std::string& key, double value);
  void boolean(const std::string& key, bool value);
  void integers(const std::string& key, const std::vector<std::int64_t>& values);
  void numbers(const std::string& key, const std::vector<double>& values);
  void texts(const std::string& key, const std::vector<std::string>& values);
  void object(const std::string& key, const JsonText& value);
  std::string str() const;

 private:
  void add(const std::string& key, const std::string& value);
  std::string body_;
};

}  // namespace deda::models
