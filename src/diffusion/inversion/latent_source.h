// What identifiers are learnt from: pictures by class, and their way into latents. De-DA learns from CDPs,
// DA-Fusion from whole pictures.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "diffusion/cdp_source.h"
#include "diffusion/model.h"
#include "diffusion/tuning/picture_source.h"

namespace deda::diffusion {

// Safe from many threads.
class LatentSource {
 public:
  virtual ~LatentSource() = default;
  virtual std::size_t size() const = 0;
  virtual const std::string& source(std::size_t item) const = 0;  // path of its picture in the dataset
  // Items of every class, [classes], in order; a class may have none.
  virtual const std::vector<std::vector<std::size_t>>& by_class() const = 0;
  // Of the picture, and `with_mirrored` of its mirror image, encoded together and with no other, so that
  // numbers do not depend on what was asked for before: [1 or 2, C, r, r] float32 on the CPU. C is the
  // latent's channels (4): the latent, scaled; or twice as many: mean and deviation of a posterior, unscaled,
  // from which every step draws its own. DataError naming the picture when it cannot be encoded.
  virtual at::Tensor encode(const DiffusionModel& model, std::size_t item, bool with_mirrored) const = 0;
};

// `offset_gain` of the latent offset that carries alpha (encode_cdps); 0: the picture on grey alone.
class CdpLatents : public LatentSource {
 public:
  CdpLatents(const CdpSource& cdps, double offset_gain) : cdps_{cdps}, offset_gain_{offset_gain} {}
  std::size_t size() const override { return cdps_.size(); }
  const std::string& source(std::size_t item) const override { return cdps_.source(item); }
  const std::vector<std::vector<std::size_t>>& by_class() const override { return cdps_.by_class(); }
  at::Tensor encode(const DiffusionModel& model, std::size_t item, bool with_mirrored) const override;

 private:
  const CdpSource& cdps_;
  double offset_gain_;
};

// Whole pictures, squeezed into the model's square as diffusers' textual_inversion.py does (bicubic).
class PictureLatentSource : public LatentSource {
 public:
  PictureLatentSource(const PictureSource& pictures, std::size_t classes, std::int64_t resolution);
  std::size_t size() const override { return pictures_.size(); }
  const std::string& source(std::size_t item) const override { return names_.at(item); }
  const std::vector<std::vector<std::size_t>>& by_class() const override { return by_class_; }
  at::Tensor encode(const DiffusionModel& model, std::size_t item, bool with_mirrored) const override;

 private:
  const PictureSource& pictures_;
  std::int64_t resolution_;
  std::vector<std::string> names_;
  std::vector<std::vector<std::size_t>> by_class_;
};

}  // namespace deda::diffusion
