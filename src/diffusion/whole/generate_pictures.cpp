#include "diffusion/whole/generate_pictures.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/random.h"
#include "data/picture.h"
#include "diffusion/generation/fill_store.h"
#include "diffusion/peers/hybrid_picture.h"
#include "diffusion/whole/picture_trace.h"
#include "io/pictures/resize.h"

namespace deda::diffusion {
namespace {

using generative::EditTask;

// Fractals of a run that draws its own.
constexpr std::uint32_t drawn_fractals = 1000;

io::StoreDescription describe_store(const PictureRequest& request) {
  io::StoreDescription description;
  description.stage = "generate";
  description.key = request.made_of.key;
  description.configuration = request.made_of.settings;
  description.provenance = to_json(request.made_of);
  description.dataset = request.dataset.name;
  description.class_names = request.dataset.class_names;
  description.items_per_segment = request.items_per_segment;
  for (std::int64_t item = 0; item < request.plan.items(); ++item) {
    const auto& source = request.plan.pictures()[request.plan.source_of(item)];
    description.sources.push_back(source.path);
    description.source_classes.push_back(source.class_id);
  }
  return description;
}

io::Image fractal_of(const PeerNetworks& networks, const PictureRequest& request, const EditTask& task,
                     int side) {
  RandomStream stream{task.seed, Purpose::generative_edit, 2, 0};
  if (!networks.fractals) return draw_fractal(request.seed, stream.below(drawn_fractals), side);
  return networks.fractals->picture(networks.fractals->choose(task.seed, 0));
}

at::Tensor bytes_of(const io::Image& picture) {
  return at::tensor(at::ArrayRef<std::uint8_t>(picture.pixels), at::kByte)
      .view({picture.height, picture.width, picture.channels});
}

// One edit on its way into the store.
struct Made {
  EditTask task;
  std::size_t place = 0;  // of its item in the unit
  std::size_t picture = 0;
  EditedPicture edited;
  io::Image finished, hybrid, fractal;  // empty: none came of it
  io::Outcome outcome = io::Outcome::done;
  std::string reason;
  float score = io::not_measured;
};

class Unit {
 public:
  Unit(const PictureRequest& request, const PeerNetworks& networks)
      : request_{request}, networks_{networks} {}

  std::vector<io::ItemResult> make(std::int64_t first, std::int64_t last) {
    for (std::int64_t number = first; number < last; ++number) {
      io::ItemResult item;
      item.item = number;
      take_tasks(item, number);
      items_.push_back(std::move(item));
    }
    if (!made_.empty()) edit(first);
    judge();
    for (auto& made : made_) conclude(made);
    for (auto& item : items_) {
      if (item.records.empty() && item.outcome == io::Outcome::done)
        item.outcome = rejected_[static_cast<std::size_t>(item.item - first)] ? io::Outcome::rejected
                                                                              : io::Outcome::failed;
    }
    return std::move(items_);
  }

 private:
  const generative::GenerationSettings& settings() const { return request_.plan.settings(); }

  // The item's picture and its edits; what stands in the way becomes its outcome.
  void take_tasks(io::ItemResult& item, std::int64_t number) {
    rejected_.push_back(false);
    const auto tasks = request_.plan.tasks(number);
    for (const auto& task : tasks) {
      const auto& prompt = networks_.prompts.at(prompt_of(task));
      if (!prompt.missing.empty()) {
        item.outcome = io::Outcome::nothing_found;
        item.reason = prompt.missing;
        return;
      }
    }
    const auto source = tasks.front().source;
    try {
      pictures_.push_back(
          data::load_picture(request_.dataset, request_.dataset.items[request_.pictures[source]]).image);
    } catch (const Error& error) {
      item.outcome = io::Outcome::unreadable;
      item.reason = error.problems().front().what;
      return;
    }
    for (const auto& task : tasks) {
      Made made;
      made.task = task;
      made.place = items_.size();
      made.picture = pictures_.size() - 1;
      made_.push_back(std::move(made));
    }
  }

  std::size_t prompt_of(const EditTask& task) const {
    return settings().facts().words == generative::Words::instruction
               ? task.prompt
               : static_cast<std::size_t>(task.target_class);
  }

  void edit(std::int64_t first) {
    const auto prepared = networks_.generator->prepare(pictures_);
    std::vector<PictureTask> tasks;
    for (const auto& made : made_)
      tasks.push_back({made.picture, networks_.text_of_prompt.at(prompt_of(made.task)), made.task.strength,
                       made.task.seed});
    std::vector<PictureRecord> records;
    const bool traced = request_.trace && first < request_.trace_items;
    auto edited = networks_.generator->edit(prepared, tasks, traced ? &records : nullptr);
    for (std::size_t i = 0; i < made_.size(); ++i) {
      auto& made = made_[i];
      made.edited = std::move(edited[i]);
      finish(made, prepared.squares[made.picture]);
      if (traced && items_[made.place].item < request_.trace_items)
        trace(made, prepared, tasks[i], records[i]);
    }
  }

