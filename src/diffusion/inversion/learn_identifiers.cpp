#include "diffusion/inversion/learn_identifiers.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>

#include "comm/ticket_workers.h"
#include "core/error.h"
#include "core/events.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/stop.h"
#include "device/memory_fit.h"
#include "diffusion/inversion/inversion_unit.h"
#include "diffusion/prompts.h"
#include "diffusion/step_checkpoints.h"
#include "io/store/folder_lock.h"
#include "models/weights/embedding_file.h"

namespace deda::diffusion {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Checkpoints and finished units, until all classes have their outcome.
fs::path work_folder(const fs::path& folder) {
  return folder / "work";
}
std::string unit_name(std::int64_t unit) {
  return fmt::format("unit-{:04}", unit);
}
fs::path unit_record(const fs::path& folder, std::int64_t unit) {
  return work_folder(folder) / (unit_name(unit) + ".json");
}

std::optional<IdentifierManifest> read_manifest(const fs::path& path, const std::string& key) {
  if (!fs::exists(path)) return std::nullopt;
  try {
    auto manifest = identifier_manifest_from(read_text(path), path.string());
    if (manifest.key == key) return manifest;
    log_warning("{}: of another run, made anew", path.string());
  } catch (const Error& error) {
    log_warning("{}: made anew", to_string(error.problems().front()));
  }
  return std::nullopt;
}

bool is_intact(const fs::path& folder, const IdentifierRecord& record) {
  return damaged_files(folder, record).empty();
}

std::vector<std::pair<std::string, std::string>> settings_of(const InversionRequest& request) {
  const auto& settings = request.settings;
  const auto& invert = settings.invert;
  return {{"tmax", fmt::format("{}", most_timestep(settings.diffusion, invert))},
          {"steps", fmt::format("{}", invert.steps)},
          {"batch", fmt::format("{}", invert.batch)},
          {"learning_rate", fmt::format("{}", learning_rate_of(invert, 0))},
          {"weight_decay", fmt::format("{}", invert.weight_decay)},
          {"vectors", fmt::format("{}", invert.vectors)},
          {"templates", invert.templates == InvertTemplates::objects ? "objects" : "photo"},
          {"flip", fmt::format("{}", invert.flip)},
          {"unet", invert.unet == InvertUNet::merged ? "merged" : "plain"},
          {"latent", invert.latent == InvertLatent::transparent ? "transparent"
                     : invert.latent == InvertLatent::picture   ? "picture"
                                                                : "rgb_on_grey"},
          {"offset_gain", fmt::format("{}", settings.offset_gain)},
          {"resolution", fmt::format("{}", settings.resolution)},
          {"seed", fmt::format("{}", settings.seed)}};
}

// invert.micro_batch = 0 on a GPU: as many latents at once as its memory holds.
void fit_micro_batch(InversionContext& context) {
  const auto& model = context.model;
  if (context.config.micro_batch > 0 || model.plugin == nullptr) return;
  const auto side = context.settings.resolution / model.factor();
  const auto try_with = [&](std::int64_t samples) {
    InversionBatch batch;
    batch.latents = at::randn({samples, model.autoencoder->config().latent_channels, side, side});
    batch.noise = at::randn_like(batch.latents);
    batch.timesteps = at::zeros({samples}, at::kLong);
    batch.prompts.assign(static_cast<std::size_t>(samples), 0);
    for (const auto& ids : context.prompt_ids(0, 0)) batch.prompt_ids.push_back(ids.unsqueeze(0));
    context.step.gradients(batch, {context.initial.front().rows}, {1.0});
  };
  const auto most = context.config.batch * context.config.classes_per_batch;
  const auto fit = device::fit_into_memory(*model.plugin, model.device.index(),
                                           "latents of textual inversion", most, /*sharers=*/1, try_with);
  log_info("{}", fit.line);
  if (fit.at_once < most) context.step.set_micro_batch(fit.at_once);
}

// The stage on one rank.
class Stage {
 public:
  Stage(const comm::Communicator& ranks, const InversionRequest& request)
      : ranks_{ranks},
        request_{request},
        key_{request.made_of.key},
        packs_{inversion_packs(request.source, request.settings.invert.classes_per_batch)} {}

  bool run() {
    bool finished = false;
    ranks_.agree("opening the folder of identifiers", [&] {
      if (ranks_.is_root()) finished = open();
    });
    if (ranks_.any(finished)) return true;
    share_missing();
    if (!missing_.empty()) learn();
    ranks_.agree("finishing the identifiers", [&] {
      if (ranks_.is_root()) finish();
    });
    return false;
  }

