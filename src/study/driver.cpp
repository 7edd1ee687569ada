#include "study/driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/files.h"
#include "core/stop.h"
#include "pipeline/state.h"
#include "study/policy.h"
#include "study/schedule.h"

namespace deda::study {
namespace {

namespace fs = std::filesystem;
using pipeline::Progress;

constexpr auto poll_every = std::chrono::milliseconds{20};
constexpr double look_around_every_s = 10;  // at what other drivers do
constexpr double look_around_often_s = 1;   // while this one has nothing to do
constexpr std::uint64_t most_log_bytes = 64u << 20;

double steady_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

enum class Status : std::uint8_t { open, done, running, elsewhere, failed, blocked };

struct ItemState {
  Status status = Status::open;
  double not_before = 0;  // seconds since 1970
  std::string message;    // of failed
  std::string log;
  double chain = 0;  // predicted seconds of it and of the longest chain that waits for it
};

struct Running {
  std::size_t item = 0;
  Attempt attempt;
  std::vector<std::size_t> slots;
  bool asked = false, killed = false;
  double asked_at = 0;
};

std::string duration_text(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", seconds);
  constexpr double minute = 60, hour = 3600;
  if (seconds < 90 * minute) return fmt::format("{:.0f} min", seconds / minute);
  return fmt::format("{:.1f} h", seconds / hour);
}

// What results.json names as the end of a run's numbers; empty where there is none.
std::string failure_in(const fs::path& folder) {
  try {
    const auto json = nlohmann::json::parse(read_text(folder / "results.json"), nullptr, false);
    return json.is_object() ? json.value("failure", std::string{}) : std::string{};
  } catch (const Error&) {
    return {};
  }
}

DriverIdentity identity_with(const Launcher& launcher) {
  auto identity = this_driver();
  identity.slots = static_cast<std::int64_t>(launcher.slots().size());
  return identity;
}

class Driver {
 public:
  Driver(const StudyPlan& plan, Launcher& launcher, const DriverOptions& options)
      : plan_{plan},
        launcher_{launcher},
        options_{options},
        identity_{identity_with(launcher)},
        claims_{plan.output, identity_, plan.study.name},
        writer_{plan.folder(), plan.study.name, identity_.id},
        reader_{plan.output},
        heartbeat_{plan.folder(), identity_},
        watch_{plan.output, options.lease_s},
        costs_{plan, options.machine, options.short_runs},
        states_(plan.items.size()),
        slot_is_free_(launcher.slots().size(), true) {
    make_folder(plan.folder() / "logs");
    const auto& slots = launcher.slots();
    const auto together = [&slots](const std::string& node) {
      return std::count_if(slots.begin(), slots.end(), [&](const Slot& slot) { return slot.node == node; });
    };
    for (const Slot& slot : slots)
      largest_node_ = std::max(largest_node_, static_cast<std::size_t>(together(slot.node)));
    if (plan.study.ranks > 1 && !slots.empty() && slots.front().device.starts_with("GPU") &&
        std::none_of(slots.begin(), slots.end(),
                     [&](const Slot& slot) { return together(slot.node) >= plan.study.ranks; }))
      throw ConfigError(
          fmt::format("trainings want {} ranks, and no node has so many GPUs", plan.study.ranks),
          "ranks of the study",
          "Give another number with --ranks; results then differ from those of this one.");
    scheduled_ = schedule_of(plan, largest_node_);
  }

  DriverResult run() {
    look_at_results();
    if (options_.retry_failed) forgive();
    look_around();
    order();
    tell_start();
    for (;;) {
      take_ends();
      if (heartbeat_.beat()) look_around();  // slept longer than the lease: what was claimed may be another's
      decide_whether_to_stop();
      if (stopping_) {
        if (running_.empty()) break;
        kill_what_does_not_stop();
      } else {
        const double patience = running_.empty() || others_work_ ? look_around_often_s : look_around_every_s;
        if (steady_s() - looked_around_ > patience) look_around();
        if (!halted_ && !launcher_.in_doubt()) start_what_fits();
        if (running_.empty() && !anything_left()) break;
      }
      std::this_thread::sleep_for(poll_every);
    }
    heartbeat_.end();
    return result();
  }

