#include "study/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/files.h"
#include "core/posix_file.h"

namespace deda::study {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::pair<Outcome, std::string_view> outcome_names[] = {{Outcome::done, "done"},
                                                                  {Outcome::stopped, "stopped"},
                                                                  {Outcome::held, "held"},
                                                                  {Outcome::lost, "lost"},
                                                                  {Outcome::failed, "failed"}};

Json event(const char* name, const Attempt& attempt) {
  return {{"event", name}, {"item", attempt.item}, {"attempt", attempt.number}};
}

// From `offset` to the end, whole lines only: the last one may be on its way.
std::string read_from(const fs::path& file, std::uint64_t offset) {
  const auto descriptor = posix::open_file(file, O_RDONLY);
  std::string text;
  constexpr std::size_t piece = 1 << 16;
  for (;;) {
    const std::size_t before = text.size();
    text.resize(before + piece);
    const ssize_t count =
        ::pread(descriptor.get(), text.data() + before, piece, static_cast<off_t>(offset + before));
    text.resize(before + (count > 0 ? static_cast<std::size_t>(count) : 0));
    if (count <= 0) break;
  }
  const auto last = text.rfind('\n');
  text.resize(last == std::string::npos ? 0 : last + 1);
  return text;
}

}  // namespace

std::string_view name_of(Outcome outcome) {
  for (const auto& [each, name] : outcome_names) {
    if (each == outcome) return name;
  }
  return "";
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

LedgerWriter::LedgerWriter(const fs::path& study_folder, std::string study, std::string driver)
    : file_{study_folder / "ledger" / (driver + ".jsonl")},
      study_{std::move(study)},
      driver_{std::move(driver)} {
  make_folder(file_.parent_path());
  append_line(
      file_,
      Json{{"event", "driver"}, {"study", study_}, {"driver", driver_}, {"time", seconds_since_1970()}}
          .dump(),
      true);
  sync_path(file_.parent_path());
}

void LedgerWriter::started(const Attempt& attempt) {
  Json json = event("started", attempt);
  json["study"] = study_;
  json["driver"] = driver_;
  json["time"] = attempt.started;
  json["slots"] = attempt.slot_numbers;
  json["node"] = attempt.node;
  json["device"] = attempt.device;
  json["log"] = attempt.log;
  json["work_before"] = attempt.work_before;
  append_line(file_, json.dump(-1, ' ', false, Json::error_handler_t::replace), true);
}

void LedgerWriter::ended(const Attempt& attempt) {
  Json json = event("ended", attempt);
  json["study"] = study_;
  json["driver"] = driver_;
  json["time"] = attempt.ended;
  json["outcome"] = name_of(attempt.outcome.value_or(Outcome::lost));
  json["exit_code"] = attempt.exit_code;
  json["signal"] = attempt.signal;
  json["message"] = readable(attempt.message);
  json["work_after"] = attempt.work_after;
  json["final"] = attempt.final;
  append_line(file_, json.dump(-1, ' ', false, Json::error_handler_t::replace), true);
}

void LedgerWriter::forgiven(const std::string& item, std::int64_t number) {
  append_line(
      file_,
      Json{{"event", "forgiven"}, {"item", item}, {"attempt", number}, {"time", seconds_since_1970()}}.dump(),
      true);
}

LedgerReader::LedgerReader(fs::path output) : output_{std::move(output)} {}

void LedgerReader::refresh() {
  std::error_code error;
  std::vector<fs::path> files;
  for (const auto& study : fs::directory_iterator(output_, error)) {
    if (!study.path().filename().string().starts_with("study-")) continue;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(study.path() / "ledger", none)) {
      if (entry.path().extension() == ".jsonl") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) read(file);
}

void LedgerReader::read(const fs::path& file) {
  Place& place = places_[file.string()];
  std::string text;
  try {
    text = read_from(file, place.bytes);
  } catch (const IoError&) {
    return;  // another user's, or gone: what it would say is seen when it can be read
  }
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    ++place.lines;
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.empty()) continue;
    try {
      take(line);
    } catch (const nlohmann::json::exception& problem) {
      damaged_.push_back(fmt::format("{}:{}: {}", file.string(), place.lines, problem.what()));
    }
  }
  place.bytes += text.size();
}

void LedgerReader::take(const std::string& line) {
  const auto json = Json::parse(line);
  const auto kind = json.at("event").get<std::string>();
  if (kind == "driver") return;
  const auto item = json.at("item").get<std::string>();
  const auto number = json.at("attempt").get<std::int64_t>();
  if (kind == "forgiven") {
    auto& known = forgiven_[item];
    known = std::max(known, number);
    return;
  }
  Attempt& attempt = attempts_[item][number];
  attempt.item = item;
  attempt.number = number;
  attempt.study = json.at("study").get<std::string>();
  attempt.driver = json.at("driver").get<std::string>();
  if (kind == "started") {
    attempt.started = json.at("time").get<double>();
    attempt.slot_numbers = json.at("slots").get<std::vector<std::int64_t>>();
    attempt.slots = static_cast<std::int64_t>(attempt.slot_numbers.size());
    attempt.node = json.at("node").get<std::string>();
    attempt.device = json.at("device").get<std::string>();
    attempt.log = json.at("log").get<std::string>();
    attempt.work_before = json.at("work_before").get<double>();
  } else if (kind == "ended") {
    attempt.ended = json.at("time").get<double>();
    const auto name = json.at("outcome").get<std::string>();
    attempt.outcome = Outcome::lost;
    for (const auto& [each, known] : outcome_names) {
      if (known == name) attempt.outcome = each;
    }
    attempt.exit_code = json.at("exit_code").get<int>();
    attempt.signal = json.at("signal").get<int>();
    attempt.message = json.at("message").get<std::string>();
    attempt.work_after = json.at("work_after").get<double>();
    attempt.final = json.at("final").get<bool>();
  }
}

std::int64_t LedgerReader::forgiven(const std::string& item) const {
  const auto found = forgiven_.find(item);
  return found == forgiven_.end() ? 0 : found->second;
}

}  // namespace deda::study
