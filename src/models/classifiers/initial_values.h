// How a parameter starts: a law and its number. The laws that torchvision's networks use; who draws the
// numbers is initialise.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>

namespace deda::models {

struct InitialValues {
  enum class Law : std::uint8_t { constant, normal, uniform };
  Law law = Law::constant;
  double value = 0;  // the constant; the standard deviation around 0; the bound to both sides of 0
};

inline InitialValues constant_values(double value) {
  return {InitialValues::Law::constant, value};
}
inline InitialValues normal_values(double deviation) {
  return {InitialValues::Law::normal, deviation};
}
// Kernels [out, in, k, k] by He et al. 2015 (gain of ReLU): sqrt(2 / (k*k*out)) and sqrt(2 / (k*k*in)).
InitialValues he_fan_out(const at::Tensor& kernel);
InitialValues he_fan_in(const at::Tensor& kernel);
// A matrix [out, in] by Glorot and Bengio 2010: uniform in +-sqrt(6 / (in + out)).
InitialValues xavier_uniform(const at::Tensor& matrix);
// PyTorch's own for linear layers, weight and bias: uniform in +-1/sqrt(in).
InitialValues plain_linear(std::int64_t in);
// 1 and 0 for "NORM.weight" and "NORM.bias", where the last part of NORM begins as one of torchvision's names
// for norms do ("bn1", "norm2", "ln_1", "ln") or NORM is the second layer of a ResNet's projection
// ("downsample.1"); nothing for other names.
std::optional<InitialValues> norm_values(const std::string& name);

}  // namespace deda::models
