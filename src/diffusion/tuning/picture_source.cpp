#include "diffusion/tuning/picture_source.h"

#include <fmt/format.h>

#include "core/error.h"
#include "data/picture.h"

namespace deda::diffusion {

TrainingPictures::TrainingPictures(const data::Dataset& dataset)
    : dataset_{dataset}, items_{dataset.indices(data::Split::train)} {}

std::size_t TrainingPictures::class_of(std::size_t picture) const {
  return static_cast<std::size_t>(dataset_.items[items_.at(picture)].class_id);
}

std::string TrainingPictures::name_of(std::size_t picture) const {
  return dataset_.items[items_.at(picture)].path;
}

io::Image TrainingPictures::picture(std::size_t picture) const {
  return data::load_picture(dataset_, dataset_.items[items_.at(picture)]).image;
}

std::vector<std::int64_t> pictures_per_class(const PictureSource& pictures, std::size_t classes) {
  std::vector<std::int64_t> counts(classes, 0);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const auto id = pictures.class_of(i);
    if (id >= classes)
      throw DataError(fmt::format("is of class {}, there are {}", id, classes), pictures.name_of(i));
    ++counts[id];
  }
  return counts;
}

}  // namespace deda::diffusion
