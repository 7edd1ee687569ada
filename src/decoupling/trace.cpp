#include "decoupling/trace.h"

#include <fmt/format.h>

#include <list>

#include "core/files.h"
#include "io/formats/safetensors.h"

namespace deda::decoupling {

namespace {

// Tensors to write; a list, so that spans into it stay valid while it grows.
class Tensors {
 public:
  void add(const std::string& name, io::DType dtype, std::vector<std::int64_t> shape,
           std::span<const std::uint8_t> bytes) {
    buffers_.emplace_back(bytes.begin(), bytes.end());
    tensors_.push_back({name, dtype, std::move(shape), buffers_.back()});
  }
  template <class T>
  void add_numbers(const std::string& name, io::DType dtype, std::vector<std::int64_t> shape,
                   const std::vector<T>& values) {
    add(name, dtype, std::move(shape),
        {reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(T)});
  }
  void add_image(const std::string& name, const io::Image& image) {
    if (image.empty()) return;
    std::vector<std::int64_t> shape = {image.height, image.width};
    if (image.channels > 1) shape.push_back(image.channels);
    add(name, io::DType::u8, std::move(shape), image.pixels);
  }
  const std::vector<io::TensorToWrite>& all() const { return tensors_; }

 private:
  std::list<std::vector<std::uint8_t>> buffers_;
  std::vector<io::TensorToWrite> tensors_;
};

}  // namespace

void write_trace(const std::filesystem::path& folder, const std::string& source,
                 const DecoupledPicture& picture) {
  Tensors tensors;
  tensors.add_numbers("original_size", io::DType::i64, {2},
                      std::vector<std::int64_t>{picture.height, picture.width});
  std::vector<std::uint8_t> masks;
  for (const io::Image& mask : picture.masks.object_masks)
    masks.insert(masks.end(), mask.pixels.begin(), mask.pixels.end());
  std::vector<float> boxes, scores;
  for (const FoundObject& object : picture.masks.objects) {
    for (const double side : object.box) boxes.push_back(static_cast<float>(side));
    scores.push_back(static_cast<float>(object.score));
  }
  const auto count = static_cast<std::int64_t>(picture.masks.objects.size());
  tensors.add("masks", io::DType::u8,
              {static_cast<std::int64_t>(picture.masks.object_masks.size()), picture.height, picture.width},
              masks);
  tensors.add_numbers("boxes", io::DType::f32, {count, 4}, boxes);
  tensors.add_numbers("scores", io::DType::f32, {count}, scores);
  for (const NamedArray& array : picture.masks.tensors)
    tensors.add(array.name, array.dtype, array.shape, array.bytes);
  tensors.add_image("union", picture.merged);
  tensors.add_image("hole", picture.hole);
  int cdps = 0;
  for (const io::Record& record : picture.result.records) {
    const bool cip = record.info.kind == io::RecordKind::cip;
    const std::string name = cip ? "cip" : cdps == 0 ? "cdp" : fmt::format("cdp_{}", cdps);
    cdps += cip ? 0 : 1;
    tensors.add(name, io::DType::u8, {record.info.height, record.info.width, record.info.channels},
                record.pixels);
  }
  make_folder(folder);
  io::write_safetensors(folder / fmt::format("picture-{:06}.safetensors", picture.result.item), tensors.all(),
                        {{"schema", "deda-trace-1"},
                         {"source", source},
                         {"prompt", picture.masks.prompt},
                         {"route", picture.masks.route},
                         {"outcome", std::string{io::name_of(picture.result.outcome)}},
                         {"reason", picture.result.reason}});
}

}  // namespace deda::decoupling
