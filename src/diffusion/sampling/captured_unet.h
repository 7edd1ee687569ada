// The UNet's evaluations of one edit, as one recorded graph where a GPU has room for it (captured_work.h):
// the same kernels, started by one call.
#pragma once

#include <mutex>

#include "device/captured_work.h"
#include "diffusion/model.h"

namespace deda::diffusion {

class CapturedUNet {
 public:
  explicit CapturedUNet(const DiffusionModel& model);

  // One edit's evaluations of the same rows under the same texts. Others on the same object wait, because
  // there is one set of recorded tensors; the device does one after the other anyway.
  class Evaluations {
   public:
    Evaluations(CapturedUNet& unet, const models::TextKeys& keys, const models::UNet::Added& added);
    // input [N, channels, h, w] of the UNet's type, the same timestep for all rows -> prediction in float32.
    at::Tensor predict(const at::Tensor& input, double timestep);

   private:
    CapturedUNet& unet_;
    std::unique_lock<std::mutex> alone_;
    const models::TextKeys& keys_;
    const models::UNet::Added& added_;
  };

 private:
  bool record(const at::Tensor& input, const models::TextKeys& keys, const models::UNet::Added& added);
  bool fits(const at::Tensor& input) const;

  const DiffusionModel& model_;
  std::mutex mutex_;
  device::CapturedWork graph_;
  at::Tensor input_, times_, output_;  // what the graph reads and writes
  models::TextKeys keys_;
  models::UNet::Added added_;
  bool set_up_ = false;  // the network has run once, kernel by kernel
};

}  // namespace deda::diffusion
