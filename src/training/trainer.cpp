#include "training/trainer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/events.h"
#include "core/files.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/stop.h"
#include "io/store/folder_lock.h"
#include "models/classifiers/facts.h"
#include "models/weights/weights.h"
#include "training/checkpoint.h"
#include "training/device.h"
#include "training/device_feed.h"
#include "training/evaluation.h"
#include "training/learner.h"
#include "training/objective_names.h"
#include "training/schedule.h"
#include "training/trace.h"

namespace deda::training {
namespace {

using Clock = std::chrono::steady_clock;
// On a GPU the loss is read, and ranks talk about stopping and errors, at least once in that many steps and
// at the end of an epoch: reading it waits for the device. On a CPU, and while steps are traced, after each
// step.
constexpr std::size_t steps_between_talks_on_gpu = 10;
constexpr std::chrono::seconds between_loss_events{1};
// The smallest number of half precision. At a loss scale below it nothing is left to scale: PyTorch would
// skip one step after the other without a word.
constexpr double least_loss_scale = 0x1p-24;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Trainer {
 public:
  Trainer(const comm::Communicator& ranks, const TrainRequest& request, const TrainingSamples& samples,
          const TestSamples& tests, const TestSamples& held_out)
      : ranks_{ranks},
        request_{request},
        config_{request.config},
        samples_{samples},
        tests_{tests},
        held_out_{held_out},
        run_{request.run},
        schedule_{config_, samples.count},
        steps_per_epoch_{schedule_.steps_per_epoch()},
        device_{request.compute.place.device},
        learner_{ranks,          config_,       samples.classes, request.seed, request.compute.place,
                 samples.height, samples.mixing},
        checkpoints_{request.folder, config_.keep_checkpoints},
        progress_{"training " + config_.network, "images",
                  static_cast<std::uint64_t>((samples.count - schedule_.left_out()) * config_.epochs),
                  ranks.is_root()} {
    run_.ranks = ranks.size();
    run_.left_out = schedule_.left_out();
    run_.groups = {"all"};
    run_.groups.insert(run_.groups.end(), tests.groups.begin(), tests.groups.end());
    ranks.agree("making the run folder", [&] { events_ = EventLog(request.folder, ranks.rank(), "train"); });
    if (request.trace) start_trace();
  }

  TrainingState run() {
    resume();
    events_.write(state_.global_step, "started", state_.epoch,
                  {{"device", describe(device_)}, {"ranks", std::int64_t{ranks_.size()}}});
    while (state_.epoch <= config_.epochs) {
      train_epoch();
      finish_epoch();
    }
    finish();
    return state_;
  }

 private:
  void start_trace() {
    std::map<std::string, std::string> constants{
        {"schema", "deda-train-trace-1"},
        {"network", config_.network},
        {"classes", std::to_string(samples_.classes)},
        {"seed", std::to_string(request_.seed)},
        {"momentum", fmt::format("{}", config_.momentum)},
        {"nesterov", config_.nesterov ? "true" : "false"},
        {"weight_decay", fmt::format("{}", config_.weight_decay)},
        {"objective", std::string{name_of(config_.objective)}},
        {"label_smoothing", fmt::format("{}", config_.label_smoothing)},
        {"ranks", std::to_string(ranks_.size())},
        {"augment", samples_.settings},
        {"method", samples_.mixing != nullptr ? std::string{samples_.mixing->method().facts().name} : ""},
        {"device", describe(device_)},
        {"precision", name_of(config_.precision)},
        {"batch_norm", config_.batch_norm == BatchNorm::global ? "global" : "local"}};
    ranks_.agree("making the trace folder", [&] {
      tracer_ = std::make_unique<StepTracer>(*request_.trace, request_.trace_steps, ranks_.rank(),
                                             std::move(constants), samples_.before_policy, samples_.compose);
    });
  }

  // Rank 0 looks for a checkpoint; the others hear of it.
  void resume() {
    Checkpoint checkpoint;
    std::string text;
    ranks_.agree("looking for a checkpoint", [&] {
      if (!ranks_.is_root()) return;
      auto found = checkpoints_.newest();
      if (!found) return;
      if (found->state.key != request_.run.made_of.key) {
        throw DataError("the checkpoints belong to another run", request_.folder.string(),
                        "Use another run.output, or move that folder away.");
      }
      checkpoint = std::move(*found);
      text = to_json(checkpoint.state);
    });
    text = ranks_.broadcast(std::move(text));
    state_.key = request_.run.made_of.key;
    state_.code_version = DEDA_VERSION;
    if (text.empty()) return;
    learner_.restore(checkpoint.tensors);
    state_ = state_from_json(text, "the checkpoint of rank 0");
    state_.code_version = DEDA_VERSION;
    unmixed_before_ = state_.left_unmixed;
    log_info("continuing at epoch {} of {}, step {} of {}", std::min(state_.epoch, config_.epochs),
             config_.epochs, state_.step, steps_per_epoch_);
  }

  void train_epoch() {
    if (state_.step >= steps_per_epoch_) return;
    if (!feed_) open_feed(state_.epoch, state_.step);
    epoch_start_ = Clock::now();
    seconds_before_ = state_.seconds;
    while (state_.step < steps_per_epoch_) {
      const double starved_before = feed_->seconds_starved();
      const DeviceBatch& share = next_share(*feed_);
      const std::int64_t global_size = schedule_.pictures_in_step(state_.step);
      const double rate = schedule_.rate(state_.epoch, state_.step);
      StepTracer* tracer = tracer_ && tracer_->wants_more() ? tracer_.get() : nullptr;
      const auto plan = plan_of_mix(share, global_size);
      pending_losses_.push_back(learner_.step(share, global_size, rate, tracer, plan ? &*plan : nullptr));
      pending_samples_.push_back(global_size);
      if (!tracer && state_.step + 1 < steps_per_epoch_) feed_->prefetch();
      state_.waited_s += feed_->seconds_starved() - starved_before;
      ++state_.step;
      ++state_.global_step;
      const bool talk = device_.is_cpu() || tracer || state_.step == steps_per_epoch_ ||
                        pending_losses_.size() >= steps_between_talks_on_gpu;
      if (!talk) continue;
      const bool stop = talk_with_ranks();
      if (tracer) trace_step(*tracer, rate);
      report(rate);
      if (stop) stop_here();
    }
    feed_.reset();
    // The next epoch's first batches are made while this one is evaluated and saved.
    if (state_.epoch < config_.epochs) open_feed(state_.epoch + 1, 0);
  }

  // How the global batch is mixed. A pure function, so that a rank without a share knows it too.
  std::optional<mixing::BatchPlan> plan_of_mix(const DeviceBatch& share, std::int64_t global_size) const {
    if (samples_.mixing == nullptr || samples_.mixing->method().mixes_pixels()) return std::nullopt;
    if (share.host != nullptr && share.host->mix) return share.host->mix->plan;
    const mixing::BatchNumber number{request_.seed, static_cast<std::uint32_t>(state_.epoch),
                                     static_cast<std::uint64_t>(state_.step)};
    return samples_.mixing->method().plan(*samples_.mixing, number, global_size, samples_.height);
  }

  void open_feed(std::int64_t epoch, std::int64_t first_step) {
    ranks_.agree("opening the training pictures",
                 [&] { feed_ = std::make_unique<DeviceFeed>(samples_.open(epoch, first_step), device_); });
  }

  // A rank whose data fails keeps in step with empty shares until the ranks talk, so that nobody waits for
  // it.
  const DeviceBatch& next_share(DeviceFeed& feed) {
    static const DeviceBatch nothing;
    if (data_error_) return nothing;
    try {
      const auto* share = feed.next();
      if (share == nullptr)
        throw DataError(fmt::format("the pictures of epoch {} ended at step {} of {}", state_.epoch,
                                    state_.step, steps_per_epoch_));
      return *share;
    } catch (...) {
      data_error_ = std::current_exception();
      return nothing;
    }
  }

  // Adds up the losses since the last talk, agrees on stopping, and throws on all ranks where one could not
  // read its pictures or a loss is not finite. True: stop.
  bool talk_with_ranks() {
    const auto count = pending_losses_.size();
    const auto losses = at::stack(pending_losses_).to(at::kCPU);
    const auto* values = losses.const_data_ptr<double>();
    std::vector<double> message(values, values + count);
    message.push_back(stop_requested() ? 1.0 : 0.0);
    message.push_back(data_error_ ? 1.0 : 0.0);
    if (ranks_.size() > 1) message = ranks_.all_reduce(std::move(message), comm::Reduction::sum);
    const bool stop = message[count] > 0, failed = message[count + 1] > 0;
    if (failed) {
      ranks_.agree("reading the training pictures", [&] {
        if (data_error_) std::rethrow_exception(data_error_);
      });
    }
    for (std::size_t i = 0; i < count; ++i) {
      const auto step = state_.step - static_cast<std::int64_t>(count - i);
      last_loss_ = message[i] / static_cast<double>(pending_samples_[i]);
      if (!std::isfinite(last_loss_))
        break_down(fmt::format("the loss is {} at epoch {}, step {} of {}", last_loss_, state_.epoch, step,
                               steps_per_epoch_));
      state_.loss_sum += message[i];
      state_.samples += pending_samples_[i];
    }
    pending_losses_.clear();
    pending_samples_.clear();
    look_at_loss_scale();
    look_at_mixing();
    state_.seconds = seconds_before_ + seconds_since(epoch_start_);
    return stop;
  }

  // Tells of skipped steps. Alike on all ranks: they agreed on each.
  void look_at_loss_scale() {
    const auto scale = learner_.loss_scale();
    if (!scale) return;
    const auto skipped = scale->skipped - (state_.loss_scale ? state_.loss_scale->skipped : 0);
    state_.loss_scale = scale;
    if (skipped == 0) return;
    log_info("epoch {}, step {}: {} skipped, for gradients overflowed; the loss scale is now {:g}",
             state_.epoch, state_.step, skipped == 1 ? "one step was" : fmt::format("{} steps were", skipped),
             scale->scale);
    events_.write(state_.global_step, "skipped_steps", scale->skipped, {{"loss_scale", scale->scale}});
    if (scale->scale < least_loss_scale)
      break_down(fmt::format("gradients overflow at every loss scale down to {:g} at epoch {}, step {} of {}",
                             scale->scale, state_.epoch, state_.step, steps_per_epoch_));
  }

  // Tells of batches that could not be mixed. Alike on all ranks.
  void look_at_mixing() {
    const auto left_unmixed = learner_.left_unmixed() + unmixed_before_;
    const auto more = left_unmixed - state_.left_unmixed;
    state_.left_unmixed = left_unmixed;
    if (more == 0) return;
    log_warning("epoch {}, step {}: {} left unmixed, for saliency was not finite", state_.epoch, state_.step,
                more == 1 ? "one batch was" : fmt::format("{} batches were", more));
    events_.write(state_.global_step, "left_unmixed", state_.left_unmixed);
  }

  void trace_step(StepTracer& tracer, double rate) {
    ranks_.agree("writing the trace", [&] {
      tracer.finish(learner_.network(), state_.global_step - 1, state_.epoch, rate, last_loss_);
    });
    if (!tracer.wants_more())
      log_info("traced {} steps into {}", request_.trace_steps, request_.trace->string());
  }

  void report(double rate) {
    const auto done = (state_.epoch - 1) * (samples_.count - schedule_.left_out()) + state_.samples;
    std::string note = fmt::format("epoch {}/{}, loss {:.4f}", state_.epoch, config_.epochs, last_loss_);
    if (state_.best_epoch > 0)
      note += fmt::format(", best {:.2f} % at {}", percent * state_.best_accuracy, state_.best_epoch);
    progress_.advance_to(static_cast<std::uint64_t>(done), note);
    if (ranks_.is_root() && (state_.global_step == 1 || Clock::now() - last_event_ >= between_loss_events)) {
      last_event_ = Clock::now();
      events_.write(state_.global_step, "loss", last_loss_,
                    {{"epoch", state_.epoch}, {"learning_rate", rate}});
    }
  }

  [[noreturn]] void stop_here() {
    learner_.synchronise_buffers();
    save_checkpoint();
    save_results();
    events_.write(state_.global_step, "stopped", stop_reason(), {{"epoch", state_.epoch}});
    throw Stopped(fmt::format("stopped at epoch {}, step {} of {}: {}", state_.epoch, state_.step,
                              steps_per_epoch_,
                              stop_reason().empty() ? "another rank was asked to" : stop_reason()));
  }

  // Collective: losses are summed over the ranks and parameters are equal on all of them, so that all come
  // here.
  [[noreturn]] void break_down(const std::string& what) {
    const auto files = checkpoints_.files();
    state_.failure = what;
    events_.write(state_.global_step, "failed", what);
    save_results();
    throw ModelError(what, request_.folder.string(),
                     fmt::format("{} Lower train.learning_rate,{} or look at the batch with --trace.",
                                 files.empty() ? "No checkpoint was written before."
                                               : "The last good checkpoint is kept (" +
                                                     files.front().filename().string() + ").",
                                 config_.precision == Precision::fp16
                                     ? " use train.precision = \"bf16\" or \"fp32\" (fp16 ends at 65504),"
                                     : ""));
  }

  void finish_epoch() {
    if (!learner_.finite()) break_down(fmt::format("a parameter is not finite after epoch {}", state_.epoch));
    learner_.synchronise_buffers();
    EpochRecord record{
        .epoch = state_.epoch,
        .learning_rate = schedule_.rate(state_.epoch, 0),
        .loss = state_.loss_sum / static_cast<double>(std::max<std::int64_t>(1, state_.samples)),
        .seconds = state_.seconds,
        .waited_s = state_.waited_s,
        .images_per_s = state_.seconds > 0 ? static_cast<double>(state_.samples) / state_.seconds : 0.0,
        .scores = {},
        .held_out = {},
        .metrics = {}};
    const bool last = state_.epoch == config_.epochs;
    bool improved = false;
    const bool evaluation_due = is_evaluated(config_, state_.epoch);
    if (evaluation_due && tests_.count > 0) {
      auto evaluation = evaluate(learner_.network(), tests_, ranks_, device_, config_);
      record.scores = std::move(evaluation.scores);
      record.metrics = std::move(evaluation.metrics);
      improved = record.scores.front().accuracy() > state_.best_accuracy;
      if (improved) {
        state_.best_accuracy = record.scores.front().accuracy();
        state_.best_epoch = state_.epoch;
      }
      events_.write(state_.global_step, "accuracy", record.scores.front().accuracy(),
                    {{"epoch", state_.epoch}, {"best", state_.best_accuracy}});
    }
    if (evaluation_due && held_out_.count > 0) {
      record.held_out = evaluate(learner_.network(), held_out_, ranks_, device_, config_).scores.front();
      events_.write(state_.global_step, "held_out_accuracy", record.held_out->accuracy(),
                    {{"epoch", state_.epoch}});
    }
    events_.write(state_.global_step, "epoch", state_.epoch,
                  {{"loss", record.loss},
                   {"seconds", record.seconds},
                   {"waited_s", record.waited_s},
                   {"images_per_s", record.images_per_s}});
    state_.history.push_back(std::move(record));
    if (improved) save_weights("best.safetensors");
    const bool checkpoint_due = last || state_.epoch % config_.checkpoint_every == 0;
    start_next_epoch();
    if (checkpoint_due) save_checkpoint();
    if (!last)
      save_results();  // the last epoch's come behind last.safetensors: they tell that the run has finished
  }

  void start_next_epoch() {
    ++state_.epoch;
    state_.step = 0;
    state_.loss_sum = state_.seconds = state_.waited_s = 0;
    state_.samples = 0;
  }

  void save_checkpoint() {
    ranks_.agree("saving a checkpoint", [&] {
      if (ranks_.is_root()) checkpoints_.save({state_, learner_.tensors()});
    });
  }

  void save_weights(const std::string& name) {
    ranks_.agree("saving " + name, [&] {
      if (!ranks_.is_root()) return;
      models::save_weights(learner_.network(), request_.folder / name,
                           {{"network", config_.network},
                            {"epoch", std::to_string(state_.history.back().epoch)},
                            {"key", request_.run.made_of.key}});
    });
  }

  // state.json last: finished_run() goes by it, with last.safetensors, which finish() saves before.
  void save_results() {
    ranks_.agree("saving the results", [&] {
      if (!ranks_.is_root()) return;
      write_results(request_.folder, run_, state_);
      write_atomically(request_.folder / "state.json", to_json(state_) + "\n");
    });
  }

  void finish() {
    progress_.finish();
    if (state_.loss_scale)
      log_info("loss scaling: {} of {} steps were skipped, the scale ended at {:g}",
               state_.loss_scale->skipped, state_.global_step, state_.loss_scale->scale);
    save_weights("last.safetensors");
    save_results();
    // All that tells the finished run is on disk: checkpoints would only be read to continue it.
    if (ranks_.is_root() && !config_.keep_finished_checkpoints) checkpoints_.remove_all();
    events_.write(state_.global_step, "finished", true);
  }

  const comm::Communicator& ranks_;
  const TrainRequest& request_;
  const TrainConfig& config_;
  const TrainingSamples& samples_;
  const TestSamples& tests_;
  const TestSamples& held_out_;
  RunDescription run_;
  Schedule schedule_;
  std::int64_t steps_per_epoch_;
  at::Device device_;
  Learner learner_;
  CheckpointFolder checkpoints_;
  Progress progress_;
  EventLog events_;
  std::unique_ptr<DeviceFeed> feed_;
  std::unique_ptr<StepTracer> tracer_;

  TrainingState state_;
  std::vector<at::Tensor> pending_losses_;     // sums over this rank's samples, not yet talked about
  std::vector<std::int64_t> pending_samples_;  // of the global batches
  std::exception_ptr data_error_;
  std::int64_t unmixed_before_ = 0;  // before this start
  double last_loss_ = 0;
  double seconds_before_ = 0;
  Clock::time_point epoch_start_, last_event_;
};

}  // namespace

void remove_checkpoints(const std::filesystem::path& folder) {
  CheckpointFolder(folder, 1).remove_all();
}

std::optional<TrainingState> finished_run(const std::filesystem::path& folder, const std::string& key) {
  const auto path = folder / "state.json";
  std::error_code unreadable;
  if (!std::filesystem::exists(path, unreadable) ||
      !std::filesystem::exists(folder / "last.safetensors", unreadable))
    return std::nullopt;
  try {
    auto state = state_from_json(read_text(path), path.string());
    const bool done = state.key == key && state.step == 0 && state.failure.empty();
    if (!done || state.history.empty() || state.epoch != state.history.back().epoch + 1) return std::nullopt;
    return state;
  } catch (const Error& error) {
    log_warning("the run is looked at again: {}", error.what());
    return std::nullopt;
  }
}

namespace {

// The sizes of the batches that differ: of most, and of the last one of an epoch where it is smaller.
std::vector<std::int64_t> batch_sizes(const TrainConfig& config, std::int64_t pictures) {
  std::vector<std::int64_t> sizes{std::min(config.batch_size, pictures)};
  const std::int64_t last = pictures % config.batch_size;
  if (last > 0 && pictures > last && config.last_batch == LastBatch::keep) sizes.push_back(last);
  return sizes;
}

// Whether batch norm sees as many values as pictures somewhere in the network; never where there is none.
bool ends_as_one_pixel(const TrainConfig& config, const TrainingSamples& samples) {
  const auto largest = models::facts_of_classifier(config.network).one_pixel_up_to;
  return samples.height <= largest && samples.width <= largest;
}

void check_batch_norm(const TrainConfig& config, const TrainingSamples& samples, std::int64_t ranks,
                      std::vector<Problem>& problems) {
  if (!ends_as_one_pixel(config, samples)) return;
  const bool global = config.batch_norm == BatchNorm::global;
  for (const auto size : batch_sizes(config, samples.count)) {
    const std::int64_t smallest = size / ranks, largest = (size + ranks - 1) / ranks;
    if (global ? size != 1 : smallest != 1 && largest != 1) continue;
    problems.push_back(
        {fmt::format("a batch of {} over {} ranks leaves {} with one picture of {} x {}, "
                     "which batch norm cannot normalise in training",
                     size, ranks, global ? "all together" : "a rank", samples.height, samples.width),
         "train.batch_size",
         global ? "Use another batch size, larger pictures or train.last_batch = \"drop\"."
                : "Use fewer ranks, another batch size, larger pictures or train.batch_norm = "
                  "\"global\"."});
  }
}

}  // namespace

void check_run(const TrainConfig& config, const TrainingSamples& samples, int ranks) {
  std::vector<Problem> problems;
  if (samples.count < 1)
    problems.push_back({"there is no training picture", {}, "Check [dataset] and the store."});
  if (config.last_batch == LastBatch::drop && samples.count < config.batch_size)
    problems.push_back(
        {fmt::format("there are {} training pictures for batches of {}, and a smaller last batch is dropped: "
                     "no step would be left",
                     samples.count, config.batch_size),
         "train.last_batch", "Set train.last_batch = \"keep\", or a smaller train.batch_size."});
  if (config.batch_size < ranks)
    problems.push_back(
        {fmt::format("train.batch_size = {} is cut over {} ranks: some would have nothing to do",
                     config.batch_size, ranks),
         "train.batch_size",
         "Use at most as many ranks as samples in a batch; the batch size is part of the recipe."});
  else
    check_batch_norm(config, samples, ranks, problems);
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

std::vector<std::string> doubts_about_run(const TrainConfig& config, const TrainingSamples& samples,
                                          int ranks) {
  std::vector<std::string> doubts;
  std::string unreached;
  for (const auto milestone : config.milestones) {
    if (config.schedule == ScheduleKind::step && milestone > config.epochs)
      unreached += fmt::format("{}{}", unreached.empty() ? "" : ", ", milestone);
  }
  if (!unreached.empty())
    doubts.push_back(
        fmt::format("train.milestones: {} lies beyond the {} epochs, so the learning rate does "
                    "not fall there",
                    unreached, config.epochs));
  constexpr std::int64_t few_for_batch_norm = 8;
  const auto smallest = std::min(config.batch_size, samples.count) / ranks;
  const bool has_batch_norm = models::facts_of_classifier(config.network).one_pixel_up_to > 0;
  if (has_batch_norm && ranks > 1 && config.batch_norm == BatchNorm::local && smallest < few_for_batch_norm)
    doubts.push_back(
        fmt::format("batch norm sees {} pictures, those of a rank, and other numbers of ranks "
                    "give other results: train.batch_norm = \"global\" takes its statistics "
                    "over all ranks' pictures",
                    smallest));
  if (const auto left_out = Schedule(config, samples.count).left_out(); left_out > 0)
    doubts.push_back(
        fmt::format("train.last_batch = \"drop\" leaves {} of {} training pictures out of every "
                    "epoch, other ones each time",
                    left_out, samples.count));
  return doubts;
}

TrainingState train(const comm::Communicator& ranks, const TrainRequest& request,
                    const TrainingSamples& samples, const TestSamples& tests, const TestSamples& held_out) {
  check_run(request.config, samples, ranks.size());
  apply_torch_threads(request.compute.threads.torch);
  apply_precision(request.config.precision);
  apply_kernels(request.config.kernels, request.compute.place.device);
  std::optional<io::FolderLock> lock;  // two runs in one folder would overwrite each other's checkpoints
  ranks.agree("making the run folder", [&] {
    if (!ranks.is_root()) return;
    make_folder(request.folder);
    lock.emplace(request.folder);
  });
  return Trainer(ranks, request, samples, tests, held_out).run();
}

}  // namespace deda::training
