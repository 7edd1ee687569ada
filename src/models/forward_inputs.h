// The input tensors of `deda forward`, checked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "models/registry.h"

namespace deda::models {

// Takes the inputs by name; what is missing, misshapen, unknown or no number that can be taken is one error.
class ForwardInputs {
 public:
  explicit ForwardInputs(const ForwardRequest& request) : request_{request} {}
  // -1 fits any extent. Integers stay int64 on the device, and fractions among them are an error; numbers get
  // the request's type.
  at::Tensor take(const std::string& name, const std::vector<std::int64_t>& shape, bool integers = false,
                  bool optional = false) {
    const auto tensor = checked(name, shape, optional);
    if (!tensor.defined()) return {};
    if (integers && tensor.is_floating_point() && !tensor.equal(tensor.trunc()))
      problems.push_back({"input tensor `" + name + "` must hold whole numbers", request_.inputs_from, {}});
    return integers ? tensor.to(request_.device, at::kLong) : tensor.to(request_.device, request_.dtype);
  }
  // Timesteps [B]: whole ones, or fractions that stay float32 in every precision of the network.
  at::Tensor take_timesteps(const std::string& name, std::int64_t batch) {
    const auto tensor = checked(name, {batch}, false);
    if (!tensor.defined()) return {};
    const auto numbers = tensor.to(request_.device, at::kFloat);
    if (!at::isfinite(numbers).all().item<bool>() || !numbers.ge(0).all().item<bool>())
      problems.push_back(
          {"input tensor `" + name + "` holds timesteps below 0 or not finite", request_.inputs_from, {}});
    return numbers;
  }
  void finish() {
    for (const auto& [name, tensor] : request_.inputs) {
      if (std::find(known_.begin(), known_.end(), name) == known_.end())
        problems.push_back({"unknown input tensor `" + name + "`", request_.inputs_from, {}});
    }
    if (!problems.empty()) throw DataError(std::move(problems));
  }
  std::vector<Problem> problems;

 private:
  // The tensor as it was read, undefined where there is none.
  at::Tensor checked(const std::string& name, const std::vector<std::int64_t>& shape, bool optional) {
    known_.push_back(name);
    const auto found = request_.inputs.find(name);
    if (found == request_.inputs.end()) {
      if (!optional) problems.push_back({"input tensor `" + name + "` is missing", request_.inputs_from, {}});
      return {};
    }
    const auto& tensor = found->second;
    bool fits = tensor.dim() == static_cast<std::int64_t>(shape.size()) && tensor.numel() > 0;
    for (std::size_t i = 0; fits && i < shape.size(); ++i)
      fits = shape[i] < 0 || tensor.size(static_cast<std::int64_t>(i)) == shape[i];
    if (!fits) {
      problems.push_back({"input tensor `" + name + "` has shape " + c10::str(tensor.sizes()) +
                              ", expected " + c10::str(at::IntArrayRef(shape)) + " (-1: any)",
                          request_.inputs_from,
                          {}});
    }
    return tensor;
  }

  const ForwardRequest& request_;
  std::vector<std::string> known_;
};

}  // namespace deda::models
