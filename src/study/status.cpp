#include "study/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/files.h"
#include "pipeline/state.h"
#include "study/claims.h"
#include "study/measure.h"
#include "study/policy.h"
#include "study/schedule.h"

namespace deda::study {
namespace {

namespace fs = std::filesystem;
using pipeline::Progress;

enum class Stand : std::uint8_t { waiting, stopped, running, done, failed, blocked };

std::string duration_text(double seconds) {
  constexpr double minute = 60, hour = 3600, day = 24 * hour;
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  if (seconds < 90 * minute) return fmt::format("{:.0f} min", seconds / minute);
  if (seconds < 2 * day) return fmt::format("{:.1f} h", seconds / hour);
  return fmt::format("{:.1f} days", seconds / day);
}

// Pictures a second of a training that has finished an epoch.
double rate_in(const fs::path& folder) {
  try {
    const auto json = nlohmann::json::parse(read_text(folder / "results.json"), nullptr, false);
    return json.is_object() ? json.value("images_per_second", 0.0) : 0.0;
  } catch (const Error&) {
    return 0;
  }
}

struct ItemStand {
  Stand stand = Stand::waiting;
  std::string message, log;
  std::int64_t tries = 0;
  const Attempt* current = nullptr;  // of running ones, where a ledger tells
  pipeline::NodeState state;
};

class Looker {
 public:
  Looker(const StudyPlan& plan, Machine machine, std::int64_t slots)
      : plan_{plan},
        asked_slots_{slots},
        claims_{plan.output},
        reader_{plan.output},
        watch_{plan.output},
        costs_{plan, machine, read_measured(plan.folder())},
        guesses_{plan, machine} {
    status_.name = plan.study.name;
    claims_.refresh();
    reader_.refresh();
    costs_.learn(reader_.attempts());
  }

  StudyStatus look() {
    for (std::size_t i = 0; i < plan_.items.size(); ++i) items_.push_back(stand_of(i));
    block();
    count();
    list_drivers();
    measure();
    predict();
    for (const auto& line : reader_.damaged())
      status_.notes.push_back("a line of a ledger is no event and is passed over: " + line);
    return std::move(status_);
  }

 private:
  ItemStand stand_of(std::size_t i) {
    const Item& item = plan_.items[i];
    ItemStand stand;
    const auto found = reader_.attempts().find(item.name);
    std::vector<KnownAttempt> attempts;
    const std::int64_t latest = claims_.latest(item.name);
    for (std::int64_t number = reader_.forgiven(item.name) + 1; number <= latest; ++number) {
      KnownAttempt each;
      each.attempt.item = item.name;
      each.attempt.number = number;
      if (found != reader_.attempts().end()) {
        if (const auto known = found->second.find(number); known != found->second.end())
          each.attempt = known->second;
      }
      if (!each.attempt.outcome) {
        const auto claim = claims_.read(item.name, number);
        each.driver_is_dead = claim && watch_.is_dead(claim->study, claim->driver);
      }
      attempts.push_back(std::move(each));
    }
    stand.state = pipeline::state_of(item.node);
    stand.tries = static_cast<std::int64_t>(attempts.size());
    if (stand.state.progress == Progress::done) {
      stand.stand = Stand::done;
      return stand;
    }
    const auto verdict = judge(attempts);
    if (verdict.kind == Verdict::Kind::running || stand.state.progress == Progress::held) {
      stand.stand = Stand::running;
      if (found != reader_.attempts().end()) {
        if (const auto known = found->second.find(latest); known != found->second.end())
          stand.current = &known->second;
      }
    } else if (verdict.kind == Verdict::Kind::failed) {
      stand.stand = Stand::failed;
      stand.message = verdict.message;
      stand.log = attempts.back().attempt.log;
    } else if (stand.state.progress == Progress::conflict || stand.state.progress == Progress::damaged) {
      stand.stand = Stand::failed;
      stand.message = stand.state.detail;
    } else if (latest > 0) {
      stand.stand = Stand::stopped;
    }
    return stand;
  }

