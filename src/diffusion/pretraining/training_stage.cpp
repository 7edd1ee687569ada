#include "diffusion/pretraining/training_stage.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "core/error.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/stop.h"
#include "diffusion/inversion/adamw.h"
#include "diffusion/pretraining/shared_gradient.h"

namespace deda::diffusion {
namespace {

constexpr std::int64_t checkpoint_every = 100;

// Rising over the first twentieth, then down along a half cosine to a hundredth.
double rate_at(std::int64_t step, std::int64_t steps, double rate) {
  const double warm_up = std::max<double>(1.0, static_cast<double>(steps) / 20),
               done = static_cast<double>(step) + 1;
  if (done < warm_up) return rate * done / warm_up;
  const double share = (done - warm_up) / std::max(1.0, static_cast<double>(steps) - warm_up);
  return rate * (0.01 + 0.99 * 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, share))));
}

// A running mean of the weights, which is what is kept: far better pictures than the last step's weights.
class WeightMean {
 public:
  explicit WeightMean(const std::vector<at::Tensor>& parameters) : parameters_{parameters} {
    for (const auto& parameter : parameters_) mean_.push_back(parameter.detach().clone());
  }
  void update(std::int64_t step) {
    constexpr double slowest = 0.998;
    const double keep =
        std::min(slowest, (1.0 + static_cast<double>(step)) / (10.0 + static_cast<double>(step)));
    for (std::size_t i = 0; i < mean_.size(); ++i) mean_[i].lerp_(parameters_[i].detach(), 1 - keep);
  }
  void take() {
    const at::NoGradGuard no_gradients;
    for (std::size_t i = 0; i < mean_.size(); ++i) parameters_[i].detach().copy_(mean_[i]);
  }
  std::vector<at::Tensor>& values() { return mean_; }

 private:
  std::vector<at::Tensor> parameters_, mean_;
};

// Everything that the next step depends on.
class StageState {
 public:
  explicit StageState(const TrainingStage& stage)
      : parameters_{stage.parameters},
        optimizer{stage.parameters, {.weight_decay = stage.weight_decay}},
        mean{stage.parameters} {}

  void save(const StepCheckpoints& to, const StageRecord& record) {
    SavedState state;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      state.tensors[fmt::format("parameter.{}", i)] = parameters_[i].detach();
      state.tensors[fmt::format("mean.{}", i)] = mean.values()[i];
      state.tensors[fmt::format("first_moment.{}", i)] = optimizer.moments()[i].first;
      state.tensors[fmt::format("second_moment.{}", i)] = optimizer.moments()[i].second;
    }
    state.texts["step"] = std::to_string(step);
    state.texts["loss_sum"] = nlohmann::json(loss_sum).dump();
    state.texts["record"] = to_json(record);
    to.save(state, step);
  }

  void restore(const SavedState& from, StageRecord& record) {
    const at::NoGradGuard no_gradients;
    std::vector<AdamW::Moments> moments;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      parameters_[i].detach().copy_(from.tensors.at(fmt::format("parameter.{}", i)));
      mean.values()[i].copy_(from.tensors.at(fmt::format("mean.{}", i)));
      moments.push_back({from.tensors.at(fmt::format("first_moment.{}", i)).clone(),
                         from.tensors.at(fmt::format("second_moment.{}", i)).clone()});
    }
    step = std::stoll(from.texts.at("step"));
    optimizer.restore(moments, step);
    loss_sum = nlohmann::json::parse(from.texts.at("loss_sum")).get<double>();
    record = stage_record_of(from.texts.at("record"), "checkpoint");
  }

 private:
  std::vector<at::Tensor> parameters_;

 public:
  AdamW optimizer;
  WeightMean mean;
  std::int64_t step = 0;  // done
  double loss_sum = 0;    // since the last entry of losses
};

}  // namespace

std::string to_json(const StageRecord& record) {
  return nlohmann::ordered_json{{"name", record.name},         {"parameters", record.parameters},
                                {"steps", record.steps},       {"seconds", std::round(record.seconds)},
                                {"held_out", record.held_out}, {"first_losses", record.first_losses},
                                {"losses", record.losses}}
      .dump();
}

StageRecord stage_record_of(const std::string& text, const std::string& where) {
  try {
    const auto json = nlohmann::json::parse(text);
    return {.name = json.at("name"),
            .parameters = json.at("parameters"),
            .steps = json.at("steps"),
            .seconds = json.at("seconds"),
            .losses = json.at("losses"),
            .first_losses = json.at("first_losses"),
            .held_out = json.at("held_out")};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string{"is no record of a training stage: "} + error.what(), where);
  }
}

void run_stage(const TrainingStage& stage, StageRecord& record, std::int64_t steps_to_run,
               const StepCheckpoints* checkpoints) {
  record.name = stage.name;
  record.steps = stage.steps;
  record.parameters = 0;
  for (const auto& parameter : stage.parameters) record.parameters += parameter.numel();
  StageState state(stage);
  if (checkpoints != nullptr) {
    if (const auto saved = checkpoints->newest()) {
      state.restore(*saved, record);
      log_info("continuing {}: {} of {} steps are done", stage.name, state.step, stage.steps);
    }
  }
  const double seconds_before = record.seconds;
  const auto started = std::chrono::steady_clock::now();
  const auto count_seconds = [&] {
    record.seconds =
        seconds_before + std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  };
  Progress progress("pretrain " + stage.name, "steps", static_cast<std::uint64_t>(steps_to_run), true);
  progress.advance_to(static_cast<std::uint64_t>(state.step));
  SharedGradient threads(gradient_shares);
  while (state.step < steps_to_run) {
    if (stop_requested()) {
      count_seconds();
      if (checkpoints != nullptr) state.save(*checkpoints, record);
      throw Stopped(fmt::format("pretraining of {} at step {} of {}: {}", stage.name, state.step, stage.steps,
                                stop_reason()));
    }
    const auto step = state.step;
    auto result = threads.run(stage.parameters, [&](std::size_t share) {
      const auto part = stage.batch / static_cast<std::int64_t>(gradient_shares),
                 first = static_cast<std::int64_t>(share) * part;
      return stage.loss(step, first, share + 1 == gradient_shares ? stage.batch : first + part);
    });
    if (!std::isfinite(result.loss))
      throw ModelError(fmt::format("the loss of {} became {} at step {}", stage.name, result.loss, step));
    double norm = 0;
    for (const auto& gradient : result.gradients) norm += gradient.square().sum().item<double>();
    constexpr double most_norm = 1.0;
    if (norm = std::sqrt(norm); norm > most_norm) {
      for (auto& gradient : result.gradients) gradient.mul_(most_norm / norm);
    }
    state.optimizer.step(result.gradients, rate_at(step, stage.steps, stage.rate));
    state.mean.update(step);
    ++state.step;
    if (step < first_steps) record.first_losses.push_back(result.loss);
    state.loss_sum += result.loss;
    if (state.step % report_every == 0) {
      record.losses.push_back(state.loss_sum / static_cast<double>(report_every));
      state.loss_sum = 0;
    }
    progress.advance_to(static_cast<std::uint64_t>(state.step),
                        record.losses.empty() ? "" : fmt::format("loss {:.4f}", record.losses.back()));
    if (checkpoints != nullptr && state.step % checkpoint_every == 0 && state.step < steps_to_run) {
      count_seconds();
      state.save(*checkpoints, record);
    }
  }
  progress.finish();
  state.mean.take();
  count_seconds();
}

}  // namespace deda::diffusion
