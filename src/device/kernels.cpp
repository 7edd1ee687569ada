#include "device/kernels.h"

#include <ATen/Context.h>

#include <cstdlib>
#include <mutex>

namespace deda::device {
namespace {

std::mutex scopes_mutex;
int scopes = 0;  // under the mutex
bool warned_only_before = true;

}  // namespace

ReproducibleAttention::ReproducibleAttention() {
  const std::lock_guard lock{scopes_mutex};
  auto& context = at::globalContext();
  if (scopes++ > 0 || !context.deterministicAlgorithms()) return;
  warned_only_before = context.deterministicAlgorithmsWarnOnly();
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
}

ReproducibleAttention::~ReproducibleAttention() {
  const std::lock_guard lock{scopes_mutex};
  auto& context = at::globalContext();
  if (--scopes > 0 || !context.deterministicAlgorithms()) return;
  context.setDeterministicAlgorithms(true, warned_only_before);
}

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