  void block() {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].stand != Stand::waiting && items_[i].stand != Stand::stopped) continue;
      for (const std::size_t needed : plan_.items[i].node.needs) {
        const auto& needs = items_[needed];
        if (needs.stand == Stand::failed || needs.stand == Stand::blocked) {
          items_[i].stand = Stand::blocked;
          items_[i].message =
              needs.stand == Stand::failed
                  ? fmt::format("needs {}, which failed: {}", plan_.items[needed].name, needs.message)
                  : needs.message;
        }
      }
    }
  }

  void count() {
    status_.items = static_cast<std::int64_t>(items_.size());
    const double now = seconds_since_1970();
    left_.assign(items_.size(), 0);
    for (const pipeline::Stage stage : pipeline::all_stages) {
      StageCount sum;
      sum.stage = pipeline::name_of(stage);
      auto weakest = Prediction::Source::measured;
      for (std::size_t i = 0; i < items_.size(); ++i) {
        const Item& item = plan_.items[i];
        if (item.node.stage != stage) continue;
        const auto prediction = costs_.of(item);
        const double left = prediction.seconds * (1 - items_[i].state.share);
        ++sum.items;
        sum.seconds_in_all += prediction.seconds;
        switch (items_[i].stand) {
          case Stand::done:
            ++sum.done;
            ++status_.done;
            continue;  // its prediction matters no more
          case Stand::running: {
            ++sum.running;
            RunningItem running{
                .item = item.name, .title = item.title, .node = {}, .device = {}, .detail = {}};
            if (const Attempt* attempt = items_[i].current) {
              running.node = attempt->node;
              running.device = attempt->device;
              running.since_s = now - attempt->started;
              const double slots = static_cast<double>(std::max<std::int64_t>(1, attempt->slots));
              running.left_s = left_of(prediction, *attempt, items_[i].state.share, running.since_s);
              left_[i] = running.left_s * slots;
            } else {
              running.left_s = left_[i] = left;
            }
            const auto detail = items_[i].state.detail;
            running.detail = detail.starts_with("process") ? std::string{} : detail;
            if (stage == pipeline::Stage::train) {
              running.rate = rate_in(item.node.folder);
              running.detail = epochs_in(item.node.folder);
            }
            sum.seconds_left += left_[i];
            status_.running.push_back(std::move(running));
            break;
          }
          case Stand::waiting:
            ++sum.waiting;
            left_[i] = left;
            sum.seconds_left += left;
            break;
          case Stand::stopped:
            ++sum.stopped;
            left_[i] = left;
            sum.seconds_left += left;
            break;
          case Stand::failed:
            ++sum.failed;
            status_.failed.push_back(
                {item.name, item.title, items_[i].message, items_[i].log, items_[i].tries});
            continue;
          case Stand::blocked:
            ++sum.blocked;
            status_.blocked.push_back(fmt::format("{} ({}): {}", item.name, item.title, items_[i].message));
            continue;
        }
        weakest = std::max(weakest, prediction.source);
      }
      if (sum.items == 0) continue;
      sum.source = weakest == Prediction::Source::measured     ? "measured"
                   : weakest == Prediction::Source::short_runs ? "short runs"
                   : weakest == Prediction::Source::scaled     ? "scaled"
                                                               : "guess";
      status_.stages.push_back(std::move(sum));
    }
  }

  // Wall seconds that a running item still takes. Where nothing of its kind has ended here, what it has done
  // itself says more than a guess, as soon as it is more than a first impression.
  static double left_of(const Prediction& prediction, const Attempt& attempt, double share, double since) {
    constexpr double first_impression = 0.15;
    const double done = share - attempt.work_before;
    if (prediction.source > Prediction::Source::short_runs && done >= first_impression)
      return since / done * (1 - share);
    const double here = prediction.seconds * (1 - attempt.work_before) /
                        static_cast<double>(std::max<std::int64_t>(1, attempt.slots));
    return std::max(0.0, here - since);
  }

  static std::string epochs_in(const fs::path& folder) {
    try {
      const auto json = nlohmann::json::parse(read_text(folder / "results.json"), nullptr, false);
      if (json.is_object())
        return fmt::format("{} of {} epochs", json.value("epochs_done", 0), json.value("epochs", 0));
    } catch (const Error&) {  // before its first epoch
    }
    return {};
  }

  void list_drivers() {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(plan_.folder() / "drivers", error)) {
      if (entry.path().extension() != ".json") continue;
      try {
        const auto driver = driver_identity_from(read_text(entry.path()), entry.path().string());
        status_.drivers.push_back({driver.id, driver.host, driver.user, driver.job, driver.slots,
                                   !watch_.is_dead(plan_.study.name, driver)});
      } catch (const Error&) {  // half a file of another version
      }
    }
    std::sort(status_.drivers.begin(), status_.drivers.end(),
              [](const DriverState& a, const DriverState& b) { return a.id < b.id; });
  }

  // Slots' time, and how far predictions were off.
  void measure() {
    const double now = seconds_since_1970();
    double first = now, last = 0, busy = 0;
    std::set<std::pair<std::string, std::int64_t>> slots;
    for (const Item& item : plan_.items) {
      const auto found = reader_.attempts().find(item.name);
      if (found == reader_.attempts().end()) continue;
      for (const auto& [number, attempt] : found->second) {
        if (attempt.started <= 0) continue;
        const double end = attempt.ended > 0 ? attempt.ended : now;
        const auto used = static_cast<double>(std::max<std::int64_t>(1, attempt.slots));
        if (attempt.ended > 0 || number == claims_.latest(item.name)) {
          status_.used_s += (end - attempt.started) * used;
          busy += (end - attempt.started) * used;
          first = std::min(first, attempt.started);
          last = std::max(last, end);
          for (const auto slot : attempt.slot_numbers) slots.insert({attempt.driver, slot});
          status_.attempts.push_back(attempt);
        }
      }
    }
    std::map<std::string, StudyStatus::KindCost> kinds;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const Item& item = plan_.items[i];
      const auto found = reader_.attempts().find(item.name);
      if (items_[i].stand != Stand::done || found == reader_.attempts().end()) continue;
      auto& kind = kinds[fmt::format("{} {}", pipeline::name_of(item.node.stage), item.node.work.kind)];
      ++kind.items;
      kind.predicted_s += guesses_.of(item).seconds;
      for (const auto& [number, attempt] : found->second) {
        if (attempt.ended > 0)
          kind.used_s += (attempt.ended - attempt.started) *
                         static_cast<double>(std::max<std::int64_t>(1, attempt.slots));
      }
    }
    for (auto& [name, kind] : kinds) {
      kind.kind = name;
      status_.kinds.push_back(kind);
    }
    std::sort(status_.attempts.begin(), status_.attempts.end(), [](const Attempt& a, const Attempt& b) {
      return a.started != b.started ? a.started < b.started : a.item < b.item;
    });
    // As many slots as were ever busy at once: drivers that came one after the other had the same ones.
    std::vector<std::pair<double, std::int64_t>> edges;
    for (const auto& attempt : status_.attempts) {
      edges.emplace_back(attempt.started, std::max<std::int64_t>(1, attempt.slots));
      edges.emplace_back(attempt.ended > 0 ? attempt.ended : now, -std::max<std::int64_t>(1, attempt.slots));
    }
    std::sort(edges.begin(), edges.end());
    std::int64_t at_once = 0, most = 0;
    for (const auto& [time, change] : edges) most = std::max(most, at_once += change);
    if (most > 0 && last > first)
      status_.slots_busy = std::min(1.0, busy / (static_cast<double>(most) * (last - first)));
    status_.slots = most;
  }

  // Wall time by playing the schedule that drivers follow.
  void predict() {
    std::int64_t at_work = 0;
    for (const auto& driver : status_.drivers) at_work += driver.alive ? driver.slots : 0;
    status_.slots = std::max<std::int64_t>(1, at_work > 0        ? at_work
                                              : asked_slots_ > 0 ? asked_slots_
                                                                 : status_.slots);
    const auto slots = static_cast<std::size_t>(status_.slots);
    auto schedule = schedule_of(plan_, slots);
    for (std::size_t i = 0; i < schedule.size(); ++i) schedule[i].seconds = left_[i];
    status_.left_s = wall_seconds(schedule, slots);
    for (auto& stage : status_.stages) {
      for (std::size_t i = 0; i < schedule.size(); ++i)
        schedule[i].seconds = pipeline::name_of(plan_.items[i].node.stage) == stage.stage ? left_[i] : 0.0;
      stage.wall_left = wall_seconds(schedule, slots);
    }
  }

  const StudyPlan& plan_;
  std::int64_t asked_slots_;
  Claims claims_;
  LedgerReader reader_;
  DriverWatch watch_;
  Costs costs_, guesses_;  // the second one learns nothing
  std::vector<ItemStand> items_;
  std::vector<double> left_;  // predicted slot seconds of each item
  StudyStatus status_;
};

}  // namespace

