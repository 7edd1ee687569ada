#include "diffusion/tuning/tune.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>

#include "comm/c10d/process_group.h"
#include "core/error.h"
#include "core/events.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/stop.h"
#include "diffusion/inversion/class_learning.h"
#include "diffusion/prompts.h"
#include "diffusion/step_checkpoints.h"
#include "io/store/folder_lock.h"
#include "models/weights/embedding_file.h"

namespace deda::diffusion {
namespace {

std::string_view name_of(TuneCrop crop) {
  return crop == TuneCrop::random ? "random" : crop == TuneCrop::center ? "center" : "squash";
}

std::vector<std::pair<std::string, std::string>> settings_of(const TuneSettings& settings) {
  const auto& tune = settings.tune;
  return {{"rank", fmt::format("{}", tune.rank)},
          {"alpha", fmt::format("{}", tune.alpha == 0 ? static_cast<double>(tune.rank) : tune.alpha)},
          {"steps", fmt::format("{}", tune.steps)},
          {"batch", fmt::format("{}", tune.batch)},
          {"micro_batch", fmt::format("{}", tune.micro_batch)},
          {"learning_rate", fmt::format("{}", tune.learning_rate)},
          {"token_learning_rate", fmt::format("{}", tune.token_learning_rate)},
          {"weight_decay", fmt::format("{}", tune.weight_decay)},
          {"max_grad_norm", fmt::format("{}", tune.max_grad_norm)},
          {"super_class", settings.super_class},
          {"init_word", tune.init_word},
          {"resolution", fmt::format("{}", tune.resolution)},
          {"crop", std::string{name_of(tune.crop)}},
          {"crop_positions", fmt::format("{}", tune.crop_positions)},
          {"flip", fmt::format("{}", tune.flip)},
          {"seed", fmt::format("{}", settings.seed)}};
}

// The stage on one rank.
class TuningStage {
 public:
  TuningStage(const comm::Communicator& ranks, const TuneRequest& request)
      : ranks_{ranks},
        request_{request},
        tune_{request.settings.tune},
        checkpoints_{request.folder / "work", "tuning", request.made_of.key} {}

  bool run() {
    bool finished = false;
    ranks_.agree("opening the folder of the tuning", [&] {
      if (ranks_.is_root()) finished = open();
    });
    if (ranks_.any(finished)) return true;
    prepare();
    ranks_.agree("tuning", [&] { learn(); });
    ranks_.agree("writing what was tuned", [&] {
      if (ranks_.is_root()) finish();
    });
    return false;
  }

 private:
  using Clock = std::chrono::steady_clock;

  // Rank 0: whether all is there already.
  bool open() {
    const auto& key = request_.made_of.key;
    if (finished_tuning(request_.folder, key)) return true;
    make_folder(request_.folder);
    lock_ = std::make_unique<io::FolderLock>(request_.folder);
    if (finished_tuning(request_.folder, key)) return true;  // another run just did
    make_folder(request_.folder / "work");
    // A record of another run, or of files that are damaged, must not stand beside new ones.
    std::error_code not_there;
    fs::remove(tuning_record_path(request_.folder), not_there);
    return false;
  }

  void prepare() {
    cv::setNumThreads(1);
    ranks_.agree("loading the diffusion model", [&] { model_ = request_.load_model(); });
    TuningShare share{
        .rank = ranks_.rank(), .ranks = ranks_.size(), .workers = request_.workers, .add_up = {}};
    if (ranks_.size() > 1) {
      const auto device = model_->device;
      group_ =
          comm::make_process_group(ranks_, device.is_cpu() ? comm::DeviceKind::cpu : comm::DeviceKind::cuda,
                                   device.is_cpu() ? -1 : device.index());
      share.add_up = [group = group_](at::Tensor& sums) {
        std::vector<at::Tensor> one{sums};
        group->allreduce(one)->wait();
      };
    }
    ranks_.agree("preparing the tuning", [&] {
      tuner_ = std::make_unique<Tuner>(*model_, request_.pictures, request_.settings, std::move(share));
    });
    const auto passes = (tune_.batch + tune_.micro_batch - 1) / tune_.micro_batch;
    if (ranks_.is_root() && passes < ranks_.size())
      log_warning("tuning: {} ranks share {} passes of a step, {} of them have nothing to do", ranks_.size(),
                  passes, ranks_.size() - passes);
    events_ = EventLog(request_.folder, ranks_.rank(), "tune");
    continue_saved();
  }

  // Rank 0 reads, the others are sent what it found.
  void continue_saved() {
    std::string counts;
    ranks_.agree("reading the checkpoint", [&] {
      if (!ranks_.is_root()) return;
      const auto saved = checkpoints_.newest();
      if (!saved) return;
      try {
        tuner_->restore(*saved);
        counts = tuner_->counts();
      } catch (const DataError& error) {
        log_warning("checkpoint passed over: {}", to_string(error.problems().front()));
      }
    });
    counts = ranks_.broadcast(std::move(counts));
    if (counts.empty()) return;
    if (group_) comm::broadcast_tensors(*group_, tuner_->tensors());
    if (!ranks_.is_root()) tuner_->take_counts(counts);
    if (ranks_.is_root())
      log_info("continuing the tuning: {} of {} steps are done", tuner_->step(), tune_.steps);
  }

