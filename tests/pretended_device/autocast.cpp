// Automatic casts: the lists that CUDA uses.
#include <ATen/autocast_mode.h>

namespace {

// LibTorch's lists name its types without at::, and which ones differs by release (2.13 has no DimnameList).
using namespace at;

// As CUDA's: probabilities in half precision cannot be told from 0 and 1.
Tensor refuse_binary_cross_entropy(const Tensor&, const Tensor&, const std::optional<Tensor>&, std::int64_t) {
  TORCH_CHECK(false, "binary_cross_entropy is unsafe to autocast; use binary_cross_entropy_with_logits");
}

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
#define DEDA_LOWER_PRECISION(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
#define DEDA_FP32(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
#define DEDA_FP32_OPTIONAL_TYPE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
#define DEDA_PROMOTE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
  AT_FORALL_LOWER_PRECISION_FP(DEDA_LOWER_PRECISION)
  AT_FORALL_FP32(DEDA_FP32)
  AT_FORALL_FP32_SET_OPT_DTYPE(DEDA_FP32_OPTIONAL_TYPE)
  AT_FORALL_DIFFERENT_REDISPATCH_SIGNATURE(KERNEL_DIFFERENT_REDISPATCH_SIGNATURE_PRIVATEUSEONE)
  AT_FORALL_PROMOTE(DEDA_PROMOTE)
  m.impl("binary_cross_entropy", &refuse_binary_cross_entropy);
#undef DEDA_LOWER_PRECISION
#undef DEDA_FP32
#undef DEDA_FP32_OPTIONAL_TYPE
#undef DEDA_PROMOTE
}

}  // namespace