StudyStatus status_of(const StudyPlan& plan, Machine machine, std::int64_t slots) {
  return Looker(plan, machine, slots).look();
}

std::string to_text(const StudyStatus& status) {
  std::string text = fmt::format("study {}: {} of {} items done", status.name, status.done, status.items);
  const auto alive = std::count_if(status.drivers.begin(), status.drivers.end(),
                                   [](const DriverState& d) { return d.alive; });
  text += fmt::format("; {} {} at work", alive, alive == 1 ? "driver" : "drivers");
  if (status.used_s > 0)
    text += fmt::format("; {} of slot time used, slots busy {:.0f} %", duration_text(status.used_s),
                        100 * status.slots_busy);
  if (status.done < status.items && status.left_s > 0)
    text += fmt::format("; about {} left on {} {}", duration_text(status.left_s), status.slots,
                        status.slots == 1 ? "slot" : "slots");
  text += "\n\n";
  text += fmt::format("{:<9} {:>6} {:>6} {:>8} {:>8} {:>8} {:>7} {:>8}  {}\n", "stage", "items", "done",
                      "running", "stopped", "waiting", "failed", "blocked", "slot time left");
  for (const auto& stage : status.stages)
    text += fmt::format("{:<9} {:>6} {:>6} {:>8} {:>8} {:>8} {:>7} {:>8}  {}\n", stage.stage, stage.items,
                        stage.done, stage.running, stage.stopped, stage.waiting, stage.failed, stage.blocked,
                        stage.seconds_left > 0
                            ? fmt::format("{} ({})", duration_text(stage.seconds_left), stage.source)
                            : "-");
  if (!status.running.empty()) text += "\nrunning\n";
  for (const auto& running : status.running) {
    text += fmt::format("  {}  {}", running.item, running.title);
    if (!running.node.empty()) text += fmt::format("  on {}, {}", running.node, running.device);
    if (!running.detail.empty()) text += ", " + running.detail;
    if (running.rate > 0) text += fmt::format(", {:.0f} pictures/s", running.rate);
    text += fmt::format(", for {}, about {} left\n", duration_text(running.since_s),
                        duration_text(running.left_s));
  }
  if (!status.failed.empty()) text += "\nfailed (again with --retry-failed)\n";
  for (const auto& failed : status.failed)
    text += fmt::format("  {}  {}: {}{}\n", failed.item, failed.title, failed.message,
                        failed.log.empty() ? "" : fmt::format(" ({})", failed.log));
  if (!status.blocked.empty()) text += "\nblocked\n";
  for (const auto& blocked : status.blocked) text += "  " + blocked + '\n';
  for (const auto& note : status.notes) text += "\nnote: " + note + '\n';
  return text;
}

