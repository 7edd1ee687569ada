#include "core/events.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <mutex>
#include <nlohmann/json.hpp>

#include "core/escaped_name.h"
#include "core/files.h"
#include "core/posix_file.h"

namespace deda {

struct EventLog::State {
  std::mutex mutex;
  fs::path path;
  posix::FileDescriptor file;
  int rank = 0;
  std::string stage;
};

namespace {

using Json = nlohmann::ordered_json;

// JSON has no NaN and no infinities; as text they are seen rather than lost.
Json to_json(const EventValue& value) {
  return std::visit(
      [](const auto& alternative) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(alternative)>, double>) {
          if (!std::isfinite(alternative)) return fmt::format("{}", alternative);
        }
        if constexpr (std::is_same_v<std::decay_t<decltype(alternative)>, std::string>) {
          return readable(alternative);
        }
        return alternative;
      },
      value);
}

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

EventLog::EventLog(const std::filesystem::path& folder, int rank, std::string stage)
    : state_{std::make_shared<State>()} {
  make_folder(folder);
  state_->path = folder / fmt::format("events-{}.jsonl", rank);
  state_->rank = rank;
  state_->stage = std::move(stage);
  state_->file = posix::open_file(state_->path, O_RDWR | O_CREAT | O_APPEND);
  if (posix::ends_without_newline(state_->file)) posix::write_all(state_->file, "\n", state_->path);
}

void EventLog::write(std::int64_t step, std::string_view name, EventValue value,
                     std::initializer_list<std::pair<std::string_view, EventValue>> more) {
  if (!state_) return;
  Json line = {{"time", unix_seconds()}, {"rank", state_->rank}, {"stage", state_->stage},
               {"step", step},           {"name", name},         {"value", to_json(value)}};
  for (const auto& [key, further] : more) line[std::string{key}] = to_json(further);
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
  const std::lock_guard lock{state_->mutex};
  posix::write_all(state_->file, text, state_->path);
}

}  // namespace deda
