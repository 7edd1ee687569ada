// Which kernels LibTorch may choose from, for the whole process.
#pragma once

namespace deda::device {

// Equal bytes in equal runs: no kernel that adds up in the order in which threads happen to finish, and none
// chosen by a race against the clock. To be called before anything is computed on a GPU, because cuBLAS reads
// its variable once. No effect on CPUs, whose kernels are reproducible as they are.
void use_reproducible_kernels();
// In scope: also attention's backward pass, where use_reproducible_kernels() holds. LibTorch has reproducible
// kernels for it, but takes them only while it is told to fail for want of one; what it has none for throws
// c10::Error then. Several threads may have one each; it holds for all of the process until the last ends.
class ReproducibleAttention {
 public:
  ReproducibleAttention();
  ~ReproducibleAttention();
  ReproducibleAttention(const ReproducibleAttention&) = delete;
  ReproducibleAttention& operator=(const ReproducibleAttention&) = delete;
};
// Whatever is fastest: convolutions are timed and chosen at their first use, gradients may be added in any
// order. Two runs differ in the last digits.
void use_fastest_kernels();

}  // namespace deda::device