std::string to_json(const StudyStatus& status) {
  using Json = nlohmann::ordered_json;
  Json stages = Json::array(), running = Json::array(), failed = Json::array(), drivers = Json::array();
  for (const auto& stage : status.stages)
    stages.push_back({{"stage", stage.stage},
                      {"items", stage.items},
                      {"done", stage.done},
                      {"running", stage.running},
                      {"stopped", stage.stopped},
                      {"waiting", stage.waiting},
                      {"failed", stage.failed},
                      {"blocked", stage.blocked},
                      {"seconds_left", stage.seconds_left},
                      {"wall_left_s", stage.wall_left},
                      {"source", stage.source}});
  for (const auto& each : status.running)
    running.push_back({{"item", each.item},
                       {"title", each.title},
                       {"node", each.node},
                       {"device", each.device},
                       {"detail", each.detail},
                       {"since_s", each.since_s},
                       {"left_s", each.left_s},
                       {"pictures_per_second", each.rate}});
  for (const auto& each : status.failed)
    failed.push_back({{"item", each.item},
                      {"title", each.title},
                      {"message", each.message},
                      {"log", each.log},
                      {"tries", each.tries}});
  for (const auto& each : status.drivers)
    drivers.push_back({{"id", each.id},
                       {"host", each.host},
                       {"user", each.user},
                       {"job", each.job},
                       {"slots", each.slots},
                       {"alive", each.alive}});
  return Json{{"schema", "deda-study-status-1"},
              {"study", status.name},
              {"items", status.items},
              {"done", status.done},
              {"used_s", status.used_s},
              {"slots_busy", status.slots_busy},
              {"slots", status.slots},
              {"left_s", status.left_s},
              {"stages", stages},
              {"running", running},
              {"failed", failed},
              {"blocked", status.blocked},
              {"drivers", drivers},
              {"notes", status.notes}}
      .dump(1, ' ', false, Json::error_handler_t::replace);
}