 private:
  const Item& item(std::size_t i) const { return plan_.items[i]; }

  // ---- what is known

  void look_at_results() {
    for (std::size_t i = 0; i < states_.size(); ++i) {
      if (pipeline::state_of(item(i).node).progress == Progress::done) states_[i].status = Status::done;
    }
  }

  void forgive() {
    claims_.refresh();
    reader_.refresh();
    for (std::size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].status != Status::done && verdict_of(i).kind == Verdict::Kind::failed)
        writer_.forgiven(item(i).name, claims_.latest(item(i).name));
    }
  }

  std::vector<KnownAttempt> attempts_of(std::size_t i) {
    const std::string& name = item(i).name;
    std::vector<KnownAttempt> attempts;
    const auto known = reader_.attempts().find(name);
    const std::int64_t latest = claims_.latest(name);
    for (std::int64_t number = reader_.forgiven(name) + 1; number <= latest; ++number) {
      KnownAttempt each;
      each.attempt.item = name;
      each.attempt.number = number;
      if (known != reader_.attempts().end()) {
        if (const auto found = known->second.find(number); found != known->second.end())
          each.attempt = found->second;
      }
      if (!each.attempt.outcome) {
        // A claim that cannot be read is somebody's who is just making it.
        const auto claim = claims_.read(name, number);
        each.driver_is_dead =
            claim && claim->driver.id != identity_.id && watch_.is_dead(claim->study, claim->driver);
      }
      attempts.push_back(std::move(each));
    }
    return attempts;
  }

  Verdict verdict_of(std::size_t i) { return judge(attempts_of(i)); }

