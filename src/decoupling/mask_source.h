// Where masks come from: a small door that every source implements, and the ladder that tries them in order.
// annotated (mask files) and box_grabcut (box annotations) need no network; the others (semantic,
// text_box_sam, box_sam) live in decoupling/networks, need LibTorch and are registered by the program that
// has it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/orientation.h"
#include "decoupling/config.h"
#include "decoupling/sketch.h"
#include "io/formats/safetensors.h"
#include "io/pictures/image.h"

namespace deda::decoupling {

// One object that a source saw, for people and for traces: what it was taken for, and why it was left out.
struct FoundObject {
  std::array<double, 4> box{};  // xyxy in source pixels, half open
  double score = 1.0;           // 0..1; 1 for annotations
  std::string phrase;           // words of the prompt that the box stands for; may be empty
  std::int32_t class_id = -1;
  std::string rejected;  // why its mask was not used; empty: it was
  Sketch sketch;         // its mask, small; may be empty
};

// What belongs to one class in one picture: the union of its objects' masks (paper section 3.1).
struct ClassMask {
  std::int32_t class_id = -1;
  io::Image mask;  // [H, W, 1], 255 object, 0 not
};

// A tensor for traces, under its name there.
struct NamedArray {
  std::string name;
  io::DType dtype = io::DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;
};

// What a source found in one picture.
struct Masks {
  std::string route;   // name of the source: kept with the record
  std::string prompt;  // of text-prompted sources; several, by class, are separated by " | "
  std::vector<FoundObject> objects;
  std::vector<ClassMask> parts;         // at most one per class, in the order of the wanted classes
  std::vector<io::Image> object_masks;  // [objects with a mask] of [H, W, 1], only where tensors are kept
  io::Image undecided;                  // [H, W, 1] 255 where nobody knows (trimap border); may be empty
  std::string reason;                   // why `parts` is empty
  // The reason is a fault of the annotation, a picture that no network takes, or a mask that the source
  // refuses.
  bool broken = false;
  std::vector<std::string> notes;
  std::vector<NamedArray> tensors;  // networks' own inputs and outputs, only where they are kept
};

// Unites the mask with the part of the object's class and keeps its sketch. Empty masks are marked as
// rejected.
void add_object(Masks& masks, FoundObject object, const io::Image& mask, bool keep_mask = false);

struct MaskRequest {
  const data::Item* item = nullptr;
  const io::Image* picture = nullptr;         // RGB, at least one pixel
  std::vector<std::int32_t> classes;          // whose masks are wanted; never empty
  bool keep_tensors = false;                  // for a trace
  data::PictureOrientation orientation = {};  // how the picture was read
};

class MaskSource {
 public:
  virtual ~MaskSource() = default;
  virtual std::string name() const = 0;
  // Safe from several threads and deterministic. Nothing found is no error: no parts, and a reason. Throws
  // DataError where the annotation itself is broken (unreadable mask, another size than the picture).
  virtual Masks find(const data::Dataset& dataset, const MaskRequest& request) const = 0;
  // The same for the pictures of one unit of work, which a network may take as one batch; errors of single
  // pictures become `broken`.
  virtual std::vector<Masks> find_all(const data::Dataset& dataset,
                                      const std::vector<MaskRequest>& requests) const;
};

// Makes a source for one dataset. Throws ConfigError or DataError listing all that is missing (weights,
// words).
using MakeMaskSource =
    std::function<std::unique_ptr<MaskSource>(const DecoupleConfig& config, const data::Dataset& dataset)>;
// From now on `name` is made by `make`.
void register_mask_source(const std::string& name, MakeMaskSource make);
// ConfigError for a name that is none, or that this build cannot make.
std::unique_ptr<MaskSource> make_mask_source(const std::string& name, const DecoupleConfig& config,
                                             const data::Dataset& dataset = {});
// The whole ladder of config.sources; one error lists the problems of all.
std::vector<std::unique_ptr<MaskSource>> make_mask_sources(const DecoupleConfig& config,
                                                           const data::Dataset& dataset);

// Classes whose masks are wanted of a picture: every label with PartsPer::label, else the item's own.
std::vector<std::int32_t> wanted_classes(const data::Item& item, const DecoupleConfig& config);

// Pixel-wise OR of masks of one size: an object split into several masks becomes one CDP (paper section 3.1).
io::Image union_of(const std::vector<io::Image>& masks);
std::int64_t area_of(const io::Image& mask);
// Smallest xyxy box around the mask's pixels, half open; all zero when empty.
std::array<std::int32_t, 4> box_of(const io::Image& mask);

}  // namespace deda::decoupling
