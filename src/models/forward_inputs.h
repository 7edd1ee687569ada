// The input tensors of `deda forward`, checked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "models/registry.h"

namespace deda::models {

// Takes the inputs by name; what is missing, misshapen or unknown is one error.
class ForwardInputs {
 public:
  explicit ForwardInputs(const ForwardRequest& request) : request_{request} {}
  // -1 fits any extent. Integers stay int64 on the device; numbers get the request's type.
  at::Tensor take(const std::string& name, const std::vector<std::int64_t>& shape, bool integers = false,
                  bool optional = false) {
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
    return integers ? tensor.to(request_.device, at::kLong) : tensor.to(request_.device, request_.dtype);
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
  const ForwardRequest& request_;
  std::vector<std::string> known_;
};

}  // namespace deda::models
