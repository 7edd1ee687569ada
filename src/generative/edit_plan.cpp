#include "generative/edit_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"

namespace deda::generative {
namespace {

// Draws of an item, and of an edit: apart, so that another number of copies changes none of the first ones.
constexpr std::uint32_t of_item = 0, of_edit = 1;

std::uint64_t seed_of_edit(std::uint64_t run_seed, Method method, const std::string& path,
                           std::int64_t number) {
  const auto text = fmt::format("{}\n{}\n{}\n{}", run_seed, facts_of(method).name, path, number);
  return xxhash64(std::span{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

}  // namespace

EditPlan::EditPlan(const GenerationSettings& settings, std::vector<SourcePicture> pictures,
                   std::uint64_t seed)
    : settings_{settings}, pictures_{std::move(pictures)}, seed_{seed} {
  const auto section = fmt::format("generate.{}", settings_.facts().name);
  if (pictures_.empty())
    throw DataError("there is no training picture to edit", section, "Check the dataset's lists.");
  if (settings_.facts().editing == Editing::noised ? settings_.strengths.empty() : settings_.prompts.empty())
    throw ConfigError("is an empty list: there is nothing to draw from",
                      section + (settings_.facts().editing == Editing::noised ? ".strengths" : ".prompts"));
  const auto count = static_cast<std::int64_t>(pictures_.size());
  items_ = settings_.facts().target == Target::any_class ? settings_.copies * count : count;
  std::map<std::int32_t, std::vector<std::size_t>> by_class;
  for (std::size_t i = 0; i < pictures_.size(); ++i) by_class[pictures_[i].class_id].push_back(i);
  for (auto& [id, members] : by_class) {
    classes_.push_back(id);
    by_class_.push_back(std::move(members));
  }
}

std::int64_t EditPlan::edits_of_item() const {
  return settings_.facts().target == Target::any_class ? 1 : settings_.copies;
}

EditTask EditPlan::first_task(std::int64_t item) const {
  EditTask task;
  if (settings_.facts().target == Target::own_class) {
    task.source = static_cast<std::size_t>(item);
    task.source_class = task.target_class = pictures_[task.source].class_id;
    return task;
  }
  RandomStream stream{seed_, Purpose::generative_edit, of_item, static_cast<std::uint64_t>(item)};
  const auto classes = static_cast<std::uint32_t>(classes_.size());
  const auto from = stream.below(classes), to = stream.below(classes);
  task.source_class = classes_[from];
  task.target_class = classes_[to];
  task.source = by_class_[from][stream.below(static_cast<std::uint32_t>(by_class_[from].size()))];
  return task;
}

void EditPlan::draw_edit(EditTask& task, std::int64_t item) const {
  const auto& path = pictures_[task.source].path;
  const bool own = settings_.facts().target == Target::own_class;
  task.seed = seed_of_edit(seed_, settings_.method, path, own ? task.version : item);
  RandomStream stream{task.seed, Purpose::generative_edit, of_edit, 0};
  if (settings_.facts().editing == Editing::noised) {
    task.strength = settings_.strengths[stream.below(static_cast<std::uint32_t>(settings_.strengths.size()))];
    return;
  }
  task.vertical = stream.chance(0.5);
  // The picture's own order of styles, one after the other.
  const auto order = permutation(
      static_cast<std::uint32_t>(settings_.prompts.size()),
      RandomStream{seed_of_edit(seed_, settings_.method, path, 0), Purpose::generative_edit, of_edit, 0});
  task.prompt = order[static_cast<std::size_t>(task.version - 1) % order.size()];
}

std::vector<EditTask> EditPlan::tasks(std::int64_t item) const {
  std::vector<EditTask> tasks;
  for (std::int64_t version = 1; version <= edits_of_item(); ++version) {
    auto task = first_task(item);
    task.version = static_cast<std::int32_t>(version);
    draw_edit(task, item);
    tasks.push_back(task);
  }
  return tasks;
}

double target_share(std::int32_t source_class, std::int32_t target_class, double strength, double gamma) {
  return source_class == target_class ? 1.0 : std::pow(strength, gamma);
}

}  // namespace deda::generative
