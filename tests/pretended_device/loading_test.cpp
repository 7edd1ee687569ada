// The program's own loader finds the pretended device and gets what the tests see.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "comm/c10d/cuda_plugin.h"
#include "pretended_device/pretended_device.h"

namespace deda::pretended {
namespace {

TEST(Loading, TheProgramFindsTheDevice) {
  const auto& loaded = comm::load_cuda_plugin();
  ASSERT_NE(loaded.plugin, nullptr) << loaded.reason;
  EXPECT_EQ(loaded.plugin, &plugin());  // one copy, linked and opened
  EXPECT_EQ(loaded.plugin->device_type(), device.type());
  EXPECT_EQ(loaded.plugin->device_count(), 1);
  EXPECT_EQ(loaded.plugin->devices().size(), 1u);
  EXPECT_EQ(at::Device("pretended:0"), device);
  EXPECT_TRUE(loaded.plugin->has_bfloat16(0));
}

}  // namespace
}  // namespace deda::pretended
