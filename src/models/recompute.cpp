#include "models/recompute.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <string>
#include <utility>

namespace deda::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kept_key = "stretch";

struct KeptStretch : torch::CustomClassHolder {
  KeptStretch(Stretch kept, at::DeviceType device)
      : stretch{std::move(kept)},
        type{device},
        autocast{at::autocast::is_autocast_enabled(device)},
        autocast_dtype{at::autocast::get_autocast_dtype(device)} {}
  Stretch stretch;
  at::DeviceType type;
  bool autocast;
  at::ScalarType autocast_dtype;
};

// Autocast as it was at the first pass; the backward pass may run on another thread, where it is off.
class AutocastOf {
 public:
  explicit AutocastOf(const KeptStretch& kept)
      : type_{kept.type},
        was_enabled_{at::autocast::is_autocast_enabled(type_)},
        was_dtype_{at::autocast::get_autocast_dtype(type_)} {
    at::autocast::set_autocast_enabled(type_, kept.autocast);
    at::autocast::set_autocast_dtype(type_, kept.autocast_dtype);
    at::autocast::increment_nesting();
  }
  ~AutocastOf() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_dtype(type_, was_dtype_);
    at::autocast::set_autocast_enabled(type_, was_enabled_);
  }
  AutocastOf(const AutocastOf&) = delete;
  AutocastOf& operator=(const AutocastOf&) = delete;

 private:
  at::DeviceType type_;
  bool was_enabled_;
  at::ScalarType was_dtype_;
};

class Recomputed : public torch::autograd::Function<Recomputed> {
 public:
  static at::Tensor forward(AutogradContext* context, at::TensorList inputs,
                            const c10::intrusive_ptr<KeptStretch>& kept) {
    context->save_for_backward(inputs.vec());
    context->saved_data[kept_key] = c10::IValue::make_capsule(kept);
    return kept->stretch(inputs, false);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto capsule = context->saved_data.at(kept_key).toCapsule();
    const auto& kept = static_cast<const KeptStretch&>(*capsule);
    const auto saved = context->get_saved_variables();
    // Detached, so that the inner backward pass ends here; parameters too, whose own gradients are added up
    // by the outer one.
    variable_list inputs, wanted;
    for (const auto& each : saved) {
      inputs.push_back(each.detach().set_requires_grad(each.requires_grad()));
      if (each.requires_grad()) wanted.push_back(inputs.back());
    }
    at::Tensor output;
    {
      const at::AutoGradMode with_gradients(true);
      const AutocastOf autocast(kept);
      output = kept.stretch(inputs, true);
    }
    const auto found = torch::autograd::grad({output}, wanted, {gradients.at(0)});
    variable_list result(saved.size() + 1);  // one per argument of forward(), the stretch itself has none
    std::size_t next = 0;
    for (std::size_t i = 0; i < saved.size(); ++i) {
      if (saved[i].requires_grad()) result[i] = found.at(next++);
    }
    return result;
  }
};

}  // namespace

at::Tensor recomputed_in_backward(const std::vector<at::Tensor>& inputs, Stretch stretch) {
  auto kept = c10::make_intrusive<KeptStretch>(std::move(stretch), inputs.at(0).device().type());
  return Recomputed::apply(at::TensorList(inputs), kept);
}

}  // namespace deda::models
