// events-<rank>.jsonl: one JSON line per event and rank {"time", "rank", "stage", "step", "name", "value",
// ...}. Machines read these; schema in src/io/README.md.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace deda {

using EventValue = std::variant<bool, std::int64_t, double, std::string>;

class EventLog {
 public:
  EventLog() = default;  // silent
  EventLog(const std::filesystem::path& folder, int rank,
           std::string stage);  // appends to folder/events-<rank>.jsonl
  // Thread-safe. Each call is one O_APPEND write; a torn last line of a killed run is closed before the next
  // append.
  void write(std::int64_t step, std::string_view name, EventValue value,
             std::initializer_list<std::pair<std::string_view, EventValue>> more = {});

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace deda
