// Whole pictures with a class each, to tune a model on: a small view of a dataset, so that neither layouts
// nor decoding are known here.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "io/pictures/image.h"

namespace deda::diffusion {

// Safe from many threads.
class PictureSource {
 public:
  virtual ~PictureSource() = default;
  virtual std::size_t size() const = 0;
  virtual std::size_t class_of(std::size_t picture) const = 0;
  // For messages.
  virtual std::string name_of(std::size_t picture) const = 0;
  // RGB, of any size. DataError or IoError naming the file.
  virtual io::Image picture(std::size_t picture) const = 0;
};

// The training pictures of a dataset, in its order. The dataset has to live as long.
class TrainingPictures : public PictureSource {
 public:
  explicit TrainingPictures(const data::Dataset& dataset);
  std::size_t size() const override { return items_.size(); }
  std::size_t class_of(std::size_t picture) const override;
  std::string name_of(std::size_t picture) const override;
  io::Image picture(std::size_t picture) const override;

 private:
  const data::Dataset& dataset_;
  std::vector<std::size_t> items_;
};

// How many pictures every class has. DataError when a picture's class is none of them.
std::vector<std::int64_t> pictures_per_class(const PictureSource& pictures, std::size_t classes);

}  // namespace deda::diffusion
