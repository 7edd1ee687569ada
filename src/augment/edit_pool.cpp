#include "augment/edit_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "core/error.h"
#include "core/random.h"
#include "generative/edit_plan.h"

namespace deda::augment {
namespace {

// Draw numbers within Purpose::edited_picture. Part of results: append only.
constexpr std::uint32_t whether = 0, which = 1;

double uniform_at(const RandomStream& stream, std::uint32_t draw) {
  return static_cast<double>(stream.bits_at(draw) >> 8) * 0x1.0p-24;
}

}  // namespace

EditPool::EditPool(const data::Dataset& dataset, const std::vector<std::size_t>& training,
                   const io::StoreReader& store, const generative::TrainingUse& use,
                   const std::vector<bool>& kept)
    : store_{store}, pool_{use.pool} {
  if (store.description().class_names != dataset.class_names)
    throw DataError("the store's classes are not the dataset's", store.folder().string(),
                    "It was made of another dataset.");
  std::unordered_map<std::string, std::size_t> place;
  for (std::size_t sample = 0; sample < training.size(); ++sample)
    place.emplace(dataset.items[training[sample]].path, sample);
  for (std::size_t record = 0; record < store.size(); ++record) {
    const auto view = store.at(record);
    if (view.info.kind != io::RecordKind::picture)
      throw DataError("holds parts of pictures, no whole ones", store.folder().string(),
                      "Name a store that `deda generate` made with a generative method.");
    const auto& path = store.description().sources[static_cast<std::size_t>(view.info.source_index)];
    const auto found = place.find(path);
    if (found == place.end()) {
      ++of_others_;
      continue;
    }
    if (!kept.empty() && !kept[record]) {
      ++left_out_;
      continue;
    }
    edits_.push_back({view.info.height, view.info.width, view.pixels, found->second, view.info.class_id,
                      view.info.target_class, static_cast<double>(view.info.strength)});
  }
  // Groups: by picture, by class, or one.
  const auto group_of = [&](std::size_t sample, std::int32_t class_id) {
    return pool_ == generative::Pool::source         ? sample
           : pool_ == generative::Pool::target_class ? static_cast<std::size_t>(class_id)
                                                     : std::size_t{0};
  };
  const std::size_t groups = pool_ == generative::Pool::source         ? training.size()
                             : pool_ == generative::Pool::target_class ? dataset.class_names.size()
                                                                       : 1;
  begin_.assign(groups + 1, 0);
  for (const auto& edit : edits_) ++begin_[group_of(edit.source, edit.target_class) + 1];
  for (std::size_t group = 0; group < groups; ++group) begin_[group + 1] += begin_[group];
  order_.resize(edits_.size());
  auto next = begin_;
  for (std::size_t number = 0; number < edits_.size(); ++number) {
    const auto& edit = edits_[number];
    order_[next[group_of(edit.source, edit.target_class)]++] = static_cast<std::uint32_t>(number);
  }
  std::set<std::int32_t> present, reached;
  for (std::size_t sample = 0; sample < training.size(); ++sample) {
    const auto class_id = dataset.items[training[sample]].class_id;
    group_of_.push_back(static_cast<std::uint32_t>(group_of(sample, class_id)));
    present.insert(class_id);
  }
  for (const auto& edit : edits_) reached.insert(edit.target_class);
  std::set_difference(present.begin(), present.end(), reached.begin(), reached.end(),
                      std::back_inserter(classes_without_));
}

std::span<const std::uint32_t> EditPool::choices(std::size_t sample) const {
  const auto group = group_of_.at(sample);
  return std::span{order_}.subspan(begin_[group], begin_[group + 1] - begin_[group]);
}

std::size_t EditPool::samples_without() const {
  std::size_t count = 0;
  for (std::size_t sample = 0; sample < group_of_.size(); ++sample) count += choices(sample).empty();
  return count;
}

std::string EditPool::summary() const {
  auto text = fmt::format("{} edited pictures", edits_.size());
  if (left_out_ > 0) text += fmt::format(", {} more left out by the filter", left_out_);
  if (of_others_ > 0) text += fmt::format(", {} of pictures that are not in training", of_others_);
  if (const auto without = samples_without(); without > 0)
    text += fmt::format("; {} of {} training pictures have none and stay natural", without, group_of_.size());
  return text;
}

Draws decide_edit(const generative::TrainingUse& use, const EditPool& pool, std::uint64_t seed,
                  std::uint32_t epoch, std::uint64_t sample) {
  Draws draws;
  draws.index = static_cast<std::int64_t>(sample);
  draws.epoch = static_cast<std::int32_t>(epoch);
  const auto choices = pool.choices(sample);
  const RandomStream stream{seed, Purpose::edited_picture, epoch, sample};
  if (choices.empty() || uniform_at(stream, whether) >= use.p_aug) return draws;
  const auto number =
      choices[static_cast<std::size_t>((std::uint64_t{stream.bits_at(which)} * choices.size()) >> 32)];
  const auto& edit = pool.edit(number);
  draws.method = EditDraws{.edit = static_cast<std::int64_t>(number),
                           .source = static_cast<std::int64_t>(edit.source),
                           .source_class = edit.source_class,
                           .target_class = edit.target_class,
                           .strength = edit.strength,
                           .target_share = generative::target_share(edit.source_class, edit.target_class,
                                                                    edit.strength, use.gamma)};
  return draws;
}

}  // namespace deda::augment
