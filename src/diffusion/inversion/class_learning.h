// How far the identifier of one class is learnt: everything that the next step depends on, and what is
// reported of the steps before.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "diffusion/inversion/adamw.h"
#include "diffusion/inversion/inversion_context.h"
#include "diffusion/step_checkpoints.h"

namespace deda::diffusion {

struct LossPoint {
  std::int64_t step = 0;  // steps done by then
  double loss = 0;        // mean over the steps since the point before
  double norm = 0;        // of the first text encoder's rows
  double cosine = 0;      // between them and what they started from
};

class ClassLearning {
 public:
  enum class Status : std::uint8_t { learning, done, failed };

  ClassLearning(const InversionContext& context, std::size_t class_id);

  std::size_t class_id() const { return class_id_; }
  const std::string& class_name() const { return context_.settings.class_names[class_id_]; }
  Status status() const { return status_; }
  std::int64_t attempt() const { return attempt_; }
  std::int64_t step() const { return step_; }  // steps done in this try
  double learning_rate() const { return learning_rate_of(context_.config, attempt_); }
  double loss_scale() const { return loss_scale_; }
  std::int64_t skipped_steps() const { return skipped_; }
  const IdentifierRows& rows() const { return rows_; }
  const IdentifierRows& initial_rows() const { return context_.initial[class_id_].rows; }
  const std::vector<AdamW::Moments>& moments() const { return optimizer_.moments(); }
  const std::vector<LossPoint>& curve() const { return curve_; }
  const std::string& reason() const { return reason_; }  // what went wrong, of all tries

  // One step with this loss and gradient. What is not finite is dealt with as configuration says: half
  // precision skips the step at half the scale; otherwise a new try at a tenth of the rate, failure, or
  // ModelError. Returns what went wrong, "" when nothing did.
  std::string advance(double loss, const IdentifierRows& gradient);
  // The same for a device that should not be waited for: the step is taken without a look at its numbers,
  // `errors` ([samples]) and `gradient` being still computed. settle() looks at all steps since the last time
  // and does what advance() would have done; from a step with bad numbers on the others are as if not taken.
  // Only where losses are not scaled: there a bad gradient ends the try, so that nothing wrong can survive.
  void advance_unseen(const at::Tensor& errors, const IdentifierRows& gradient);
  bool must_settle() const;
  std::string settle();
  // Whether steps need not be looked at one by one.
  bool may_advance_unseen() const { return loss_scale_ == 1 && !context_.model.device.is_cpu(); }
  double last_loss() const { return last_loss_; }
  void fail(const std::string& reason);

  // Under names that begin with the class's number. Nothing may be unseen.
  void save(SavedState& to) const;
  // DataError when `from` is of another class or shape.
  void restore(const SavedState& from);

 private:
  void start_try();
  void account(double loss);
  std::string handle_bad_numbers(const std::string& what);
  void report();
  std::string prefix() const;

  const InversionContext& context_;
  std::size_t class_id_;
  Status status_ = Status::learning;
  std::int64_t attempt_ = 0, step_ = 0, skipped_ = 0, steps_at_scale_ = 0;
  double loss_scale_ = 1, loss_sum_ = 0;
  std::int64_t loss_count_ = 0;
  IdentifierRows rows_;
  AdamW optimizer_;
  std::vector<LossPoint> curve_;
  std::string reason_;
  double last_loss_ = 0;
  struct Unseen {
    at::Tensor errors, finite;
  };
  std::vector<Unseen> unseen_;
};

// Norm of the rows, and cosine to where they started.
double norm_of(const at::Tensor& rows);
double cosine_between(const at::Tensor& rows, const at::Tensor& others);

}  // namespace deda::diffusion