  void trace(const Made& made, const PreparedPictures& prepared, const PictureTask& task,
             const PictureRecord& record) {
    const auto& prompt = networks_.prompts[prompt_of(made.task)];
    models::NamedTensors more;
    for (std::size_t i = 0; i < prompt.ids.size(); ++i) {
      const auto suffix = i == 0 ? std::string{} : fmt::format("_{}", i + 1);
      more["input_ids" + suffix] = prompt.ids[i];
      if (i < prompt.rows.size() && prompt.rows[i].defined())
        more["learned_embeds" + suffix] = prompt.rows[i].to(at::kCPU);
    }
    if (!made.hybrid.empty()) {
      more["edited"] = bytes_of(made.edited.picture);
      more["hybrid"] = bytes_of(made.hybrid);
      more["fractal"] = bytes_of(made.fractal);
    }
    const auto item = items_[made.place].item;
    write_picture_trace(
        *request_.trace / fmt::format("item-{:06}-edit-{}.safetensors", item, made.task.version),
        *networks_.generator, prepared, task, record, made.edited, more,
        {{"method", std::string{settings().facts().name}},
         {"prompt", prompt.prompt},
         {"placeholder", prompt.placeholder},
         {"picture", request_.plan.pictures()[made.task.source].path},
         {"source_class", request_.dataset.class_names[static_cast<std::size_t>(made.task.source_class)]},
         {"target_class", request_.dataset.class_names[static_cast<std::size_t>(made.task.target_class)]},
         {"join", made.task.vertical ? "vertical" : "horizontal"},
         {"k", std::to_string(made.task.version)}});
  }

  // From the model's square to what is kept.
  void finish(Made& made, const io::Image& square) {
    if (!made.edited.reason.empty()) {
      made.outcome = io::Outcome::failed;
      made.reason = made.edited.reason;
      return;
    }
    if (settings().facts().blends) {
      if (const auto unusable = unusable_picture(made.edited.picture)) {
        made.outcome = io::Outcome::rejected;
        made.reason = *unusable;
        return;
      }
      made.hybrid = hybrid_picture(square, made.edited.picture,
                                   made.task.vertical ? Concatenation::vertical : Concatenation::horizontal);
      made.fractal = fractal_of(networks_, request_, made.task, square.height);
      made.finished = blend_fractal(made.hybrid, made.fractal, settings().fractal_share);
      return;
    }
    const auto& source = pictures_[made.picture];
    const int shorter = std::min(source.height, source.width);
    const int side = std::min<int>(shorter, static_cast<int>(settings().stored_side));
    int height = source.height, width = source.width;
    if (side < shorter) io::shorter_side_size(source.height, source.width, side, height, width);
    made.finished = io::resize(made.edited.picture, height, width);
  }

  // The scores of all edits of the unit that came out.
  void judge() {
    if (!networks_.judge) return;
    std::vector<io::Image> pictures;
    std::vector<Made*> judged;
    for (auto& made : made_) {
      if (made.outcome != io::Outcome::done) continue;
      pictures.push_back(made.finished);
      judged.push_back(&made);
    }
    if (pictures.empty()) return;
    const auto& scorer = *networks_.judge->scorer;
    const auto shares = scorer.probabilities(scorer.image_embeds(pictures), networks_.judge->texts);
    for (std::size_t i = 0; i < judged.size(); ++i) {
      auto& made = *judged[i];
      const auto text = settings().filter == generative::Filter::above_chance
                            ? static_cast<std::int64_t>(made.task.target_class)
                            : 0;
      const auto score = shares[static_cast<std::int64_t>(i)][text].item<float>();
      if (!std::isfinite(score)) {
        made.outcome = io::Outcome::failed;
        made.reason = "its CLIP score is not finite";
      } else {
        made.score = score;
      }
    }
  }

  void conclude(Made& made) {
    auto& item = items_[made.place];
    if (made.outcome != io::Outcome::done) {
      rejected_[made.place] = rejected_[made.place] || made.outcome == io::Outcome::rejected;
      item.reason += fmt::format("{}edit {} {}: {}", item.reason.empty() ? "" : "; ", made.task.version,
                                 io::name_of(made.outcome), made.reason);
      return;
    }
    const auto& source = pictures_[made.picture];
    io::RecordInfo info;
    info.kind = io::RecordKind::picture;
    info.source_index = item.item;
    info.class_id = made.task.source_class;
    info.target_class = made.task.target_class;
    info.height = made.finished.height;
    info.width = made.finished.width;
    info.channels = made.finished.channels;
    info.crop = {0, 0, source.width, source.height};
    info.version = made.task.version;
    info.strength = static_cast<float>(made.task.strength);
    info.seed = made.task.seed;
    info.clip_score = made.score;
    item.records.push_back({info, std::move(made.finished.pixels)});
  }

  const PictureRequest& request_;
  const PeerNetworks& networks_;
  std::vector<io::ItemResult> items_;
  std::vector<bool> rejected_;  // by place: an edit of the item was rejected
  std::vector<io::Image> pictures_;
  std::vector<Made> made_;
};

// Items of a unit: as many as give a batch of edits.
std::int64_t items_per_unit(const PictureRequest& request) {
  return std::max<std::int64_t>(1, request.batch / request.plan.edits_of_item());
}

}  // namespace

std::string peer_prompt(const generative::GenerationSettings& settings, const std::string& noun) {
  constexpr std::string_view place = "{noun}";
  auto prompt = settings.prompt;
  for (auto at = prompt.find(place); at != std::string::npos; at = prompt.find(place, at + noun.size()))
    prompt.replace(at, place.size(), noun);
  while (!prompt.empty() && prompt.back() == ' ') prompt.pop_back();
  return prompt;
}

bool generate_pictures(const comm::Communicator& ranks, const PictureRequest& request) {
  std::shared_ptr<const PeerNetworks> networks;
  return fill_store(ranks, {.folder = request.folder,
                            .description = describe_store(request),
                            .items = "pictures",
                            .workers = request.workers,
                            .prepare =
                                [&] {
                                  ranks.agree("loading the networks", [&] { networks = request.load(); });
                                  return items_per_unit(request);
                                },
                            .make =
                                [&](std::int64_t first, std::int64_t last) {
                                  const at::NoGradGuard no_gradients;
                                  return Unit(request, *networks).make(first, last);
                                }});
}

}  // namespace deda::diffusion
