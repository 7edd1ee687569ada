// The kind of processor: what decides which kernels libraries choose is part of it.
#include "core/processor.h"

#include <gtest/gtest.h>

namespace deda {
namespace {

std::string x86(const std::string& model, const std::string& flags) {
  return "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: " + model +
         "\nmodel name\t: Intel(R) Xeon(R) Processor\nflags\t\t: fpu " + flags +
         "\n\nprocessor\t: 1\nmodel\t\t: 1\nmodel name\t: another\n\n";
}

TEST(Processor, TellsMachinesOfOneNameApart) {
  EXPECT_EQ(processor_name_in(x86("207", "avx2 avx512f amx_tile")),
            "Intel(R) Xeon(R) Processor (family 6, model 207, AVX-512, AMX)");
  EXPECT_EQ(processor_name_in(x86("106", "avx2 avx512f")),
            "Intel(R) Xeon(R) Processor (family 6, model 106, AVX-512)");
  EXPECT_EQ(processor_name_in(x86("207", "avx2")), "Intel(R) Xeon(R) Processor (family 6, model 207, AVX2)")
      << "instructions that a virtual machine hides";
  EXPECT_EQ(processor_name_in(x86("26", "sse4_2")),
            "Intel(R) Xeon(R) Processor (family 6, model 26, no AVX2)");
}

TEST(Processor, NamesArmByItsPartAndPowerByItsName) {
  EXPECT_EQ(processor_name_in("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n"),
            "POWER9, altivec supported");
  EXPECT_EQ(
      processor_name_in("processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd40\n"),
      "ARM processor (implementer 0x41, part 0xd40)");
}

TEST(Processor, IsUnknownWhereTheSystemDoesNotTell) {
  EXPECT_EQ(processor_name_in(""), "unknown processor");
  EXPECT_FALSE(processor_name().empty());
}

}  // namespace
}  // namespace deda
