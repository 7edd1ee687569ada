// Image-mixing methods that look at saliency mix here, where the network is: normalised pictures and soft
// labels of one global batch in, this rank's mixed share out. Plans come from src/mixing.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "mixing/method.h"
#include "models/weights/tensor_file.h"

namespace deda::training {

// What a method may ask about pictures, and of the other ranks. Nothing of it leaves a trace in the network:
// running statistics, gradients and their averaging are as if it had not been asked. Collective: all ranks
// ask the same in the same order, those without pictures too.
struct NetworkView {
  // Gradient of this rank's mean loss by its pictures, [n, 3, H, W] float32, in training mode; `pictures`
  // [n, 3, H, W] normalised, `labels` [n, C]. A factor is of no account: in fp16 the loss is scaled. `keep`
  // above 0: the same gradient by the parameters, `keep` times, is added to that of the mixed batch.
  std::function<at::Tensor(const at::Tensor& pictures, const at::Tensor& labels, double keep)>
      gradients_by_picture;
  // Class activations of each picture's own label, [n, h, w] float32, in training mode: the last feature
  // maps weighted as the last layer weights them, plus its bias. `labels` [n, C].
  std::function<at::Tensor(const at::Tensor& pictures, const at::Tensor& labels)> class_activations;
  // Rows of all ranks by their place in the global batch: [size, ...] of `own` [n, ...].
  std::function<at::Tensor(const at::Tensor& own)> of_all_places;
};

struct MixInput {
  const mixing::Settings& settings;
  const mixing::BatchPlan& plan;  // one that is applied
  std::int64_t size = 0;          // of this rank's share, maybe 0
  std::int64_t global_size = 0;
  std::vector<std::uint32_t> places;  // [rows] in the global batch; the share's come first
  at::Tensor pictures;                // [rows, 3, H, W] float32, normalised
  at::Tensor labels;                  // [rows, C]
  bool traced = false;
};

struct MixOutput {
  bool usable = true;           // false: saliency was not finite, and the batch stays as it was, on all ranks
  at::Tensor pictures, labels;  // [size, ...]
  models::NamedTensors trace;   // "mix.NAME", where traced
};

class DeviceMixer {
 public:
  virtual ~DeviceMixer() = default;
  virtual MixOutput mix(const MixInput& input, const NetworkView& network) = 0;
};

// Null for methods that mix 8-bit pixels.
std::unique_ptr<DeviceMixer> make_device_mixer(const mixing::Settings& settings);

// ---- for the methods

// Row numbers [count] int64 on the device of `rows`' pictures, of the pictures at these places;
// std::logic_error for one that is not there.
at::Tensor rows_at(const MixInput& input, const std::vector<std::uint32_t>& places);
// The places of this rank's share.
std::vector<std::uint32_t> own_places(const MixInput& input);
// Places as [count] int64, on the host.
at::Tensor place_numbers(const std::vector<std::uint32_t>& places);
// Labels of the mix: own and partner [n, C], weights [n] each. An entry that does not count (negative) in a
// label with a share does not count in the mix (mixing::mix_labels).
at::Tensor mixed_labels(const at::Tensor& own, const at::Tensor& partner, const at::Tensor& own_weights,
                        const at::Tensor& partner_weights);

}  // namespace deda::training
