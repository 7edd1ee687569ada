// Edits on latents, several sources and several copies of each in one batch. SDEdit (paper section 3.2.2, Eq.
// 1 and 2): noise is added up to a strength, then taken away under a text. InstructPix2Pix: pure noise is
// taken away under a text, beside the picture's latents as further channels. Guidance costs no second call:
// its passes are one batch. Loops and formulas: img2img and InstructPix2Pix pipelines of diffusers 0.42.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/config.h"
#include "diffusion/model.h"
#include "diffusion/sampling/captured_unet.h"
#include "diffusion/sampling/scheduler.h"

namespace deda::diffusion {

// What leads an edit, and where it starts.
enum class Guidance : std::uint8_t {
  text,  // from the noised source; passes [unconditional; text]
  // From pure noise, the source as further channels of the input; passes [text and picture; picture;
  // neither], the last two under the unconditional text, the last one with zeros for the picture.
  text_and_picture
};

struct EditSettings {
  SchedulerKind scheduler = SchedulerKind::dpmpp2m_linspace;
  std::int64_t steps = 25;
  double strength = 0.4;        // text_and_picture: 1
  double guidance = 7.0;        // 1 or less: the conditional prediction alone, text_and_picture's too
  std::int64_t resolution = 0;  // pixels a side: one of SDXL's conditions
  Guidance led_by = Guidance::text;
  double picture_guidance = 1.5;  // text_and_picture: how far from the pass without the picture; at least 1
};
SchedulerKind kind_of(Sampler sampler);

// One row of a batch: one copy of one source.
struct EditRow {
  std::int64_t source = 0;  // row of the sources' tensor
  std::size_t text = 0;     // row of the texts
  std::uint64_t seed = 0;   // of this copy's noise, and of nothing else
};

// Seed of copy k of the CDP cut from `source` (path in the dataset): what the store's column `seed` holds.
// All noise of a copy follows from it, so that neither rank, batch nor a dataset's other pictures change it.
std::uint64_t seed_of_copy(std::uint64_t run_seed, const std::string& source, std::int64_t copy);
// Standard normal noise of one copy, [1, 4, r, r]: draw 0 is the noise added at the start, draw k + 1 what an
// ancestral sampler adds after evaluation k.
at::Tensor edit_noise(std::uint64_t seed, std::int64_t draw, at::IntArrayRef shape);
// Standard normal noise that a copy's source is drawn from its posterior with, [1, 4, r, r]: img2img draws it
// before the noise of the start.
at::Tensor posterior_noise(std::uint64_t seed, at::IntArrayRef shape);

// One evaluation, for traces; tensors [N, 4, r, r], float32.
struct EditStep {
  std::size_t k = 0;
  double timestep = 0, sigma = 0;
  const at::Tensor &sample, &unconditional, &conditional, &guided,
      &after;                     // unconditional: undefined without guidance
  const at::Tensor& fresh_noise;  // undefined but for ancestral samplers
  const at::Tensor& picture;      // prediction under the picture alone; undefined but for text_and_picture
};
using EditObserver = std::function<void(const EditStep&)>;

// The same, kept: float32 on the CPU.
struct RecordedStep {
  double timestep = 0;
  at::Tensor sample, unconditional, conditional, guided, after, fresh_noise, picture;
};
struct RecordedSteps {
  std::vector<double> sigmas;  // of the evaluations
  std::vector<RecordedStep> steps;
};
// Appends every step to `record`, which must outlive the edit.
EditObserver recorder_into(RecordedSteps& record);

class LatentEditor {
 public:
  // `unconditional`: what guidance leads away from, one row. ConfigError with all problems: make_scheduler's,
  // settings that do not go together, a UNet that has no channels for pictures, or has where none are given.
  // The model must outlive the editor.
  LatentEditor(const DiffusionModel& model, EditSettings settings, TextCondition unconditional);
  // The same edit at another strength, on the same recorded graphs. ConfigError as above.
  LatentEditor at_strength(double strength) const;

  // Of `sources` [S, 4, r, r] and `texts` (one row each) -> [N, 4, r, r] float32 on the model's device, row i
  // from rows[i]. Sources are float32 latents: scaled, to be noised (Guidance::text), or unscaled, as
  // channels beside the sample (text_and_picture). Rows do not depend on each other beyond rounding. Safe
  // from many threads.
  at::Tensor edit(const at::Tensor& sources, const std::vector<TextCondition>& texts,
                  const std::vector<EditRow>& rows, const EditObserver& observer = {}) const;
  // Network evaluations per row; timestep and noise level of the first.
  std::size_t evaluations() const { return evaluations_; }
  double first_timestep() const { return first_timestep_; }
  double first_sigma() const { return first_sigma_; }
  const EditSettings& settings() const { return settings_; }
  bool guided() const { return settings_.guidance > 1; }
  // What draw 0 of the noise is multiplied by at the start; text_and_picture only.
  double start_sigma() const { return start_sigma_; }
  const TextCondition& unconditional() const { return unconditional_; }

 private:
  const DiffusionModel& model_;
  // Shared by all threads of the process, as the device is.
  std::shared_ptr<CapturedUNet> captured_;
  EditSettings settings_;
  TextCondition unconditional_;
  std::size_t evaluations_ = 0;
  double first_timestep_ = 0, first_sigma_ = 0, start_sigma_ = 0;
};

}  // namespace deda::diffusion