  void learn() {
    const auto start = Clock::now();
    Progress progress("tune", "steps", static_cast<std::uint64_t>(tune_.steps), ranks_.is_root());
    std::int64_t furthest = tuner_->step();  // of all tries: one that begins again is behind it at first
    progress.advance_to(static_cast<std::uint64_t>(furthest));
    events_.write(0, "started", tuner_->step());
    while (tuner_->status() == Tuner::Status::learning) {
      stop_if_asked();
      tell(tuner_->take_step());
      const auto step = tuner_->step();
      if (step > 0 && step % tune_.checkpoint_every == 0 && tuner_->status() == Tuner::Status::learning)
        save();
      furthest = std::max(furthest, step);
      progress.advance_to(static_cast<std::uint64_t>(furthest),
                          fmt::format("loss {:.4f}", tuner_->last_loss()));
      if (request_.on_step) request_.on_step(step);
    }
    progress.finish();
    events_.write(0, "done", tuner_->step(),
                  {{"seconds", std::chrono::duration<double>(Clock::now() - start).count()},
                   {"encoded", tuner_->latents().encoded()}});
  }

  void tell(const std::string& problem) {
    if (problem.empty()) return;
    if (ranks_.is_root()) log_warning("tuning: {}", problem);
    events_.write(0, "problem", problem);
  }

  // All ranks look at the same steps: on a GPU where numbers are looked at anyway.
  void stop_if_asked() {
    if (!tuner_->settled() || !ranks_.any(stop_requested())) return;
    save();
    events_.write(0, "stopped", tuner_->step());
    // A rank that was not asked itself has no reason of its own.
    const auto reason = stop_reason();
    throw Stopped(fmt::format("tuning stopped after {} of {} steps: {}", tuner_->step(), tune_.steps,
                              reason.empty() ? "another rank was asked to" : reason));
  }

  void save() {
    tell(tuner_->settle());
    if (ranks_.is_root() && tuner_->status() == Tuner::Status::learning)
      checkpoints_.save(tuner_->save(), tuner_->attempt() * tune_.steps + tuner_->step());
  }

  std::map<std::string, std::string> metadata() const {
    std::map<std::string, std::string> metadata{{"format", "pt"},
                                                {"model_identity", request_.model_identity},
                                                {"precision", c10::toString(model_->unet_dtype)}};
    for (const auto& [name, value] : settings_of(request_.settings)) metadata.emplace(name, value);
    return metadata;
  }

  ResultFile hashed(const std::string& name) const {
    return {name, xxhash128_hex(read_text(request_.folder / name))};
  }

  // Rank 0.
  void finish() {
    const bool done = tuner_->status() == Tuner::Status::done;
    const auto& settings = request_.settings;
    const auto counts = pictures_per_class(request_.pictures, settings.class_names.size());
    TuningRecord record{.key = request_.made_of.key,
                        .made_of = to_json(request_.made_of),
                        .model_identity = request_.model_identity,
                        .settings = settings_of(settings),
                        .outcome = done ? TuningOutcome::done : TuningOutcome::failed,
                        .reason = tuner_->reason(),
                        .super_class = settings.super_class,
                        .initial_word = tune_.init_word,
                        .initial_tokens = tuner_->initial().tokens,
                        .pictures = static_cast<std::int64_t>(request_.pictures.size()),
                        .steps = tuner_->step(),
                        .tries = tuner_->attempt() + 1,
                        .skipped_steps = tuner_->skipped_steps(),
                        .learning_rate = tune_.learning_rate * tuner_->rate_factor(),
                        .token_learning_rate = tune_.token_learning_rate * tuner_->rate_factor(),
                        .loss_first = {},
                        .loss_last = {},
                        .classes = {},
                        .files = {}};
    if (done) {
      auto lora = tuner_->lora().file();
      lora.metadata = metadata();
      models::write_lora(request_.folder / tuned_lora_name, lora);
      record.files.push_back(hashed(tuned_lora_name));
    }
    if (!tuner_->curve().empty()) {
      record.loss_first = tuner_->curve().front().loss;
      record.loss_last = tuner_->curve().back().loss;
      std::string curve = "step,loss,grad_norm\n";
      for (const auto& point : tuner_->curve())
        curve += fmt::format("{},{},{}\n", point.step, point.loss, point.grad_norm);
      write_atomically(request_.folder / tuning_curve_name, curve);
      record.files.push_back(hashed(tuning_curve_name));
    }
    IdentifierManifest words{.key = record.key,
                             .made_of = record.made_of,
                             .model_identity = record.model_identity,
                             .settings = record.settings,
                             .classes = {}};
    for (std::size_t id = 0; id < settings.class_names.size(); ++id) {
      words.classes.push_back(word_of(id, counts[id], done));
      const auto& word = words.classes.back();
      for (const auto& file : word.files) record.files.push_back(file);
      const bool is_there = word.outcome == IdentifierOutcome::done;
      record.classes.push_back({word.class_name, word.placeholder,
                                is_there          ? "done"
                                : counts[id] == 0 ? "no_picture"
                                                  : "failed",
                                counts[id]});
    }
    const auto manifest = identifier_manifest_path(request_.folder);
    write_atomically(manifest, to_json(words));
    record.files.push_back(hashed(manifest.filename().string()));
    write_atomically(tuning_record_path(request_.folder), to_json(record));
    fs::remove_all(request_.folder / "work");
  }