 private:
  struct Running {  // of one thread
    std::int64_t unit = -1, progress = 0;
  };

  // Rank 0: what is there already.
  bool open() {
    if (finished_identifiers(request_.folder, request_.made_of.key)) return true;
    make_folder(request_.folder);
    lock_ = std::make_unique<io::FolderLock>(request_.folder);
    if (finished_identifiers(request_.folder, request_.made_of.key)) return true;  // another run just did
    make_folder(work_folder(request_.folder));
    if (const auto manifest = read_manifest(identifier_manifest_path(request_.folder), key_))
      take_intact(*manifest);
    for (std::size_t unit = 0; unit < packs_.size(); ++unit) {
      const auto path = unit_record(request_.folder, static_cast<std::int64_t>(unit));
      if (const auto record = read_manifest(path, key_)) take_intact(*record);
    }
    for (std::size_t unit = 0; unit < packs_.size(); ++unit) {
      const bool all = std::all_of(packs_[unit].begin(), packs_[unit].end(),
                                   [&](std::size_t id) { return records_.count(id) != 0; });
      if (!all) missing_.push_back(static_cast<std::int64_t>(unit));
    }
    return false;
  }

  void take_intact(const IdentifierManifest& manifest) {
    for (const auto& record : manifest.classes) {
      const auto id = static_cast<std::size_t>(record.class_id);
      if (record.outcome == IdentifierOutcome::no_cdp || records_.count(id) != 0) continue;
      if (is_intact(request_.folder, record)) {
        records_.emplace(id, record);
      } else {
        log_warning("class {}: a file in {} is missing or damaged, learnt anew", record.class_name,
                    request_.folder.string());
      }
    }
  }

  void share_missing() {
    nlohmann::json list = missing_;
    missing_ = nlohmann::json::parse(ranks_.broadcast(list.dump())).get<std::vector<std::int64_t>>();
    if (ranks_.is_root() && missing_.size() < packs_.size())
      log_info("continuing: {} of {} units are finished", packs_.size() - missing_.size(), packs_.size());
  }

  void learn() {
    cv::setNumThreads(1);
    ranks_.agree("loading the diffusion model", [&] {
      model_ = request_.load_model();
      context_ = std::make_unique<InversionContext>(*model_, request_.source, request_.settings);
      fit_micro_batch(*context_);
    });
    events_ = EventLog(request_.folder, ranks_.rank(), "invert");
    comm::Tickets tickets(ranks_);
    tickets.start_round(static_cast<std::int64_t>(missing_.size()));
    const auto steps = static_cast<std::uint64_t>(request_.settings.invert.steps);
    std::uint64_t classes = 0, before = 0;
    for (std::size_t unit = 0; unit < packs_.size(); ++unit) {
      classes += packs_[unit].size();
      if (!std::binary_search(missing_.begin(), missing_.end(), static_cast<std::int64_t>(unit)))
        before += packs_[unit].size();
    }
    steps_before_ = static_cast<std::int64_t>(before * steps);
    progress_ = std::make_unique<Progress>("invert", "steps", classes * steps, ranks_.is_root());
    progress_->advance_to(before * steps);
    ranks_.agree("learning identifiers", [&] { work(tickets); });
    progress_->finish();
  }

  void work(comm::Tickets& tickets) {
    const auto threads =
        std::clamp<std::size_t>(missing_.size(), 1, static_cast<std::size_t>(std::max(1, request_.workers)));
    running_.resize(threads);
    constexpr std::uint64_t megabyte = 1u << 20;
    const auto cache_bytes =
        static_cast<std::uint64_t>(request_.settings.invert.cache_megabytes) * megabyte / threads;
    const comm::TicketWorkers workers{.threads = static_cast<int>(threads),
                                      // A setting of the thread: sums must not depend on the number of cores.
                                      .begin_thread = [] { at::set_num_threads(1); }};
    comm::work_on_tickets(tickets, workers,
                          [&](const comm::DrawnTicket& ticket) { learn_unit(ticket, cache_bytes); });
  }

