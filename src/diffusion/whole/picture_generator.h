// Whole pictures in memory, edited: those of one unit of work into the model's square, through the
// autoencoder, an edit and back to 8 bits. What the generative peers share; which texts, strengths and seeds
// an edit has is theirs to say. Knows neither files nor ranks.
//
//   const PictureGenerator generator(model, settings, texts, unconditional);
//   const auto encoded = generator.prepare({picture_a, picture_b});
//   const auto edited = generator.edit(encoded, {{0, text, 0.25, seed_a}, {1, text, 0.75, seed_b}});
//   const auto as_large_as_before = io::resize(edited[0].picture, height, width, io::Filter::bilinear);
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/sampling/sdedit.h"
#include "diffusion/whole/picture_autoencoder.h"
#include "io/pictures/image.h"
#include "io/pictures/resize.h"

namespace deda::diffusion {

struct PictureSettings {
  EditSettings edit;                   // `strength` is not looked at; resolution: of the square
  std::vector<double> strengths{1.0};  // those that tasks may have; Guidance::text_and_picture: 1 alone
  io::Filter into_square = io::Filter::bilinear;  // aspect ratio is not kept
  // Tasks of equal strength that are denoised together; 0: as many as there are. As in every batch, sums and
  // so last digits depend on it.
  std::int64_t batch = 4;
  std::int64_t autoencoder_batch = 4;  // pictures that the autoencoder takes at once
};

// One edit of one picture.
struct PictureTask {
  std::size_t picture = 0;  // row of the encoded pictures
  std::size_t text = 0;     // of the generator's texts
  double strength = 1.0;
  std::uint64_t seed = 0;  // of all its noise (seed_of_copy), and of nothing else
};

struct EditedPicture {
  io::Image picture;   // RGB, at the model's size; empty when failed
  std::string reason;  // why it failed; empty otherwise
};

// Pictures of a unit, ready to be edited as often as wanted.
struct PreparedPictures {
  std::vector<io::Image> squares;  // [R, R, 3], resized
  EncodedPictures encoded;
};

// All tensors of one task, for traces; [1, 4, r, r], float32 on the CPU.
struct PictureRecord {
  at::Tensor posterior_noise;  // undefined where the source is not sampled (text_and_picture)
  at::Tensor latents;          // scaled, to be noised; text_and_picture: what the UNet sees beside the sample
  at::Tensor noise;            // of the start
  RecordedSteps edited;
  at::Tensor final_latents;
  at::Tensor image;  // [1, 3, R, R] of the autoencoder, not clamped
};

class PictureGenerator {
 public:
  // `texts` and `unconditional` (what guidance leads away from) are one row each, as
  // DiffusionModel::encode_text makes them. ConfigError with all problems: strengths, steps, resolution and
  // guidance that do not fit the model (LatentEditor).
  PictureGenerator(std::shared_ptr<const DiffusionModel> model, PictureSettings settings,
                   std::vector<TextCondition> texts, TextCondition unconditional);

  // RGB pictures of any size.
  PreparedPictures prepare(const std::vector<io::Image>& pictures) const;
  // In the order of the tasks. A pure function of its arguments: tasks of equal strength form batches in
  // their order, and a task's numbers depend on its batch by rounding alone. Numbers that are not finite make
  // a task failed and no other. `records`: one per task. Safe from many threads.
  std::vector<EditedPicture> edit(const PreparedPictures& pictures, const std::vector<PictureTask>& tasks,
                                  std::vector<PictureRecord>* records = nullptr) const;

  // The work of a batch of `tasks` tasks at the largest strength on made-up latents, to see what memory it
  // takes.
  void rehearse(std::size_t tasks) const;

  const DiffusionModel& model() const { return *model_; }
  const PictureSettings& settings() const { return settings_; }
  const TextCondition& text(std::size_t index) const { return texts_.at(index); }
  const TextCondition& unconditional() const { return unconditional_; }
  // Of one of the settings' strengths.
  const LatentEditor& editor(double strength) const;

 private:
  void edit_batch(const PreparedPictures& pictures, const std::vector<PictureTask>& tasks,
                  const std::vector<std::size_t>& batch, std::vector<EditedPicture>& edited,
                  std::vector<PictureRecord>* records) const;

  std::shared_ptr<const DiffusionModel> model_;
  PictureSettings settings_;
  std::vector<TextCondition> texts_;
  TextCondition unconditional_;
  std::vector<LatentEditor> editors_;  // one a strength
};

}  // namespace deda::diffusion