  IdentifierRecord word_of(std::size_t id, std::int64_t pictures, bool done) const {
    IdentifierRecord record;
    record.class_id = static_cast<std::int64_t>(id);
    record.class_name = request_.settings.class_names[id];
    record.placeholder = placeholder_of_class(id);
    record.initial_word = tune_.init_word;
    record.initial_tokens = tuner_->initial().tokens;
    record.cdps = pictures;
    record.tries = tuner_->attempt() + 1;
    record.learning_rate = tune_.token_learning_rate * tuner_->rate_factor();
    record.skipped_steps = tuner_->skipped_steps();
    record.reason = tuner_->reason();
    if (pictures == 0) {
      record.outcome = IdentifierOutcome::no_cdp;
      record.reason = "no training picture is of the class";
      return record;
    }
    if (!done) {
      record.outcome = IdentifierOutcome::failed;
      return record;
    }
    std::vector<at::Tensor> rows;
    for (std::size_t encoder = 0; encoder < tuner_->rows().size(); ++encoder) {
      const auto row =
          tuner_->rows()[encoder].narrow(0, static_cast<std::int64_t>(id), 1).to(at::kCPU).contiguous();
      const auto initial = tuner_->initial().row[encoder].to(at::kCPU);
      record.norm.push_back(norm_of(row));
      record.cosine.push_back(cosine_between(row, initial));
      rows.push_back(row);
    }
    auto described = metadata();
    described["class"] = record.class_name;
    described["placeholder"] = record.placeholder;
    const auto path = request_.folder / (file_stem_of(record.placeholder) + ".safetensors");
    models::write_embedding(path, {record.placeholder, rows, described});
    for (std::size_t encoder = 0; encoder < rows.size(); ++encoder)
      record.files.push_back(hashed(models::embedding_path_of(path, encoder).filename().string()));
    return record;
  }

  const comm::Communicator& ranks_;
  const TuneRequest& request_;
  const TuneConfig& tune_;
  StepCheckpoints checkpoints_;
  std::unique_ptr<io::FolderLock> lock_;  // rank 0
  std::shared_ptr<const DiffusionModel> model_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;  // null with one rank
  std::unique_ptr<Tuner> tuner_;                  // before the model and the group in destruction
  EventLog events_;
};

}  // namespace

bool tune(const comm::Communicator& ranks, const TuneRequest& request) {
  return TuningStage(ranks, request).run();
}

void trace_tuning(const DiffusionModel& model, const PictureSource& pictures, const TuneSettings& settings,
                  const std::filesystem::path& folder, std::int64_t steps) {
  make_folder(folder);
  Tuner tuner(model, pictures, settings);
  const auto& tune = settings.tune;
  for (std::int64_t step = 0; step < steps && tuner.status() == Tuner::Status::learning; ++step) {
    models::NamedTensors tensors;
    const double factor = tuner.rate_factor();
    if (const auto problem = tuner.take_step(&tensors); !problem.empty()) log_warning("tuning: {}", problem);
    models::write_tensors(folder / fmt::format("step-{:06}.safetensors", step), tensors,
                          {{"schema", "deda-tune-trace-1"},
                           {"seed", fmt::format("{}", settings.seed)},
                           {"step", fmt::format("{}", step)},
                           {"lr", fmt::format("{}", tune.learning_rate * factor)},
                           {"token_lr", fmt::format("{}", tune.token_learning_rate * factor)},
                           {"weight_decay", fmt::format("{}", tune.weight_decay)},
                           {"max_grad_norm", fmt::format("{}", tune.max_grad_norm)},
                           {"rank", fmt::format("{}", tune.rank)},
                           {"alpha", fmt::format("{}", tuner.lora().alpha())},
                           {"super_class", settings.super_class},
                           {"tmax", fmt::format("{}", model.schedule.num_train_timesteps - 1)},
                           {"model_identity", model.identity},
                           {"precision", c10::toString(model.unet_dtype)}});
  }
}

}  // namespace deda::diffusion
