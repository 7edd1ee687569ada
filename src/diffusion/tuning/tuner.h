// Tuning on one rank: pictures, captions, LoRA and words, their optimizers, and the loop's step. Knows no
// files: the stage around it is tune.h.
//
// The global batch is cut into passes of tune.micro_batch pictures, whose members are fixed. Ranks take turns
// with the passes, and the passes' gradients are added in double precision, so that a step is the same for
// any number of ranks but where a sum of doubles falls just between two floats.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/inversion/adamw.h"
#include "diffusion/model.h"
#include "diffusion/sampling/noise_schedule.h"
#include "diffusion/step_checkpoints.h"
#include "diffusion/tuning/config.h"
#include "diffusion/tuning/picture_latents.h"
#include "diffusion/tuning/picture_source.h"
#include "diffusion/tuning/tuning_draws.h"
#include "diffusion/tuning/tuning_step.h"
#include "models/diffusion/lora_layers.h"
#include "models/weights/tensor_file.h"

namespace deda::diffusion {

struct TuneSettings {
  TuneConfig tune;
  std::vector<std::string> class_names;
  std::string super_class;  // as super_class_of() resolves it
  std::uint64_t seed = 0;
};

// "a photo of a <class-0012> bird": what pictures of a class are called, in tuning and in generation.
std::string tuning_caption(const std::string& name, const std::string& super_class);

struct TuningCurvePoint {
  std::int64_t step = 0;  // steps done by then
  double loss = 0;        // means over the steps since the point before
  double grad_norm = 0;   // of the LoRA's gradient before clipping
};

// Which passes of a step this rank computes, and how sums are added over ranks.
struct TuningShare {
  int rank = 0, ranks = 1;
  int workers = 1;                               // passes at a time, each in a thread on one core; CPU only
  std::function<void(at::Tensor& sums)> add_up;  // float64 on the model's device, in place; empty: alone
};

class Tuner {
 public:
  enum class Status : std::uint8_t { learning, done, failed };

  // ConfigError with all problems: an initial word without tokens, a resolution that the model cannot take,
  // no picture at all. The model's UNet carries the LoRA while this lives: nobody else may use it.
  Tuner(const DiffusionModel& model, const PictureSource& pictures, const TuneSettings& settings,
        TuningShare share = {});

  Status status() const { return status_; }
  std::int64_t step() const { return step_; }        // steps done in this try
  std::int64_t attempt() const { return attempt_; }  // tries that failed
  double rate_factor() const;                        // of both learning rates, a tenth after each failed try
  std::int64_t skipped_steps() const { return skipped_; }  // whose half-precision gradients overflowed
  double last_loss() const { return last_loss_; }
  const std::string& reason() const { return reason_; }  // what went wrong, of all tries
  const std::vector<TuningCurvePoint>& curve() const { return curve_; }
  const PictureLatents& latents() const { return latents_; }

  // Takes one step together with the other ranks. On a GPU its numbers are looked at every tenth step, with
  // fp16 at every one. Numbers that are not finite begin the tuning again at a tenth of the rates, or end it
  // (ModelError, where the configuration says so); returns what went wrong, "" when nothing did. `trace`
  // gains what a traced step holds: alone only.
  std::string take_step(models::NamedTensors* trace = nullptr);
  // Looks at all steps taken; what it returns is as above. Where it is due, step() is known to be right.
  std::string settle();
  bool settled() const { return unseen_.empty(); }

  const models::LoraLayers& lora() const { return *lora_; }
  // Per text encoder [classes, D] on the model's device.
  const std::vector<at::Tensor>& rows() const { return rows_; }
  struct InitialRow {
    std::int64_t tokens = 0;      // of the initial word; more than one: the rows started from their mean
    std::vector<at::Tensor> row;  // per text encoder [1, D]
  };
  const InitialRow& initial() const { return initial_; }

  // Everything that the next step depends on; settled() must hold. Equal steps after restore().
  SavedState save() const;
  void restore(const SavedState& state);  // DataError when it is of another run
  // What restore() fills, to be sent to the other ranks; counts as text.
  std::vector<at::Tensor> tensors() const;
  std::string counts() const;
  void take_counts(const std::string& text);

 private:
  struct Pass {
    TuningBatch batch;
    at::Tensor posterior_noise, mean, deviation;  // [N, C, h, w]
    std::vector<std::int64_t> classes;            // of its pictures
  };
  void start_try();
  Pass pass_of(const std::vector<TuningDraw>& draws, std::int64_t first, std::int64_t last) const;
  at::Tensor sums_of_step(models::NamedTensors* trace);
  std::string handle_bad_numbers(const std::string& what);
  void account(double loss, double norm);
  void trace_before(models::NamedTensors& trace) const;
  void trace_after(models::NamedTensors& trace, const at::Tensor& lora_gradient,
                   const std::vector<at::Tensor>& row_gradients, const at::Tensor& norm, double loss) const;

  const DiffusionModel& model_;
  const PictureSource& pictures_;
  const TuneSettings settings_;
  const TuningShare share_;
  const NoiseSchedule schedule_;
  std::vector<at::Tensor> captions_;  // per text encoder [classes, tokens]
  InitialRow initial_;
  mutable PictureLatents latents_;
  TuningDraws draws_;

  std::unique_ptr<models::LoraLayers> lora_;
  std::vector<at::Tensor> rows_;
  std::optional<AdamW> lora_optimizer_, row_optimizer_;
  Status status_ = Status::learning;
  std::int64_t step_ = 0, attempt_ = 0, skipped_ = 0, steps_at_scale_ = 0, count_ = 0;
  double loss_scale_ = 1, loss_sum_ = 0, norm_sum_ = 0, last_loss_ = 0;
  std::vector<TuningCurvePoint> curve_;
  std::string reason_;
  std::vector<at::Tensor> unseen_;  // [loss, norm, 1 where all was finite] of steps not looked at
};

}  // namespace deda::diffusion
