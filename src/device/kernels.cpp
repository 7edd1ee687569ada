#include "device/kernels.h"

#include <ATen/Context.h>

#include <cstdlib>

namespace deda::device {

void use_reproducible_kernels() {
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  auto& context = at::globalContext();
  context.setDeterministicAlgorithms(true, /*warn_only=*/true);
  context.setDeterministicFillUninitializedMemory(false);  // only a debugging aid, and slow
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
}

void use_fastest_kernels() {
  auto& context = at::globalContext();
  context.setDeterministicAlgorithms(false, /*warn_only=*/false);
  context.setDeterministicCuDNN(false);
  context.setBenchmarkCuDNN(true);
}

}  // namespace deda::device
