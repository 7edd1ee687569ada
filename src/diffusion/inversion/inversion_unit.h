// One unit of work of `deda invert`: the classes of one pack, learnt together in one batch. Which classes
// make a pack is fixed, so that a unit's result depends on nothing but itself. A class whose numbers go bad
// leaves the pack; its further tries are made alone, after the others.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "diffusion/inversion/class_learning.h"
#include "diffusion/inversion/identifiers.h"
#include "diffusion/inversion/inversion_context.h"
#include "diffusion/inversion/latent_cache.h"

namespace deda::diffusion {

// The classes that have CDPs, `classes_per_batch` at a time, in order.
std::vector<std::vector<std::size_t>> inversion_packs(const LatentSource& source,
                                                      std::int64_t classes_per_batch);

struct LearntClass {
  IdentifierRecord record;  // without files
  IdentifierRows rows;      // empty unless done
  std::vector<LossPoint> curve;
};

// What went wrong with which class; the result's reason tells it too.
using ProblemListener = std::function<void(const ClassLearning&, const std::string& problem)>;

class InversionUnit {
 public:
  // `cache_bytes` of latents are kept in memory.
  InversionUnit(const InversionContext& context, const std::vector<std::size_t>& classes,
                std::uint64_t cache_bytes, ProblemListener on_problem = {});

  bool finished() const;
  // One step of the classes whose turn it is. `trace` gains what a traced step of `invert` holds.
  void step(models::NamedTensors* trace = nullptr);
  std::int64_t steps_taken() const { return steps_taken_; }  // further tries included
  // Steps that need not be taken any more, of classes * invert.steps.
  std::int64_t progress() const;
  double last_loss() const { return last_loss_; }  // mean over the classes of the last step looked at
  const std::vector<ClassLearning>& classes() const { return learning_; }

  SavedState save();                      // settles what is still unseen
  void restore(const SavedState& state);  // DataError when it is of another unit

  // Only when finished(). Measures the held-out CDPs.
  std::vector<LearntClass> results();

 private:
  struct ClassCdps {
    std::vector<std::size_t> training, held_out;
  };
  struct Samples {  // of one class in one step
    std::size_t member = 0;
    std::vector<SampleDraw> draws;
    at::Tensor latents;
  };
  std::vector<std::size_t> members_in_turn() const;
  std::vector<Samples> draw_all();
  InversionBatch batch_of(const std::vector<Samples>& samples);
  at::Tensor noise_of(std::size_t class_id, std::int64_t step) const;
  at::Tensor take_noise(const ClassLearning& learning);
  void measure_held_out(std::size_t member, IdentifierRecord& record);
  void take_step(ClassLearning& learning, const at::Tensor& errors, const IdentifierRows& gradient,
                 bool look);
  void settle(ClassLearning& learning);
  void fail(ClassLearning& learning, const std::string& problem) const;

  const InversionContext& context_;
  ProblemListener on_problem_;
  LatentCache cache_;
  std::vector<ClassLearning> learning_;
  std::vector<ClassCdps> cdps_;            // as learning_
  std::vector<std::int64_t> noise_shape_;  // [batch, 4, r, r]
  std::int64_t steps_taken_ = 0;
  double last_loss_ = 0;
  // By class: a step and its noise. On a GPU it is drawn while the step before is computed.
  std::map<std::size_t, std::pair<std::int64_t, std::future<at::Tensor>>> noise_ahead_;
};

}  // namespace deda::diffusion