StudyHistory history_of(const StudyStatus& status) {
  constexpr double hour = 3600;
  StudyHistory history;
  for (const auto& kind : status.kinds)
    history.costs.push_back({kind.kind, kind.items, kind.predicted_s / hour, kind.used_s / hour});
  const double first = status.attempts.empty() ? 0 : status.attempts.front().started;
  for (const auto& attempt : status.attempts) {
    TimelineEntry entry;
    entry.label = attempt.item;
    entry.stage = attempt.item.substr(0, attempt.item.find('-'));
    entry.start_s = attempt.started - first;
    entry.end_s = (attempt.ended > 0 ? attempt.ended : seconds_since_1970()) - first;
    entry.outcome = attempt.outcome ? std::string{name_of(*attempt.outcome)} : "running";
    for (const auto slot : attempt.slot_numbers) {  // a bar in the lane of each
      entry.slot = fmt::format("{} {}", attempt.node, slot);
      history.timeline.push_back(entry);
    }
  }
  return history;
}

std::vector<CellRun> cell_runs(const StudyPlan& plan, const StudyStatus& status) {
  auto runs = cell_runs(plan);
  std::map<std::string, const FailedItem*> failed;
  std::map<std::string, const RunningItem*> running;
  std::map<std::string, std::string> blocked;
  for (const auto& each : status.failed) failed[each.item] = &each;
  for (const auto& each : status.running) running[each.item] = &each;
  for (const auto& each : status.blocked)
    blocked[each.substr(0, each.find(' '))] = each.substr(std::min(each.size(), each.find("): ") + 3));
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::string& name = plan.items[plan.cells[i].item].name;
    if (runs[i].state == RunState::done) continue;
    if (failed.contains(name)) {
      runs[i].state = RunState::failed;
      runs[i].reason = failed[name]->message;
    } else if (blocked.contains(name)) {
      runs[i].state = RunState::blocked;
      runs[i].reason = blocked[name];
    } else if (running.contains(name)) {
      runs[i].state = RunState::running;
      runs[i].reason = running[name]->detail;
    }
  }
  return runs;
}

}  // namespace deda::study
