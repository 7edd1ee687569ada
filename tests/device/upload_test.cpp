// Copies beside the kernels, pinned memory, memory fits and recorded work, on the pretended GPU.
#include "device/upload.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "core/log.h"
#include "device/captured_work.h"
#include "device/host_memory.h"
#include "device/memory_fit.h"
#include "pretended_device/pretended_device.h"

namespace deda::device {
namespace {

using pretended::counters;

class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    set_up_log(0, 1, LogLevel::error);
    gpu_.set_device(0);
    pretended::reset_counters();
  }
  void TearDown() override { gpu_.forbid_waiting(false); }
  comm::CudaPlugin& gpu_ = pretended::plugin();
};

TEST_F(DeviceTest, UploadsTravelFromPinnedMemoryWithoutWaitingAndAreEqual) {
  std::pmr::vector<float> numbers(1000, 1.5f, host_memory_for(pretended::device));
  const auto host = at::from_blob(numbers.data(), {10, 100}, at::kFloat);
  EXPECT_TRUE(host.is_pinned());
  gpu_.forbid_waiting(true);
  Uploader uploader(pretended::device);
  const auto first = uploader.start(host);
  uploader.finish_reading();
  std::fill(numbers.begin(), numbers.end(), -2.0f);
  const auto second = uploader.start(host);
  uploader.ready();
  const auto small = upload(at::arange(5), pretended::device);
  EXPECT_EQ(counters().waits, 0);
  gpu_.forbid_waiting(false);
  EXPECT_TRUE(at::equal(first.cpu(), at::full({10, 100}, 1.5f)));
  EXPECT_TRUE(at::equal(second.cpu(), at::full({10, 100}, -2.0f)));
  EXPECT_TRUE(at::equal(small.cpu(), at::arange(5)));
  EXPECT_EQ(upload(small, pretended::device).const_data_ptr(), small.const_data_ptr());
  EXPECT_EQ(counters().copies_to_device, 3);
}

TEST_F(DeviceTest, MemoryOfTheCpuIsTheDefaultAndCopiesFromItWait) {
  EXPECT_EQ(host_memory_for(c10::kCPU), std::pmr::get_default_resource());
  gpu_.forbid_waiting(true);
  EXPECT_THROW(at::zeros({4}).to(pretended::device), c10::Error);
}

TEST(MemoryFit, TakesAsManySamplesAsFitAndAtLeastOne) {
  EXPECT_EQ(samples_that_fit(1000, 100, 100, 0.9, 64), 8);
  EXPECT_EQ(samples_that_fit(1000, 100, 100, 0.9, 4), 4);
  EXPECT_EQ(samples_that_fit(1000, 950, 100, 0.9, 64), 1);
  EXPECT_EQ(samples_that_fit(1000, 100, 0, 0.9, 64), 64);
}

TEST_F(DeviceTest, MeasuresWhatASampleTakes) {
  constexpr std::int64_t fixed = 1 << 20, each = 3 << 20;
  const auto fit = fit_into_memory(gpu_, 0, "tensors", 10000, 1, [&](std::int64_t samples) {
    const auto options = at::TensorOptions(at::kByte).device(pretended::device);
    const auto one = at::empty({fixed}, options), others = at::empty({samples, each}, options);
  });
  EXPECT_EQ(fit.bytes_fixed, fixed);
  EXPECT_EQ(fit.bytes_per_sample, each);
  const auto expected = (static_cast<double>(gpu_.free_bytes(0)) * 0.9 - fixed) / each;
  EXPECT_EQ(fit.at_once, static_cast<std::int64_t>(expected));
  EXPECT_THAT(fit.line, testing::HasSubstr("tensors: "));
  const auto shared = fit_into_memory(gpu_, 0, "tensors", 10000, 2, [&](std::int64_t samples) {
    at::empty({samples, each}, at::TensorOptions(at::kByte).device(pretended::device));
  });
  EXPECT_NEAR(static_cast<double>(shared.at_once), static_cast<double>(fit.at_once) / 2, 2);
}

TEST_F(DeviceTest, RecordedWorkReadsItsInputsAnewInEveryReplay) {
  auto input = at::ones({8}, at::TensorOptions(at::kFloat).device(pretended::device));
  at::Tensor output;
  const auto work = [&] { output = input * 2 + 1; };
  work();
  CapturedWork recorded(&gpu_, "the sum");
  EXPECT_FALSE(recorded.ready());
  ASSERT_TRUE(recorded.record(work));
  input.fill_(5);
  recorded.replay();
  EXPECT_TRUE(at::equal(output.cpu(), at::full({8}, 11.0f)));
}

TEST_F(DeviceTest, WorkThatWaitsForTheDeviceIsNotRecordedAndSaysWhy) {
  const auto input = at::ones({8}, at::TensorOptions(at::kFloat).device(pretended::device));
  CapturedWork recorded(&gpu_, "the sum");
  EXPECT_FALSE(recorded.record([&] { static_cast<void>(input.sum().item<float>()); }));
  EXPECT_FALSE(recorded.possible());
  EXPECT_FALSE(recorded.reason().empty());
  EXPECT_TRUE(at::equal((input + 1).cpu(), at::full({8}, 2.0f)));  // the device is usable after that
  EXPECT_FALSE(CapturedWork(nullptr, "nothing").possible());
}

}  // namespace
}  // namespace deda::device