  void learn_unit(const comm::DrawnTicket& ticket, std::uint64_t cache_bytes) {
    const auto unit = missing_[static_cast<std::size_t>(ticket.number)];
    const auto start = Clock::now();
    const auto& config = request_.settings.invert;
    InversionUnit learning(*context_, packs_[static_cast<std::size_t>(unit)], cache_bytes,
                           [&](const ClassLearning& of_class, const std::string& problem) {
                             log_warning("class {}: {}", of_class.class_name(), problem);
                             events_.write(unit, "problem", problem, {{"class", of_class.class_name()}});
                           });
    const StepCheckpoints checkpoints(work_folder(request_.folder), unit_name(unit), key_);
    if (const auto saved = checkpoints.newest()) learning.restore(*saved);
    events_.write(unit, "started", learning.steps_taken());
    while (!learning.finished()) {
      if (stop_requested() || ticket.another_failed) {
        checkpoints.save(learning.save(), learning.steps_taken());
        events_.write(unit, "stopped", learning.steps_taken());
        if (!stop_requested()) return;
        throw Stopped(fmt::format("inversion stopped after {} of {} steps of unit {}: {}",
                                  learning.steps_taken(), config.steps, unit, stop_reason()));
      }
      learning.step();
      if (learning.steps_taken() % config.checkpoint_every == 0 && !learning.finished())
        checkpoints.save(learning.save(), learning.steps_taken());
      report(ticket, unit, learning);
      if (request_.on_step) request_.on_step(unit, learning.steps_taken());
    }
    write_results(unit, learning.results());
    checkpoints.remove_all();
    events_.write(unit, "done", learning.steps_taken(),
                  {{"seconds", std::chrono::duration<double>(Clock::now() - start).count()}});
    const std::lock_guard lock{reporting_};
    own_steps_ += learning.progress();
    running_[ticket.thread] = {};
  }

  // Other ranks' work is estimated: units are drawn in order, and each thread has one in work.
  void report(const comm::DrawnTicket& ticket, std::int64_t unit, const InversionUnit& learning) {
    const std::lock_guard lock{reporting_};
    auto& running = running_[ticket.thread];
    if (running.unit != unit) ++own_units_;
    running = {unit, learning.progress()};
    std::int64_t own = own_steps_;
    for (const auto& each : running_) own += each.progress;
    const auto in_work = static_cast<std::int64_t>(running_.size()) * (ranks_.size() - 1);
    last_ticket_ = std::max(last_ticket_, ticket.number);
    const auto others = std::max<std::int64_t>(0, last_ticket_ + 1 - own_units_ - in_work);
    const auto& config = request_.settings.invert;
    progress_->advance_to(
        static_cast<std::uint64_t>(steps_before_ + own + others * config.steps * config.classes_per_batch),
        fmt::format("loss {:.4f}", learning.last_loss()));
  }

  void write_results(std::int64_t unit, const std::vector<LearntClass>& classes) const {
    IdentifierManifest manifest{
        .key = key_, .made_of = {}, .model_identity = request_.model_identity, .settings = {}, .classes = {}};
    for (const auto& learnt : classes) manifest.classes.push_back(write_class(learnt));
    write_atomically(unit_record(request_.folder, unit), to_json(manifest));
  }

  IdentifierRecord write_class(const LearntClass& learnt) const {
    auto record = learnt.record;
    const auto& folder = request_.folder;
    const auto stem = file_stem_of(record.placeholder);
    std::vector<std::string> names;
    if (!learnt.rows.empty()) {
      const auto path = folder / (stem + ".safetensors");
      models::write_embedding(path, {record.placeholder, learnt.rows, metadata_of(record)});
      for (std::size_t encoder = 0; encoder < learnt.rows.size(); ++encoder)
        names.push_back(models::embedding_path_of(path, encoder).filename().string());
    }
    if (!learnt.curve.empty()) {
      std::string curve = "step,loss,norm,cosine\n";
      for (const auto& point : learnt.curve)
        curve += fmt::format("{},{},{},{}\n", point.step, point.loss, point.norm, point.cosine);
      names.push_back(stem + ".csv");
      write_atomically(folder / names.back(), curve);
    }
    for (const auto& name : names) record.files.push_back({name, xxhash128_hex(read_text(folder / name))});
    return record;
  }

  std::map<std::string, std::string> metadata_of(const IdentifierRecord& record) const {
    std::map<std::string, std::string> metadata{{"class", record.class_name},
                                                {"placeholder", record.placeholder},
                                                {"initial_word", record.initial_word},
                                                {"tmax", fmt::format("{}", context_->draws.most_timestep)},
                                                {"lr", fmt::format("{}", record.learning_rate)},
                                                {"model_identity", request_.model_identity},
                                                {"precision", c10::toString(model_->unet_dtype)}};
    for (const auto& name : {"steps", "batch", "seed", "vectors"}) {
      for (const auto& [key, value] : settings_of(request_)) {
        if (key == name) metadata.emplace(key, value);
      }
    }
    return metadata;
  }

