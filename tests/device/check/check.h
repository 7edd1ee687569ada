// `device_check`: small checks that tests/device/run.sh starts on a machine with a GPU. One function per
// subcommand.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace deda::check {

using json = nlohmann::ordered_json;  // keeps the order that people read

// Throws DataError where the file is missing, json's own error where it is none.
json read_json(const std::filesystem::path& file);

// What run.sh tells the outcomes apart by.
enum class Outcome : int { passed = 0, failed = 1, wrong_call = 2, no_gpu = 3 };

// "--name value" pairs and what stands alone; `flags` take no value. Throws ConfigError for a name without
// value.
struct Arguments {
  Arguments(const std::vector<std::string>& words, const std::vector<std::string>& flags = {});
  std::vector<std::string> plain;
  std::map<std::string, std::string> named;
  bool has(const std::string& name) const { return named.count(name) != 0; }
  std::string get(const std::string& name, const std::string& otherwise = {}) const;
  // The n-th word that stands alone; ConfigError saying that `what` is missing.
  std::string required(std::size_t index, const std::string& what) const;
};

// A measured number on standard output: one JSON object a line, as {"figure", "value", "unit", ...}.
struct Figure {
  std::string name;
  json value;
  std::string unit = {};
  std::string goal = {};  // what `passed` was decided by, for people
  bool passed = true;
  std::string note = {};
};
void print(const Figure& figure);

// Largest distance from `expected`, relative to its norm and in absolute terms.
struct Distance {
  double relative = 0;  // ||a - b|| / ||b||
  double largest = 0;   // max |a - b|
};

Outcome nccl(const Arguments& arguments);
Outcome networks(const Arguments& arguments);
Outcome compare(const Arguments& arguments);
Outcome same(const Arguments& arguments);
Outcome summary(const Arguments& arguments);
Outcome close_to(const Arguments& arguments);
Outcome accuracies(const Arguments& arguments);
Outcome gpu(const Arguments& arguments);
Outcome pictures(const Arguments& arguments);
Outcome part(const Arguments& arguments);
Outcome table(const Arguments& arguments);

}  // namespace deda::check
