// Which edits a generative peer makes: a pure function of the settings, the seed and the training pictures.
// No Torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "generative/settings.h"

namespace deda::generative {

struct SourcePicture {
  std::string path;  // in the dataset
  std::int32_t class_id = -1;
};

// One edit.
struct EditTask {
  std::size_t source = 0;  // place in the list of pictures
  std::int32_t source_class = -1, target_class = -1;
  std::int32_t version = 1;  // of its item, from 1
  double strength = 1;
  std::size_t prompt = 0;  // DiffuseMix: place in `prompts`
  std::uint64_t seed = 0;  // all noise of the edit follows from it
  bool vertical = false;   // DiffuseMix: joined top and bottom instead of left and right
};

class EditPlan {
 public:
  // DataError when there is no picture, ConfigError when a list of the settings is empty.
  EditPlan(const GenerationSettings& settings, std::vector<SourcePicture> pictures, std::uint64_t seed);

  // Items of the store. Target::own_class: one a picture, with `copies` edits; any_class: `copies` times as
  // many as pictures, with one edit each: classes of source and target uniform among those that have pictures
  // (they may coincide), then the picture uniform in its class.
  std::int64_t items() const { return items_; }
  std::int64_t edits_of_item() const;
  std::size_t source_of(std::int64_t item) const { return first_task(item).source; }
  std::vector<EditTask> tasks(std::int64_t item) const;
  const std::vector<SourcePicture>& pictures() const { return pictures_; }
  const GenerationSettings& settings() const { return settings_; }

 private:
  EditTask first_task(std::int64_t item) const;
  void draw_edit(EditTask& task, std::int64_t item) const;

  GenerationSettings settings_;
  std::vector<SourcePicture> pictures_;
  std::uint64_t seed_;
  std::int64_t items_ = 0;
  std::vector<std::int32_t> classes_;               // that have pictures
  std::vector<std::vector<std::size_t>> by_class_;  // of classes_, their pictures
};

// Weight of the target class in an edit's label: strength^gamma where both classes differ, else 1.
double target_share(std::int32_t source_class, std::int32_t target_class, double strength, double gamma);

}  // namespace deda::generative