  // Rank 0: all units are finished.
  void finish() {
    for (const std::int64_t unit : missing_) {
      const auto path = unit_record(request_.folder, unit);
      const auto record = read_manifest(path, key_);
      if (!record)
        throw IoError("a finished unit has no record", path.string(), "Run the same command again.");
      take_intact(*record);
    }
    IdentifierManifest manifest{.key = key_,
                                .made_of = to_json(request_.made_of),
                                .model_identity = request_.model_identity,
                                .settings = settings_of(request_),
                                .classes = {}};
    for (std::size_t id = 0; id < request_.settings.class_names.size(); ++id) {
      if (const auto found = records_.find(id); found != records_.end()) {
        manifest.classes.push_back(found->second);
        continue;
      }
      if (!request_.source.by_class().at(id).empty())
        throw IoError(
            fmt::format("class {}: what was written cannot be read again", request_.settings.class_names[id]),
            request_.folder.string(), "Run the same command again.");
      IdentifierRecord record;
      record.class_id = static_cast<std::int64_t>(id);
      record.class_name = request_.settings.class_names[id];
      record.placeholder = placeholder_of_class(id);
      record.outcome = IdentifierOutcome::no_cdp;
      record.reason = "no training picture of the class has a CDP";
      manifest.classes.push_back(std::move(record));
    }
    write_atomically(identifier_manifest_path(request_.folder), to_json(manifest));
    fs::remove_all(work_folder(request_.folder));
  }

  const comm::Communicator& ranks_;
  const InversionRequest& request_;
  std::string key_;
  std::vector<std::vector<std::size_t>> packs_;
  std::vector<std::int64_t> missing_;
  std::map<std::size_t, IdentifierRecord> records_;  // rank 0: intact ones, by class
  std::unique_ptr<io::FolderLock> lock_;             // rank 0
  std::shared_ptr<const DiffusionModel> model_;
  std::unique_ptr<InversionContext> context_;
  EventLog events_;
  std::unique_ptr<Progress> progress_;
  std::mutex reporting_;
  std::vector<Running> running_;
  std::int64_t steps_before_ = 0, own_steps_ = 0, own_units_ = 0, last_ticket_ = -1;
};

}  // namespace

std::optional<IdentifierManifest> finished_identifiers(const fs::path& folder, const std::string& key) {
  auto manifest = read_manifest(identifier_manifest_path(folder), key);
  if (!manifest) return std::nullopt;
  const bool intact = std::all_of(manifest->classes.begin(), manifest->classes.end(),
                                  [&](const auto& record) { return is_intact(folder, record); });
  return intact ? manifest : std::nullopt;
}

bool learn_identifiers(const comm::Communicator& ranks, const InversionRequest& request) {
  return Stage(ranks, request).run();
}

void trace_inversion(const InversionContext& context, const fs::path& folder, std::int64_t steps) {
  const auto packs = inversion_packs(context.source, context.config.classes_per_batch);
  if (packs.empty()) return;
  make_folder(folder);
  constexpr std::uint64_t unlimited = std::uint64_t{1} << 40;
  InversionUnit unit(context, packs.front(), unlimited);
  std::vector<std::string> names, placeholders;
  for (const std::size_t id : packs.front()) {
    names.push_back(context.settings.class_names[id]);
    placeholders.push_back(placeholder_of_class(id));
  }
  for (std::int64_t step = 0; step < steps && !unit.finished(); ++step) {
    models::NamedTensors tensors;
    const double rate = unit.classes().front().learning_rate();
    unit.step(&tensors);
    models::write_tensors(folder / fmt::format("step-{:06}.safetensors", step), tensors,
                          {{"schema", "deda-invert-trace-1"},
                           {"seed", fmt::format("{}", context.settings.seed)},
                           {"step", fmt::format("{}", step)},
                           {"class", fmt::format("{}", fmt::join(names, ", "))},
                           {"placeholder", fmt::format("{}", fmt::join(placeholders, ", "))},
                           {"lr", fmt::format("{}", rate)},
                           {"weight_decay", fmt::format("{}", context.config.weight_decay)},
                           {"tmax", fmt::format("{}", context.draws.most_timestep)},
                           {"model_identity", context.model.identity},
                           {"precision", c10::toString(context.model.unet_dtype)}});
  }
}

}  // namespace deda::diffusion