  void look_around() {
    claims_.refresh();
    reader_.refresh();
    tell_damage();
    looked_around_ = steady_s();
    others_work_ = false;
    for (std::size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].status == Status::open || states_[i].status == Status::elsewhere) look_at(i);
    }
    costs_.learn(reader_.attempts());
    block_dependents();
  }

  // An item that this driver does not run itself.
  void look_at(std::size_t i) {
    ItemState& state = states_[i];
    if (claims_.latest(item(i).name) == 0) return;
    const auto attempts = attempts_of(i);
    const bool said_done = !attempts.empty() && attempts.back().attempt.outcome == Outcome::done;
    if (said_done || state.status == Status::elsewhere) {
      if (pipeline::state_of(item(i).node).progress == Progress::done) {
        state.status = Status::done;
        return;
      }
    }
    const auto verdict = judge(attempts);
    switch (verdict.kind) {
      case Verdict::Kind::running:
        state.status = Status::elsewhere;
        others_work_ = true;
        break;
      case Verdict::Kind::failed:
        fail(i, verdict.message, attempts.back().attempt.log);
        break;
      case Verdict::Kind::free:
      case Verdict::Kind::waiting:
        state.status = Status::open;
        state.not_before = verdict.not_before;
        break;
    }
  }

  void tell_damage() {
    for (; damage_told_ < reader_.damaged().size(); ++damage_told_)
      options_.tell(fmt::format("a line of a ledger is no event and is passed over: {}",
                                reader_.damaged()[damage_told_]));
  }

  void fail(std::size_t i, const std::string& message, const std::string& log) {
    states_[i].status = Status::failed;
    states_[i].message = message;
    states_[i].log = log;
  }

  void block_dependents() {
    for (std::size_t i = 0; i < states_.size(); ++i) {  // each comes after what it needs
      if (states_[i].status != Status::open) continue;
      for (const std::size_t needed : item(i).node.needs) {
        const auto status = states_[needed].status;
        if (status == Status::failed || status == Status::blocked) states_[i].status = Status::blocked;
      }
    }
  }

  // ---- what comes next

  // Longest chain first: what is predicted for an item and the longest row of those that wait for it.
  void order() {
    for (std::size_t i = 0; i < states_.size(); ++i)
      scheduled_[i].seconds = states_[i].status == Status::done ? 0 : costs_.of(item(i)).seconds;
    const auto chains = chains_of(scheduled_, most_slots());
    for (std::size_t i = 0; i < states_.size(); ++i) states_[i].chain = chains[i];
  }

  std::size_t most_slots() const {
    const std::size_t all = std::max<std::size_t>(1, slot_is_free_.size());
    return options_.most_slots > 0 ? std::min(all, static_cast<std::size_t>(options_.most_slots)) : all;
  }

  // A wait that is longer than any is was begun by another clock, or before this one was put back.
  static bool is_over(double not_before, double now) {
    return not_before <= now || not_before > now + longest_wait_s;
  }
  bool is_ready(std::size_t i, double now) const {
    return states_[i].status == Status::open && is_over(states_[i].not_before, now) &&
           std::all_of(item(i).node.needs.begin(), item(i).node.needs.end(),
                       [&](std::size_t needed) { return states_[needed].status == Status::done; });
  }

  std::vector<std::size_t> free_slots() const {
    const auto lost = launcher_.lost_nodes();
    std::vector<std::size_t> free;
    for (std::size_t slot = 0; slot < slot_is_free_.size(); ++slot) {
      const auto& node = launcher_.slots()[slot].node;
      if (slot_is_free_[slot] && std::find(lost.begin(), lost.end(), node) == lost.end())
        free.push_back(slot);
    }
    return free;
  }

  void start_what_fits() {
    auto free = free_slots();
    if (free.empty()) return;
    if (const auto left = launcher_.seconds_left();
        left && *left < startup_seconds(options_.machine) + options_.least_start_s) {
      if (running_.empty()) request_stop("little time is left");
      return;
    }
    const double now = seconds_since_1970();
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < states_.size(); ++i) {
      if (is_ready(i, now)) ready.push_back(i);
    }
    std::sort(ready.begin(), ready.end(), [&](std::size_t a, std::size_t b) {
      return states_[a].chain != states_[b].chain ? states_[a].chain > states_[b].chain
                                                  : item(a).name < item(b).name;
    });
    for (std::size_t r = 0; r < ready.size() && !free.empty() && !halted_; ++r) {
      const std::size_t i = ready[r];
      const auto others = static_cast<std::size_t>(
          std::count_if(ready.begin() + static_cast<std::ptrdiff_t>(r) + 1, ready.end(),
                        [&](std::size_t other) { return scheduled_[other].least_slots < free.size(); }));
      const std::size_t wanted = slots_to_take(scheduled_[i], free.size(), others, most_slots());
      if (wanted == 0) continue;
      // On one node where that is possible; a run's own ranks never spread over nodes for want of better
      // slots.
      const auto taken = slots_together(free, wanted, i);
      if (taken.empty()) continue;
      if (start(i, taken)) {
        for (const std::size_t slot : taken) std::erase(free, slot);
      }
    }
  }

  // The first `wanted` free slots of the node with the most free ones, a node on which the item failed before
  // last.
  std::vector<std::size_t> slots_together(const std::vector<std::size_t>& free, std::size_t wanted,
                                          std::size_t i) const {
    std::map<std::string, std::vector<std::size_t>> by_node;
    for (const std::size_t slot : free) by_node[launcher_.slots()[slot].node].push_back(slot);
    const std::vector<std::size_t>* best = nullptr;
    bool best_avoided = false;
    for (const auto& [node, slots] : by_node) {
      const bool avoided = avoided_.contains({i, node}) || bad_nodes_.contains(node);
      if (best == nullptr || (best_avoided && !avoided) ||
          (best_avoided == avoided && slots.size() > best->size())) {
        best = &slots;
        best_avoided = avoided;
      }
    }
    if (best == nullptr) return {};
    std::vector<std::size_t> taken(
        best->begin(), best->begin() + static_cast<std::ptrdiff_t>(std::min(wanted, best->size())));
    if (taken.size() < wanted && item(i).node.stage == pipeline::Stage::train && wanted > 1) return {};
    return taken;
  }

  bool start(std::size_t i, const std::vector<std::size_t>& slots) {
    ItemState& state = states_[i];
    const auto before = pipeline::state_of(item(i).node);
    if (before.progress == Progress::done) {  // made by somebody without a study
      state.status = Status::done;
      return false;
    }
    if (before.progress == Progress::conflict || before.progress == Progress::damaged) {
      // Half a result is no damage while somebody is just writing it, who may have claimed the item since
      // this driver last looked.
      claims_.refresh();
      reader_.refresh();
      look_at(i);
      if (state.status != Status::open) return false;
      const auto still = pipeline::state_of(item(i).node);
      if (still.progress == before.progress) {
        fail(i, still.detail, {});
        count_failure(i, still.detail);
        block_dependents();
      }
      return false;
    }
    // A look at another item may have shown a claim on this one since it was judged: an attempt is claimed only
    // behind one that has ended.
    if (claims_.latest(item(i).name) > 0) {
      look_at(i);
      if (state.status != Status::open || state.not_before > seconds_since_1970()) return false;
    }
    const std::int64_t number = claims_.latest(item(i).name) + 1;
    if (!claims_.take(item(i).name, number)) {
      state.status = Status::elsewhere;  // another driver was faster
      others_work_ = true;
      return false;
    }
    Running run{.item = i, .attempt = {}, .slots = slots};
    run.attempt.item = item(i).name;
    run.attempt.number = number;
    run.attempt.study = plan_.study.name;
    run.attempt.driver = identity_.id;
    run.attempt.started = seconds_since_1970();
    run.attempt.work_before = before.share;
    run.attempt.log = path_text(plan_.folder() / "logs" / fmt::format("{}.{}.log", item(i).name, number));
    std::vector<std::string> devices;
    for (const std::size_t slot : slots) {
      run.attempt.slot_numbers.push_back(static_cast<std::int64_t>(slot));
      devices.push_back(launcher_.slots()[slot].device);
    }
    run.attempt.slots = static_cast<std::int64_t>(slots.size());
    run.attempt.node = launcher_.slots()[slots.front()].node.empty() ? identity_.host
                                                                     : launcher_.slots()[slots.front()].node;
    run.attempt.device = fmt::format("{}", fmt::join(devices, ", "));
    Launch launch;
    launch.item = item(i).name;
    launch.arguments = item(i).node.command;
    launch.slots = slots;
    // A training's ranks are part of the study; where there are fewer slots they share the cores.
    launch.ranks = item(i).node.stage == pipeline::Stage::train ? plan_.study.ranks
                                                                : static_cast<std::int64_t>(slots.size());
    launch.threads = plan_.study.threads;
    launch.log = path_of_name(run.attempt.log);
    writer_.started(run.attempt);
    ++started_;
    try {
      const int handle = launcher_.start(launch);
      for (const std::size_t slot : slots) slot_is_free_[slot] = false;
      state.status = Status::running;
      options_.tell(fmt::format("start {} on {} (about {}): {}", item(i).name,
                                launcher_.slots()[slots.front()].node.empty()
                                    ? run.attempt.device
                                    : fmt::format("{} {}", run.attempt.node, run.attempt.device),
                                duration_text(costs_.of(item(i)).seconds / static_cast<double>(slots.size())),
                                item(i).title));
      running_.emplace(handle, std::move(run));
      return true;
    } catch (const Error& error) {
      run.attempt.ended = seconds_since_1970();
      run.attempt.outcome = Outcome::failed;
      run.attempt.message = deda::to_string(error.problems().front());
      run.attempt.work_after = run.attempt.work_before;
      writer_.ended(run.attempt);
      reader_.refresh();
      look_at(i);
      return false;
    }
  }

  // ---- what has ended

  void take_ends() {
    const auto ended = launcher_.ended();
    for (const auto& end : ended) {
      const auto found = running_.find(end.process);
      if (found == running_.end()) continue;
      Running run = std::move(found->second);
      running_.erase(found);
      for (const std::size_t slot : run.slots) slot_is_free_[slot] = true;
      take_end(run, end);
    }
    if (ended.empty()) return;
    costs_.learn(reader_.attempts());
    order();
    block_dependents();
  }

  void take_end(Running& run, const ChildEnd& end) {
    const Item& ended = item(run.item);
    const auto after = pipeline::state_of(ended.node);
    EndFacts facts{.exit_code = end.exit_code,
                   .signal = end.signal,
                   .done = after.progress == Progress::done,
                   .asked = run.asked,
                   .failure = {},
                   .first_error = {}};
    if (!facts.done) {
      if (ended.node.stage == pipeline::Stage::train) facts.failure = failure_in(ended.node.folder);
      try {
        facts.first_error = first_error_in(read_text(path_of_name(run.attempt.log), most_log_bytes));
      } catch (const Error&) {  // no log: the code has to do
      }
    }
    run.attempt.ended = seconds_since_1970();
    run.attempt.work_after = facts.done ? 1.0 : std::max(after.share, run.attempt.work_before);
    book(run.attempt, facts);
    writer_.ended(run.attempt);
    reader_.refresh();
    ItemState& state = states_[run.item];
    if (facts.done) {
      state.status = Status::done;
      ++done_here_;
      options_.tell(fmt::format("done  {} in {} ({} of {}): {}", ended.name,
                                duration_text(run.attempt.ended - run.attempt.started), count(Status::done),
                                states_.size(), ended.title));
      return;
    }
    state.status = Status::open;
    const auto verdict = verdict_of(run.item);
    state.not_before = verdict.not_before;
    const bool counts = run.attempt.outcome == Outcome::failed || run.attempt.outcome == Outcome::lost;
    if (counts) avoid(run);
    if (verdict.kind == Verdict::Kind::failed) {
      fail(run.item, verdict.message, run.attempt.log);
      count_failure(run.item, run.attempt.message);
    }
    options_.tell(fmt::format("{} {}: {}{} ({})", name_of(*run.attempt.outcome), ended.name,
                              run.attempt.message,
                              verdict.kind == Verdict::Kind::failed ? "; not tried again"
                              : counts                              ? "; will be tried again"
                                                                    : "",
                              run.attempt.log));
    if (run.attempt.exit_code == static_cast<int>(ExitCode::configuration))
      halt(fmt::format("{} has a wrong configuration, which planning should have found: {}", ended.name,
                       run.attempt.message));
  }

  void avoid(const Running& run) {
    const auto& node = launcher_.slots()[run.slots.front()].node;
    if (node.empty()) return;
    avoided_.insert({run.item, node});
    auto& failed = failed_on_[node];
    failed.insert(run.item);
    constexpr std::size_t too_many = 2;
    if (failed.size() >= too_many && bad_nodes_.insert(node).second)
      options_.tell(fmt::format("{}: {} different items failed there; it is used last from now on", node,
                                failed.size()));
  }

  void count_failure(std::size_t i, const std::string& message) {
    auto& alike = failed_alike_[message];
    alike.insert(i);
    if (static_cast<std::int64_t>(alike.size()) >= plan_.study.stop_after)
      halt(fmt::format("{} items failed with the same message: {}", alike.size(), message));
  }

  // Nothing more is started; what runs goes on.
  void halt(const std::string& reason) {
    if (halted_) return;
    halted_ = true;
    halt_reason_ = reason;
    options_.tell(fmt::format("nothing more is started: {}", reason));
  }

  // ---- stopping

  void decide_whether_to_stop() {
    if (stopping_) return;
    std::string reason;
    if (stop_requested()) reason = deda::stop_reason();
    if (reason.empty()) {
      const double now = steady_s();
      if (now - asked_time_ > 1) {
        asked_time_ = now;
        if (const auto left = launcher_.seconds_left(); left && *left < options_.stop_margin_s)
          reason = fmt::format("{} are left of the allocation", duration_text(*left));
      }
    }
    if (reason.empty()) return;
    stopping_ = true;
    stop_reason_ = reason;
    options_.tell(fmt::format("stopping ({}): {} running items save and end", reason, running_.size()));
    for (auto& [handle, run] : running_) {
      launcher_.ask_to_stop(handle);
      run.asked = true;
      run.asked_at = steady_s();
    }
  }

  void kill_what_does_not_stop() {
    for (auto& [handle, run] : running_) {
      if (run.killed || steady_s() - run.asked_at < options_.most_stop_s) continue;
      options_.tell(fmt::format("{} did not stop within {} and is killed; it goes on from its checkpoint",
                                item(run.item).name, duration_text(options_.most_stop_s)));
      launcher_.kill(handle);
      run.killed = true;
    }
  }

  bool anything_left() const {
    return !halted_ && std::any_of(states_.begin(), states_.end(), [](const ItemState& state) {
      return state.status == Status::open || state.status == Status::elsewhere;
    });
  }

  // ---- what people are told

  std::int64_t count(Status status) const {
    return std::count_if(states_.begin(), states_.end(),
                         [&](const ItemState& state) { return state.status == status; });
  }

  void tell_start() {
    options_.tell(fmt::format("study {}: {} items, {} done, {} to do on {} slots ({}); about {} left",
                              plan_.study.name, states_.size(), count(Status::done),
                              count(Status::open) + count(Status::elsewhere), slot_is_free_.size(),
                              launcher_.name(),
                              duration_text(wall_seconds(scheduled_, slot_is_free_.size()))));
  }

  DriverResult result() const {
    DriverResult result;
    result.items = static_cast<std::int64_t>(states_.size());
    result.done = count(Status::done);
    result.started = started_;
    result.stopped = stopping_;
    result.stop_reason = stopping_ ? stop_reason_ : halt_reason_;
    for (std::size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].status == Status::failed)
        result.failed.push_back({item(i).name, item(i).title, states_[i].message, states_[i].log});
      if (states_[i].status == Status::blocked) result.blocked.push_back(item(i).name);
    }
    return result;
  }

  const StudyPlan& plan_;
  Launcher& launcher_;
  DriverOptions options_;
  DriverIdentity identity_;
  Claims claims_;
  LedgerWriter writer_;
  LedgerReader reader_;
  Heartbeat heartbeat_;
  DriverWatch watch_;
  Costs costs_;
  std::vector<ItemState> states_;
  std::vector<ScheduledItem> scheduled_;
  std::vector<bool> slot_is_free_;
  std::size_t largest_node_ = 1;  // slots of the node that has most
  std::map<int, Running> running_;
  std::set<std::pair<std::size_t, std::string>> avoided_;  // item and node on which it failed
  std::map<std::string, std::set<std::size_t>> failed_on_, failed_alike_;
  std::set<std::string> bad_nodes_;
  std::int64_t started_ = 0, done_here_ = 0;
  std::size_t damage_told_ = 0;
  double looked_around_ = 0, asked_time_ = 0;
  bool others_work_ = false, stopping_ = false, halted_ = false;
  std::string stop_reason_, halt_reason_;
};

}  // namespace

DriverResult drive(const StudyPlan& plan, Launcher& launcher, const DriverOptions& options) {
  return Driver(plan, launcher, options).run();
}

}  // namespace deda::study
