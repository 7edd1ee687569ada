// Edited whole pictures of a generative peer, from which training draws. Pixels stay in the mapped store.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "augment/config.h"
#include "augment/draws.h"
#include "data/dataset.h"
#include "io/store/record_store.h"

namespace deda::augment {

// One edit in place.
struct EditView {
  int height = 0, width = 0;
  std::span<const std::uint8_t> pixels;  // [height, width, 3]
  std::size_t source = 0;                // place in the training list of the picture that was edited
  std::int32_t source_class = -1, target_class = -1;
  double strength = 0;
};

class EditPool {
 public:
  EditPool() = default;
  // `training`: positions in dataset.items of the training list, in training order; the store is matched by
  // source path, and edits of other pictures are left out. `kept`: by record of the store, what the filter
  // leaves; empty: all. DataError when the store's classes are not the dataset's, or it holds no whole
  // pictures.
  EditPool(const data::Dataset& dataset, const std::vector<std::size_t>& training,
           const io::StoreReader& store, const generative::TrainingUse& use,
           const std::vector<bool>& kept = {});

  std::size_t size() const { return edits_.size(); }
  const EditView& edit(std::size_t number) const { return edits_[number]; }
  // Numbers of the edits that may take the place of the sample; may be none.
  std::span<const std::uint32_t> choices(std::size_t sample) const;
  std::size_t samples_without() const;                // training pictures whose place none may take
  std::size_t left_out() const { return left_out_; }  // by the filter
  // Classes that training pictures have and no edit may stand for; `numbers` of the dataset.
  std::vector<std::int32_t> classes_without() const { return classes_without_; }
  std::string summary() const;

 private:
  std::vector<io::StoreReader> store_;  // one: keeps the mapped pixels alive
  generative::Pool pool_ = generative::Pool::source;
  std::vector<EditView> edits_;
  std::vector<std::uint32_t> order_;     // of all edits, group by group
  std::vector<std::uint32_t> begin_;     // [groups + 1]
  std::vector<std::uint32_t> group_of_;  // by sample
  std::vector<std::int32_t> classes_without_;
  std::size_t left_out_ = 0, of_others_ = 0;
};

// The decision of a sample: with p_aug one of its edits, else none (then the sample stays natural). A pure
// function of its arguments.
Draws decide_edit(const generative::TrainingUse& use, const EditPool& pool, std::uint64_t seed,
                  std::uint32_t epoch, std::uint64_t sample);

}  // namespace deda::augment
