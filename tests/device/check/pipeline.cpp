// What a pipeline's output folder holds, in numbers; two of them side by side; accuracies of a comparison of
// methods.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "check.h"
#include "core/error.h"
#include "core/files.h"

namespace deda::check {
namespace {

namespace fs = std::filesystem;
std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells;
  std::stringstream stream(line);
  for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
  return cells;
}

// Loss and accuracy over all pictures of every epoch, from history.csv.
json history_of(const fs::path& file) {
  std::stringstream lines(read_text(file));
  std::string line;
  std::getline(lines, line);
  const auto names = split(line);
  json history{{"loss", json::array()}, {"accuracy", json::array()}};
  while (std::getline(lines, line)) {
    const auto cells = split(line);
    for (std::size_t i = 0; i < std::min(names.size(), cells.size()); ++i) {
      if (names[i] == "loss") history["loss"].push_back(std::stod(cells[i]));
      if (names[i] == "accuracy.all" && !cells[i].empty()) history["accuracy"].push_back(std::stod(cells[i]));
    }
  }
  return history;
}

json summarise(const fs::path& output) {
  json summary{{"stores", json::object()}, {"identifiers", json::array()}, {"training", json::object()}};
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(output)) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  for (const auto& folder : folders) {
    if (fs::exists(folder / "manifest.json")) {
      const auto manifest = read_json(folder / "manifest.json");
      summary["stores"][manifest.at("stage").get<std::string>()] = {{"items", manifest.at("items")},
                                                                    {"records", manifest.at("records")},
                                                                    {"outcomes", manifest.at("outcomes")}};
    }
    if (fs::exists(folder / "identifiers.json")) {
      const auto identifiers = read_json(folder / "identifiers.json");
      for (const auto& each : identifiers.at("classes"))
        summary["identifiers"].push_back({{"outcome", each.at("outcome")},
                                          {"cdps", each.at("cdps")},
                                          {"loss_first", each.at("loss_first")},
                                          {"loss_last", each.at("loss_last")}});
    }
    if (fs::exists(folder / "history.csv")) summary["training"] = history_of(folder / "history.csv");
  }
  return summary;
}

// The CPU's numbers beside the device's: half precision in the UNet, other orders of sums, and from there on
// other draws of nothing: every random number is the same.
constexpr double loss_tolerance = 0.05;       // relative, of identifiers' losses and of the first epoch's
constexpr double last_loss_tolerance = 0.35;  // relative: training amplifies every rounding
constexpr double accuracy_tolerance = 25;     // points, last epoch, of 60 test pictures
constexpr double rejected_tolerance = 0.10;   // share of synthetic CDPs whose verdict may differ

bool judge_near(const std::string& name, double value, double record, double tolerance,
                const std::string& unit) {
  const bool near = std::abs(value - record) <= tolerance;
  print({name, value, unit, fmt::format("CPU {:.4g} +- {:.3g}", record, tolerance), near});
  return near;
}

double at_end(const json& values, bool first) {
  if (values.empty()) return std::nan("");
  return (first ? values.front() : values.back()).get<double>();
}

}  // namespace

Outcome summary(const Arguments& arguments) {
  std::printf("%s\n", summarise(arguments.required(0, "the output folder")).dump(1).c_str());
  return Outcome::passed;
}

Outcome close_to(const Arguments& arguments) {
  const auto record = read_json(arguments.required(0, "the recorded summary"));
  const auto now = summarise(arguments.required(1, "the output folder"));
  const auto prefix = arguments.get("name");
  const auto judge = [&](const std::string& name, double value, double expected, double tolerance,
                         const std::string& unit) {
    return judge_near(prefix + name, value, expected, tolerance, unit);
  };
  bool passed = true;
  for (const auto& [stage, expected] : record.at("stores").items()) {
    const auto found = now["stores"].value(stage, json::object());
    for (const char* key : {"items", "records"}) {
      const double count = found.value(key, -1.0), recorded = expected.at(key).get<double>();
      const bool exact = stage != "generate" || std::string{key} == "items";
      passed = judge(fmt::format("{}: {}", stage, key), count, recorded,
                     exact ? 0 : rejected_tolerance * recorded, "") &&
               passed;
    }
  }
  const auto &before = record.at("identifiers"), &after = now.at("identifiers");
  passed = judge("identifiers: classes", static_cast<double>(after.size()),
                 static_cast<double>(before.size()), 0, "") &&
           passed;
  for (std::size_t i = 0; i < std::min(before.size(), after.size()); ++i) {
    for (const char* key : {"loss_first", "loss_last"}) {
      const double recorded = before[i].at(key).get<double>();
      passed = judge(fmt::format("identifier {}: {}", i, key), after[i].at(key).get<double>(), recorded,
                     loss_tolerance * recorded, "") &&
               passed;
    }
  }
  const auto &trained = now.at("training"), &recorded = record.at("training");
  const double first = at_end(recorded.at("loss"), true), last = at_end(recorded.at("loss"), false);
  passed = judge("training: epochs", static_cast<double>(trained["loss"].size()),
                 static_cast<double>(recorded["loss"].size()), 0, "") &&
           passed;
  const auto loss_within = arguments.has("loss") ? std::stod(arguments.get("loss")) : loss_tolerance;
  passed = judge("training: loss of the first epoch", at_end(trained["loss"], true), first,
                 loss_within * first, "") &&
           passed;
  passed = judge("training: loss of the last epoch", at_end(trained["loss"], false), last,
                 last_loss_tolerance * last, "") &&
           passed;
  passed = judge("training: accuracy of the last epoch", at_end(trained["accuracy"], false),
                 at_end(recorded["accuracy"], false), accuracy_tolerance, "%") &&
           passed;
  return passed ? Outcome::passed : Outcome::failed;
}

Outcome accuracies(const Arguments& arguments) {
  std::map<std::string, std::map<std::int64_t, double>> last;  // method, seed
  std::map<std::string, double> rate;
  for (const auto& entry : fs::directory_iterator(arguments.required(0, "the output folder"))) {
    if (!fs::exists(entry.path() / "results.json")) continue;
    const auto results = read_json(entry.path() / "results.json");
    if (!results.at("finished").get<bool>()) continue;
    const auto method = results.at("method").get<std::string>();
    last[method][results.at("seed").get<std::int64_t>()] =
        results.at("accuracy").at("all").at("last").get<double>();
    rate[method] = std::max(rate[method], results.at("images_per_second").get<double>());
  }
  std::map<std::string, double> means;
  for (const auto& [method, by_seed] : last) {
    double sum = 0, squares = 0;
    for (const auto& [seed, accuracy] : by_seed) {
      print({fmt::format("{}, seed {}", method, seed), accuracy, "% of test pictures"});
      sum += accuracy;
    }
    const auto count = static_cast<double>(by_seed.size());
    means[method] = sum / count;
    for (const auto& [seed, accuracy] : by_seed)
      squares += (accuracy - sum / count) * (accuracy - sum / count);
    const double deviation = count > 1 ? std::sqrt(squares / (count - 1)) : 0;
    print({method,
           fmt::format("{:.1f} +- {:.1f}", sum / count, deviation),
           "%",
           {},
           true,
           fmt::format("mean and standard deviation of {} seeds; {:.0f} pictures a second", by_seed.size(),
                       rate[method])});
  }
  if (means.count("plain") == 0 || means.size() < 2) return Outcome::failed;
  for (const auto& [method, mean] : means) {
    if (method != "plain") print({method + " less plain", mean - means["plain"], "points"});
  }
  return Outcome::passed;
}

}  // namespace deda::check
