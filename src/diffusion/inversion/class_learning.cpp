#include "diffusion/inversion/class_learning.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "core/error.h"

namespace deda::diffusion {
namespace {

// torch.amp.GradScaler's rules.
constexpr double first_loss_scale = 65536, scale_back = 0.5, scale_growth = 2;
constexpr std::int64_t growth_interval = 2000;

bool all_finite(const IdentifierRows& rows) {
  for (const auto& of_encoder : rows) {
    if (!at::isfinite(of_encoder).all().item<bool>()) return false;
  }
  return true;
}

IdentifierRows copies_of(const IdentifierRows& rows, at::Device device) {
  IdentifierRows copies;
  for (const auto& of_encoder : rows)
    copies.push_back(of_encoder.to(device, /*non_blocking=*/false, /*copy=*/true));
  return copies;
}

// As all_finite(), but on the device: a bool to be read later.
at::Tensor finite_flag(const IdentifierRows& gradient) {
  std::vector<at::Tensor> flags;
  for (const auto& of_encoder : gradient) flags.push_back(at::isfinite(of_encoder).all());
  return at::stack(flags).all();
}

// Steps that a device may be ahead of what is known of it.
constexpr std::size_t most_unseen = 10;

}  // namespace

double norm_of(const at::Tensor& rows) {
  return rows.to(at::kCPU, at::kDouble).norm().item<double>();
}

double cosine_between(const at::Tensor& rows, const at::Tensor& others) {
  const double norms = norm_of(rows) * norm_of(others);
  return norms > 0
             ? (rows.to(at::kCPU, at::kDouble) * others.to(at::kCPU, at::kDouble)).sum().item<double>() /
                   norms
             : 0.0;
}

ClassLearning::ClassLearning(const InversionContext& context, std::size_t class_id)
    : context_{context},
      class_id_{class_id},
      rows_{copies_of(context.initial[class_id].rows, context.model.device)},
      optimizer_{rows_, {.weight_decay = context.config.weight_decay}} {
  start_try();
}

void ClassLearning::start_try() {
  for (std::size_t encoder = 0; encoder < rows_.size(); ++encoder)
    rows_[encoder].copy_(initial_rows()[encoder]);
  optimizer_ = AdamW(rows_, {.weight_decay = context_.config.weight_decay});
  step_ = skipped_ = steps_at_scale_ = loss_count_ = 0;
  loss_sum_ = 0;
  loss_scale_ = context_.model.unet_dtype == at::kHalf ? first_loss_scale : 1;
  curve_.clear();
  unseen_.clear();
}

void ClassLearning::account(double loss) {
  last_loss_ = loss;
  loss_sum_ += loss;
  ++loss_count_;
}

std::string ClassLearning::advance(double loss, const IdentifierRows& gradient) {
  if (!std::isfinite(loss)) return handle_bad_numbers("the loss is not a finite number");
  if (all_finite(gradient)) {
    optimizer_.step(gradient, learning_rate());
    if (!all_finite(rows_)) return handle_bad_numbers("the identifier is not finite any more");
    if (context_.model.unet_dtype == at::kHalf && ++steps_at_scale_ == growth_interval) {
      loss_scale_ *= scale_growth;
      steps_at_scale_ = 0;
    }
  } else if (loss_scale_ > 1) {
    loss_scale_ *= scale_back;
    steps_at_scale_ = 0;
    ++skipped_;
  } else {
    return handle_bad_numbers("the gradient is not finite");
  }
  ++step_;
  account(loss);
  if (step_ % context_.config.report_every == 0 || step_ == context_.config.steps) report();
  if (step_ == context_.config.steps) status_ = Status::done;
  return {};
}

void ClassLearning::advance_unseen(const at::Tensor& errors, const IdentifierRows& gradient) {
  unseen_.push_back({errors, finite_flag(gradient)});
  optimizer_.step(gradient, learning_rate());
  ++step_;
}

bool ClassLearning::must_settle() const {
  return unseen_.size() >= most_unseen || step_ % context_.config.report_every == 0 ||
         step_ == context_.config.steps;
}

std::string ClassLearning::settle() {
  if (unseen_.empty()) return {};
  std::vector<at::Tensor> errors, finite;
  for (const auto& each : unseen_) {
    errors.push_back(each.errors);
    finite.push_back(each.finite);
  }
  const auto first = step_ - static_cast<std::int64_t>(unseen_.size());
  unseen_.clear();
  const auto all_errors = at::stack(errors).to(at::kCPU), all_flags = at::stack(finite).to(at::kCPU);
  for (std::int64_t i = 0; i < all_errors.size(0); ++i) {
    const double loss = loss_of(all_errors[i]);
    const bool bad_loss = !std::isfinite(loss);
    if (bad_loss || !all_flags[i].item<bool>()) {
      step_ = first + i;
      return handle_bad_numbers(bad_loss ? "the loss is not a finite number" : "the gradient is not finite");
    }
    account(loss);
  }
  if (!all_finite(rows_)) return handle_bad_numbers("the identifier is not finite any more");
  if (step_ % context_.config.report_every == 0 || step_ == context_.config.steps) report();
  if (step_ == context_.config.steps) status_ = Status::done;
  return {};
}

void ClassLearning::report() {
  curve_.push_back({step_, loss_sum_ / static_cast<double>(loss_count_), norm_of(rows_.front()),
                    cosine_between(rows_.front(), initial_rows().front())});
  loss_sum_ = 0;
  loss_count_ = 0;
}

std::string ClassLearning::handle_bad_numbers(const std::string& what) {
  const auto sentence = fmt::format("{} in step {} at learning rate {:g}", what, step_ + 1, learning_rate());
  if (context_.config.nan == NanPolicy::fail)
    throw ModelError(fmt::format("class {}: {}", class_name(), sentence), "invert.nan",
                     "Set invert.nan = \"retry_lower_rate\" or a smaller invert.learning_rate.");
  if (context_.config.nan == NanPolicy::skip_class || attempt_ >= context_.config.nan_retries) {
    fail(sentence);
    return sentence;
  }
  reason_ += (reason_.empty() ? "" : "; ") + sentence;
  ++attempt_;
  start_try();
  return sentence + ": trying again at a tenth of the rate";
}

void ClassLearning::fail(const std::string& reason) {
  reason_ += (reason_.empty() ? "" : "; ") + reason;
  status_ = Status::failed;
}

std::string ClassLearning::prefix() const {
  return fmt::format("class-{}.", class_id_);
}

void ClassLearning::save(SavedState& to) const {
  const auto name = prefix();
  for (std::size_t encoder = 0; encoder < rows_.size(); ++encoder) {
    to.tensors[fmt::format("{}rows.{}", name, encoder)] =
        rows_[encoder].to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
    to.tensors[fmt::format("{}first.{}", name, encoder)] =
        optimizer_.moments()[encoder].first.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
    to.tensors[fmt::format("{}second.{}", name, encoder)] =
        optimizer_.moments()[encoder].second.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  }
  to.tensors[name + "counts"] = at::tensor({static_cast<std::int64_t>(status_), attempt_, step_, skipped_,
                                            steps_at_scale_, loss_count_, optimizer_.steps()});
  to.tensors[name + "numbers"] = at::tensor({loss_scale_, loss_sum_}, at::kDouble);
  std::vector<double> curve;
  for (const auto& point : curve_)
    curve.insert(curve.end(), {static_cast<double>(point.step), point.loss, point.norm, point.cosine});
  to.tensors[name + "curve"] =
      at::tensor(curve, at::kDouble).view({static_cast<std::int64_t>(curve_.size()), 4});
  to.texts[name + "reason"] = reason_;
}

void ClassLearning::restore(const SavedState& from) {
  const auto name = prefix();
  const auto get = [&](const std::string& field, at::IntArrayRef shape) {
    const auto found = from.tensors.find(name + field);
    if (found == from.tensors.end() || (!shape.empty() && found->second.sizes() != shape))
      throw DataError("lacks a fitting " + name + field);
    return found->second;
  };
  const auto counts = get("counts", {7}), numbers = get("numbers", {2}), curve = get("curve", {});
  std::vector<AdamW::Moments> moments;
  for (std::size_t encoder = 0; encoder < rows_.size(); ++encoder) {
    const auto shape = rows_[encoder].sizes();
    rows_[encoder].copy_(get(fmt::format("rows.{}", encoder), shape));
    moments.push_back(
        {get(fmt::format("first.{}", encoder), shape), get(fmt::format("second.{}", encoder), shape)});
  }
  const auto* count = counts.const_data_ptr<std::int64_t>();
  status_ = static_cast<Status>(count[0]);
  attempt_ = count[1];
  step_ = count[2];
  skipped_ = count[3];
  steps_at_scale_ = count[4];
  loss_count_ = count[5];
  optimizer_ = AdamW(rows_, {.weight_decay = context_.config.weight_decay});
  optimizer_.restore(moments, count[6]);
  loss_scale_ = numbers[0].item<double>();
  loss_sum_ = numbers[1].item<double>();
  curve_.clear();
  for (std::int64_t i = 0; i < curve.size(0); ++i) {
    const auto* point = curve.const_data_ptr<double>() + 4 * i;
    curve_.push_back({static_cast<std::int64_t>(point[0]), point[1], point[2], point[3]});
  }
  const auto reason = from.texts.find(name + "reason");
  reason_ = reason == from.texts.end() ? std::string{} : reason->second;
}

}  // namespace deda::diffusion
