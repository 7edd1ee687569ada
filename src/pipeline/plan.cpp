#include "pipeline/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "data/contents.h"
#include "decoupling/exclusions.h"
#include "decoupling/needed_networks.h"
#include "diffusion/model_files.h"
#include "diffusion/transparent/calibration.h"
#include "io/store/record_store.h"
#include "mixing/method.h"
#include "models/classifiers/facts.h"

namespace deda::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t digits_in_names = 16;  // of a key's 32
constexpr const char* copies_key = "generate.copies";
constexpr const char* method_key = "generate.method";  // of generative peers

using Needs = std::vector<std::pair<std::string, std::string>>;  // stage and key, in the order of stages

// What a key is the hash of.
std::string key_text(Stage stage, std::vector<ConfigValue> settings, const Needs& needs,
                     const std::map<std::string, std::string>& inputs) {
  std::string text = fmt::format("stage {}\nschema {}\n", name_of(stage), schema_of(stage));
  std::sort(settings.begin(), settings.end(),
            [](const ConfigValue& a, const ConfigValue& b) { return a.key < b.key; });
  for (const auto& setting : settings) text += fmt::format("set {} = {}\n", setting.key, setting.json);
  for (const auto& [name, key] : needs) text += fmt::format("need {} {}\n", name, key);
  for (const auto& [name, digest] : inputs) text += fmt::format("input {} {}\n", name, digest);
  return text;
}

// The key of synthetic CDPs without their number, which is a setting of the training that uses them: it takes
// the first ones of each CDP, and these are the same bytes in every store.
std::string key_of_any_number(std::vector<ConfigValue> settings, const Needs& needs,
                              const std::map<std::string, std::string>& inputs) {
  std::erase_if(settings, [](const ConfigValue& setting) { return setting.key == copies_key; });
  return xxhash128_hex(key_text(Stage::generate, std::move(settings), needs, inputs));
}

fs::path folder_of(const fs::path& output, Stage stage, const std::string& key) {
  return output / fmt::format("{}-{}", name_of(stage), key.substr(0, digits_in_names));
}

const std::string& counted_key(const Node& needed) {
  return needed.needed_as.empty() ? needed.key : needed.needed_as;
}

// What was wrong, over all parts of the plan.
class Problems {
 public:
  template <class Work>
  void collect(const Work& work) {
    try {
      work();
    } catch (const Error& error) {
      if (error.exit_code() != ExitCode::configuration) only_configuration_ = false;
      for (const auto& problem : error.problems()) add(problem);
    } catch (const fs::filesystem_error& error) {  // a folder that cannot be looked into
      only_configuration_ = false;
      add({error.code().message(), error.path1().string(), "Check the permissions."});
    }
  }
  void add(const Problem& problem) {
    const auto same = [&](const Problem& known) { return to_string(known) == to_string(problem); };
    if (std::none_of(problems_.begin(), problems_.end(), same)) problems_.push_back(problem);
  }
  void finish() {
    if (problems_.empty()) return;
    if (only_configuration_) throw ConfigError(std::move(problems_));
    throw DataError(std::move(problems_));
  }

 private:
  std::vector<Problem> problems_;
  bool only_configuration_ = true;
};

class Planner {
 public:
  Planner(const PipelineConfig& config, SharedReads& reads, const std::vector<std::string>& arguments)
      : config_{effective(config)}, reads_{reads}, digests_{reads.digests()}, arguments_{arguments} {
    plan_.output = config.run.output;
    // Where results live and how long a job may take is of the run, not of the result: folders stay byte for
    // byte the same wherever they are made.
    auto values = config_values(config);
    std::erase_if(values, [](const ConfigValue& value) {
      return value.key == "run.output" || value.key == "run.threads" || value.key == "run.time_limit_s";
    });
    plan_.configuration = to_json(values);
  }

  Plan plan(Stage target) {
    problems_.collect([&] {
      contents_ = reads_.contents_of(config_);
      plan_.notes = contents_->notes;
    });
    if (config_.dataset.layout == data::Layout::toy) problems_.collect([&] { add_toy(); });
    if (target != Stage::toy) problems_.collect([&] { add_until(target); });
    problems_.finish();
    return std::move(plan_);
  }

 private:
  void add_until(Stage target) {
    const bool trains = target == Stage::train;
    if (uses_edits(config_) && target != Stage::decouple) {
      add_peer(target);
      if (trains) problems_.collect([&] { add_train(); });
      return;
    }
    if (target == Stage::tune)
      problems_.collect([&] {
        throw ConfigError("is a stage of Diff-Mix alone", "tune", "Set augment.method = \"diff-mix\".");
      });
    if (config_.invert.latent == diffusion::InvertLatent::picture)
      problems_.collect([&] {
        throw ConfigError("CDPs are no whole pictures", "invert.latent",
                          "Only DA-Fusion learns words from these, and sets it itself.");
      });
    if (!trains || uses_parts(config_)) problems_.collect([&] { add_decouple(); });
    if (target == Stage::invert || target == Stage::generate || (trains && makes_synthetic())) {
      problems_.collect([&] { examine_model(); });
      if (target == Stage::invert || uses_identifiers(config_)) problems_.collect([&] { add_invert(); });
      if (target != Stage::invert) problems_.collect([&] { add_generate(); });
    } else if (trains && uses_synthetic(config_)) {
      problems_.collect(
          [&] { add_named(Stage::generate, config_.train.synthetic_store, "train.synthetic_store"); });
    }
    if (trains) problems_.collect([&] { add_train(); });
  }

  bool makes_synthetic() const { return uses_synthetic(config_) && config_.train.synthetic_store.empty(); }

  void add_toy() {
    Node node;
    node.stage = Stage::toy;
    node.settings = settings_of(Stage::toy, config_);
    node.folder = config_.dataset.root;
    node.work = {
        static_cast<double>(config_.toy.classes * (config_.toy.train_per_class + config_.toy.test_per_class)),
        "pictures", fmt::format("{}px", config_.toy.size)};
    add(std::move(node));
  }

  void add_decouple() {
    if (!config_.train.store.empty()) {
      add_named(Stage::decouple, config_.train.store, "train.store");
      return;
    }
    Node node;
    node.stage = Stage::decouple;
    node.settings = settings_of(Stage::decouple, config_);
    problems_.collect([&] {
      auto missing = decoupling::missing_networks(config_.decouple);
      if (!missing.empty()) throw ConfigError(std::move(missing));
      for (const auto& network : decoupling::needed_networks(config_.decouple)) {
        std::string text;
        for (const auto& file : decoupling::files_of(network)) text += digests_.of(file) + '\n';
        node.inputs[network.key] = xxhash128_hex(text);
      }
    });
    if (!contents_) return;
    std::vector<std::size_t> items;
    for (std::size_t i = 0; i < contents_->dataset.items.size(); ++i) {
      if (config_.decouple.split == decoupling::SplitChoice::all ||
          contents_->dataset.items[i].split == data::Split::train)
        items.push_back(i);
    }
    const auto& sources = config_.decouple.sources;
    const auto uses = [&](std::string_view source) {
      return std::find(sources.begin(), sources.end(), source) != sources.end();
    };
    const bool words = uses("text_box_sam") || uses("semantic");
    const data::Seen seen{
        .masks = uses("annotated"), .boxes = words || uses("box_sam") || uses("box_grabcut"), .words = words};
    node.inputs["pictures"] = reads_.digest_of(
        contents_, fmt::format("pictures {} {} {} {}", items.size(), seen.masks, seen.boxes, seen.words),
        [&] { return identity_of_pictures(*contents_, items, seen); });
    problems_.collect([&] {
      const auto excluded = decoupling::read_exclusions(config_.decouple.exclude, contents_->dataset);
      std::string text;
      for (const std::size_t i : items) {
        const auto& path = contents_->dataset.items[i].path;
        if (excluded.count(path) > 0) text += path + '\n';
      }
      if (!text.empty()) node.inputs["decouple.exclude"] = xxhash128_hex(text);
    });
    need_toy(node);
    node.work = {static_cast<double>(items.size()), "pictures", fmt::format("{}", fmt::join(sources, "+"))};
    add(std::move(node));
  }

  // A store that a setting names instead of the one that a stage would make. It counts by its own key, else
  // (made by an earlier version) by the content of its manifest, which holds the hash of every segment.
  void add_named(Stage stage, const fs::path& folder, const char* key) {
    const auto manifest = folder / "manifest.json";
    if (!fs::exists(manifest)) {
      const bool of_copies = stage == Stage::generate;
      throw DataError(
          fmt::format("there is no store of {}", of_copies ? "synthetic CDPs" : "parts"), folder.string(),
          fmt::format("{} names it: check it, or leave it empty and run `deda {}`{}.", key, name_of(stage),
                      of_copies ? ", or train on real CDPs alone with augment.p_syn=0" : ""));
    }
    if (!io::store_is_complete(folder))
      throw DataError("the store is not finished", folder.string(),
                      fmt::format("Finish the stage that makes it, or name another one in {}.", key));
    const auto description = io::read_description(folder);
    const std::string_view expected = name_of(stage);
    if (description.stage != expected)
      throw DataError(fmt::format("is a store of `deda {}`, not of `deda {}`", description.stage, expected),
                      folder.string(), fmt::format("Check {}.", key));
    if (stage == Stage::generate) check_maker(description, folder, key);
    Node node;
    node.stage = stage;
    node.folder = folder;
    node.key = description.key.empty() ? digests_.of(manifest) : description.key;
    if (stage == Stage::generate && !description.key.empty()) count_as_own(node, description, manifest);
    named_ = true;
    add(std::move(node));
    named_ = false;
  }

  // Synthetic CDPs are De-DA's, edited pictures the peer's that made them.
  void check_maker(const io::StoreDescription& description, const fs::path& folder, const char* key) const {
    const auto settings = nlohmann::json::parse(description.configuration, nullptr, false);
    const auto found = settings.is_object() ? settings.find(method_key) : settings.end();
    const std::string maker = settings.is_object() && found != settings.end() && found->is_string()
                                  ? found->get<std::string>()
                                  : "deda";
    const std::string wanted = uses_edits(config_) ? std::string{peer().facts().name} : "deda";
    if (maker != wanted)
      throw DataError(fmt::format("was made by {}, and augment.method wants what {} makes", maker, wanted),
                      folder.string(), fmt::format("Check {} and augment.method.", key));
  }

  // A store of synthetic CDPs that the plan could make itself is the same thing under a name, as far as what
  // it was made of gives its key under today's schema. Any other counts by its key as a whole.
  void count_as_own(Node& node, const io::StoreDescription& description, const fs::path& manifest) {
    Provenance made_of;
    try {
      made_of = provenance_from(description.provenance, manifest.string());
    } catch (const DataError&) {  // an earlier version's
      return;
    }
    const auto json = nlohmann::json::parse(made_of.settings);
    const auto copies = json.find(copies_key);
    if (copies == json.end() || !copies->is_number_integer()) return;
    std::vector<ConfigValue> settings;
    for (const auto& [key, value] : json.items()) settings.push_back({key, value.dump()});
    const Needs needs{made_of.needs.begin(), made_of.needs.end()};
    if (xxhash128_hex(key_text(node.stage, settings, needs, made_of.inputs)) != node.key) return;
    node.needed_as = key_of_any_number(settings, needs, made_of.inputs);
    copies_ = copies->get<std::int64_t>();
  }

  // ---- generative peers

  const generative::GenerationSettings& peer() const { return peer_of(config_); }
  std::string peer_key(const char* key) const {
    return fmt::format("generate.{}.{}", peer().facts().name, key);
  }

  void add_peer(Stage target) {
    if (target == Stage::train && !config_.train.synthetic_store.empty()) {
      problems_.collect(
          [&] { add_named(Stage::generate, config_.train.synthetic_store, "train.synthetic_store"); });
      return;
    }
    problems_.collect([&] { examine_peer_model(); });
    const bool learns = peer().facts().words == generative::Words::identifier,
               tunes = peer().facts().words == generative::Words::tuned_identifier;
    if ((target == Stage::invert && !learns) || (target == Stage::tune && !tunes))
      problems_.collect([&] {
        throw ConfigError(fmt::format("{} has no stage {}", peer().facts().title, name_of(target)),
                          "augment.method", "Run `deda generate`, or what `deda plan` lists.");
      });
    if (tunes) problems_.collect([&] { add_tune(); });
    if (learns) problems_.collect([&] { add_invert_of_pictures(); });
    if (target == Stage::generate || target == Stage::train)
      problems_.collect([&] { add_generate_pictures(); });
  }

  // The model that edits, and its side.
  void examine_peer_model() {
    peer_models_ = config_.models;
    if (peer().facts().editing == generative::Editing::instructed) {
      if (config_.models.instruct.empty())
        throw ConfigError(
            fmt::format("{} edits with InstructPix2Pix, and no folder is named", peer().facts().title),
            "models.instruct", "configs/models/README.md tells where to get it.");
      peer_models_.base = config_.models.instruct;
      peer_models_.lora.clear();
    }
    diffusion::require_folder(peer_models_);
    model_ =
        diffusion::model_files(peer_models_, diffusion::UNetWeights::plain, diffusion::LatentCodec::plain);
    resolution_ = peer().resolution > 0              ? peer().resolution
                  : config_.diffusion.resolution > 0 ? config_.diffusion.resolution
                                                     : diffusion::model_resolution(peer_models_);
    if (const auto multiple = diffusion::resolution_multiple(peer_models_, diffusion::LatentCodec::plain);
        resolution_ % multiple != 0)
      problems_.collect([&] {
        throw ConfigError(fmt::format("{} is no multiple of {}", resolution_, multiple),
                          peer_key("resolution"), "The model's networks halve the picture that often.");
      });
  }

  // What is edited, pixel by pixel and with its labels.
  void add_training_pictures(Node& node) {
    if (!contents_) return;
    node.inputs["training list"] =
        reads_.digest_of(contents_, "training list", [&] { return identity_of_training_list(*contents_); });
    const auto training = contents_->dataset.indices(data::Split::train);
    node.inputs["pictures"] = reads_.digest_of(contents_, "training pictures", [&] {
      return identity_of_pictures(*contents_, training, {.masks = false, .boxes = false, .words = false});
    });
    need_toy(node);
  }

  void add_invert_of_pictures() {
    if (!model_) return;
    Node node;
    node.stage = Stage::invert;
    node.settings = settings_of(Stage::invert, config_);
    node.settings.push_back({"invert.most_timestep", std::to_string(config_.invert.most_timestep)});
    node.settings.push_back({"diffusion.resolution", std::to_string(resolution_)});
    add_model(node, [](const std::string&) { return true; });
    add_training_pictures(node);
    if (contents_)
      node.work = {static_cast<double>(contents_->dataset.class_names.size()) *
                       static_cast<double>(config_.invert.steps * config_.invert.batch),
                   "samples", model_kind()};
    add(std::move(node));
  }

  void add_tune() {
    if (!model_) return;
    Node node;
    node.stage = Stage::tune;
    node.settings = settings_of(Stage::tune, config_);
    if (contents_)
      node.settings.push_back(
          {"tune.super_class", nlohmann::json(super_class_of(config_, contents_->dataset.subjects)).dump()});
    add_model(node, [](const std::string&) { return true; });
    add_training_pictures(node);
    node.work = {static_cast<double>(config_.tune.steps * config_.tune.batch), "samples",
                 fmt::format("model {} {}px", diffusion::model_identity(*model_, digests_).substr(0, 8),
                             config_.tune.resolution)};
    add(std::move(node));
  }

  void add_generate_pictures() {
    if (!model_) return;
    Node node;
    node.stage = Stage::generate;
    node.settings = settings_of(Stage::generate, config_);
    node.settings.push_back({method_key, nlohmann::json(peer().facts().name).dump()});
    node.settings.push_back({peer_key("resolution"), std::to_string(resolution_)});
    if (uses_noun()) {
      const auto noun =
          noun_of(config_, contents_ ? contents_->dataset.subjects : std::vector<std::string>{});
      if (noun.empty())
        problems_.collect([&] {
          throw ConfigError(fmt::format("{} asks for what all pictures show", peer().facts().title),
                            peer_key("noun"), "Set it, or diffusion.init_word: bird, aircraft, car, ...");
        });
      node.settings.push_back({peer_key("noun"), nlohmann::json(noun).dump()});
    }
    add_model(node, [](const std::string&) { return true; });
    if (peer().filter != generative::Filter::none) problems_.collect([&] { add_clip(node); });
    if (!peer().fractals.empty()) problems_.collect([&] { add_fractals(node); });
    add_training_pictures(node);
    for (const Stage stage : {Stage::invert, Stage::tune}) {
      if (const auto* words = plan_.find(stage)) need(node, *words);
    }
    if (contents_) {
      double share = 0;  // of the steps that are evaluated, in the mean
      for (const double strength : peer().strengths)
        share += strength / static_cast<double>(peer().strengths.size());
      if (peer().strengths.empty()) share = 1;
      node.work = {static_cast<double>(contents_->dataset.indices(data::Split::train).size()) *
                       static_cast<double>(peer().copies),
                   "edits",
                   fmt::format("{} {} {} x {:.3g}{}", peer().facts().name, model_kind(), peer().steps, share,
                               peer().guidance > 1 ? " guided" : "")};
    }
    add(std::move(node));
  }

  bool uses_noun() const {
    return peer().filter == generative::Filter::with_object ||
           peer().prompt.find("{noun}") != std::string::npos;
  }

  void add_clip(Node& node) {
    const auto& folder = config_.models.clip;
    if (folder.empty())
      throw ConfigError(
          fmt::format("{} goes by what a CLIP says, and no folder is named", peer().facts().title),
          "models.clip",
          fmt::format("configs/models/README.md tells where to get one; or set {} to none.",
                      peer_key("filter")));
    constexpr std::array parts{"config.json", "model.safetensors", "preprocessor_config.json", "vocab.json",
                               "merges.txt"};
    std::vector<Problem> missing;
    for (const char* part : parts) {
      if (!fs::exists(folder / part))
        missing.push_back(
            {fmt::format("has no {}", part), folder.string(), "models.clip names it: check it."});
    }
    if (!missing.empty()) throw DataError(std::move(missing));
    std::string text;
    for (const char* part : parts) text += digests_.of(folder / part) + '\n';
    node.inputs["models.clip"] = xxhash128_hex(text);
  }

  void add_fractals(Node& node) {
    std::vector<fs::path> files;
    if (!fs::is_directory(peer().fractals))
      throw DataError("is no folder", peer().fractals.string(), "Check " + peer_key("fractals") + ".");
    for (const auto& entry : fs::recursive_directory_iterator(peer().fractals)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::string text;
    for (const auto& file : files)
      text += fmt::format("{} {}\n", path_text(fs::relative(file, peer().fractals)), digests_.of(file));
    node.inputs[peer_key("fractals")] = xxhash128_hex(text);
  }

  void examine_model() {
    diffusion::require_folder(config_.models);
    model_ = diffusion::model_files(config_.models);
    const auto identity = diffusion::model_identity(*model_, digests_);
    transparency_ =
        diffusion::choose_transparency(config_.models, config_.diffusion, config_.generate,
                                       diffusion::has_two_text_encoders(config_.models), identity);
    resolution_ = config_.diffusion.resolution > 0 ? config_.diffusion.resolution
                                                   : diffusion::model_resolution(config_.models);
  }

  // What both stages of the diffusion model depend on besides its files.
  void add_common(Node& node) {
    node.settings.push_back({"diffusion.resolution", std::to_string(resolution_)});
    node.settings.push_back({"diffusion.offset_gain", fmt::format("{}", transparency_.offset_gain)});
    if (contents_)
      node.inputs["training list"] =
          reads_.digest_of(contents_, "training list", [&] { return identity_of_training_list(*contents_); });
    if (const auto* parts = plan_.find(Stage::decouple)) need(node, *parts);
  }

  void add_model(Node& node, const std::function<bool(const std::string& role)>& takes) {
    std::vector<diffusion::ModelFile> files;
    for (const auto& file : *model_) {
      if (takes(file.role)) files.push_back(file);
    }
    node.inputs["model"] = diffusion::model_identity(files, digests_);
  }

  void add_invert() {
    if (!model_) return;
    Node node;
    node.stage = Stage::invert;
    node.settings = settings_of(Stage::invert, config_);
    node.settings.push_back({"invert.most_timestep",
                             std::to_string(diffusion::most_timestep(config_.diffusion, config_.invert))});
    const bool merged_unet = config_.invert.unet == diffusion::InvertUNet::merged,
               with_offset = config_.invert.latent == diffusion::InvertLatent::transparent;
    add_model(node, [&](const std::string& role) {
      if (role == "transparent_decoder") return false;
      if (role == "layer_diffuse") return merged_unet;
      return role != "transparent_encoder" || with_offset;
    });
    add_common(node);
    if (contents_)
      node.work = {static_cast<double>(contents_->dataset.class_names.size()) *
                       static_cast<double>(config_.invert.steps * config_.invert.batch),
                   "samples", model_kind()};
    add(std::move(node));
  }

  // The model by the first digits of its files' digest, and its side.
  std::string model_kind() {
    return fmt::format("model {} {}px", diffusion::model_identity(*model_, digests_).substr(0, 8),
                       resolution_);
  }

  void add_generate() {
    if (!model_) return;
    Node node;
    node.stage = Stage::generate;
    node.settings = settings_of(Stage::generate, config_);
    node.settings.push_back({copies_key, std::to_string(diffusion::copies_in_store(config_.generate))});
    node.settings.push_back(
        {"generate.decoder_latent", transparency_.scaled_latent ? R"("scaled")" : R"("unscaled")"});
    add_model(node, [](const std::string&) { return true; });
    add_common(node);
    if (const auto* identifiers = plan_.find(Stage::invert);
        identifiers != nullptr && uses_identifiers(config_))
      need(node, *identifiers);
    if (contents_)
      node.work = {static_cast<double>(contents_->dataset.indices(data::Split::train).size()) *
                       static_cast<double>(std::max(config_.generate.copies, config_.generate.store_copies)),
                   "copies",
                   fmt::format("{} {} x {}{}", model_kind(), config_.generate.steps,
                               config_.diffusion.strength, config_.generate.guidance > 1 ? " guided" : "")};
    node.needed_as = key_of_any_number(node.settings, needs_of(node), node.inputs);
    copies_ = config_.generate.copies;
    add(std::move(node));
  }

  // Whether the image-mixing method has what it needs.
  void check_mixing(bool several_labels) {
    const auto* settings = config_.augment.mixing.active();
    if (settings == nullptr) return;
    const auto& method = settings->method().facts();
    const auto refuse = [&](const std::string& what, const char* key, const char* hint) {
      problems_.collect([&] { throw ConfigError(fmt::format("{} {}", method.title, what), key, hint); });
    };
    if (several_labels && !method.several_labels)
      refuse("is not defined for pictures of several labels", "augment.method",
             "Set another augment.method, or train.objective = \"single_label\".");
    if (method.saliency == mixing::Saliency::activations &&
        models::facts_of_classifier(config_.train.network).attention)
      refuse(fmt::format("looks at a network's last feature maps, and {} has none", config_.train.network),
             "augment.method", "Set another augment.method, or train.network.");
    if (config_.train.batch_size < method.smallest_batch)
      refuse(fmt::format("mixes batches of {} pictures or more, and train.batch_size is {}",
                         method.smallest_batch, config_.train.batch_size),
             "train.batch_size", "Set a larger train.batch_size.");
  }

  void add_train() {
    Node node;
    node.stage = Stage::train;
    node.title = fmt::format("{}, seed {}", method_name(config_), config_.run.seed);
    node.settings = settings_of(Stage::train, config_);
    problems_.collect([&] {
      const auto& facts = models::facts_of_classifier(config_.train.network);
      const auto side = config_.augment.crop;
      if (const auto problem = models::why_not_sides(facts, side, side); !problem.empty())
        throw ConfigError(problem, "augment.crop", "Set augment.crop, or another train.network.");
    });
    if (!config_.train.weights.empty()) {
      problems_.collect([&] {
        if (!fs::exists(config_.train.weights))
          throw DataError("there are no such weights", config_.train.weights.string(),
                          "Check train.weights.");
        node.inputs["train.weights"] = digests_.of(config_.train.weights);
      });
    }
    if (!contents_) return;
    if (contents_->dataset.class_names.size() < 2)
      problems_.collect([&] {
        throw DataError(
            "has one class only, so that there is nothing to tell apart", config_.dataset.root.string(),
            "Check dataset.root and dataset.layout; decoupling alone works with `deda decouple` (plan: --for "
            "decouple).");
      });
    const bool several_labels = config_.train.objective == training::ObjectiveChoice::multi_label;
    check_mixing(several_labels);
    if (several_labels && config_.train.label_smoothing > 0)
      problems_.collect([&] {
        throw ConfigError("label smoothing is for one class per picture, and train.objective is multi_label",
                          "train.label_smoothing", "Set train.label_smoothing = 0.");
      });
    node.inputs["pictures"] =
        reads_.digest_of(contents_, several_labels ? "classification, several labels" : "classification",
                         [&] { return identity_of_classification(*contents_, several_labels); });
    for (const Stage stage : {Stage::decouple, Stage::generate}) {
      const auto* found = plan_.find(stage);
      if (found != nullptr && (uses_parts(config_) || uses_edits(config_))) need(node, *found);
    }
    if (uses_edits(config_) && several_labels && peer().facts().words != generative::Words::instruction)
      problems_.collect([&] {
        throw ConfigError(
            fmt::format("{} is not defined for pictures of several labels: its edits are of one class",
                        peer().facts().title),
            "augment.method",
            "Set another augment.method (diffusemix keeps all labels), or train.objective = "
            "\"single_label\".");
      });
    if (copies_) node.settings.push_back({copies_key, std::to_string(*copies_)});
    need_toy(node);
    // An evaluated picture costs a third of a trained one: no backward pass.
    constexpr double evaluated = 1.0 / 3.0;
    const auto& train = config_.train;
    const auto trained = static_cast<double>(contents_->dataset.indices(data::Split::train).size()) *
                         passes_of_mixing(evaluated);
    const auto tested = static_cast<double>(contents_->dataset.indices(data::Split::test).size());
    const auto evaluations =
        static_cast<double>((train.epochs + train.evaluate_every - 1) / train.evaluate_every);
    node.work = {static_cast<double>(train.epochs) * trained + evaluations * tested * evaluated, "pictures",
                 fmt::format("{} {}px b{} {} {}", train.network, config_.augment.crop, train.batch_size,
                             text_of_setting(node, "train.precision"), method_name(config_))};
    add(std::move(node));
  }

  // What a training step costs with the image-mixing method, in plain steps: one that looks at gradients has
  // one more forward and backward pass in the steps that mix, one that looks at feature maps one more
  // forward.
  double passes_of_mixing(double forward) const {
    const auto* settings = config_.augment.mixing.active();
    if (settings == nullptr) return 1;
    const auto saliency = settings->method().facts().saliency;
    const double more = saliency == mixing::Saliency::gradients     ? 1
                        : saliency == mixing::Saliency::activations ? forward
                                                                    : 0;
    return 1 + more * (settings->has("mix_probability") ? (*settings)["mix_probability"] : 1);
  }

  static std::string text_of_setting(const Node& node, std::string_view key) {
    const auto found = std::find_if(node.settings.begin(), node.settings.end(),
                                    [&](const ConfigValue& setting) { return setting.key == key; });
    return found == node.settings.end() ? std::string{}
                                        : nlohmann::json::parse(found->json).get<std::string>();
  }

  void need(Node& node, const Node& what) {
    node.needs.push_back(static_cast<std::size_t>(&what - plan_.nodes.data()));
  }
  // Only for the order: what was drawn counts by the pictures' contents.
  void need_toy(Node& node) {
    if (const auto* toy = plan_.find(Stage::toy)) need(node, *toy);
  }

  Needs needs_of(const Node& node) const {
    Needs needs;
    for (const std::size_t i : node.needs) {
      const Node& needed = plan_.nodes[i];
      if (needed.stage != Stage::toy) needs.emplace_back(name_of(needed.stage), counted_key(needed));
    }
    return needs;
  }

  void add(Node node) {
    if (!named_) {
      std::sort(node.settings.begin(), node.settings.end(),
                [](const ConfigValue& a, const ConfigValue& b) { return a.key < b.key; });
      node.key = xxhash128_hex(key_text(node.stage, node.settings, needs_of(node), node.inputs));
      if (node.folder.empty()) node.folder = folder_of(plan_.output, node.stage, node.key);
      node.command = {std::string{name_of(node.stage)}};
      node.command.insert(node.command.end(), arguments_.begin(), arguments_.end());
    }
    plan_.nodes.push_back(std::move(node));
  }

  PipelineConfig config_;
  SharedReads& reads_;
  FileDigests& digests_;
  const std::vector<std::string>& arguments_;
  Plan plan_;
  Problems problems_;
  std::shared_ptr<const data::Contents> contents_;
  std::optional<std::vector<diffusion::ModelFile>> model_;
  diffusion::ModelsConfig peer_models_;  // of a generative peer
  diffusion::TransparencyChoice transparency_;
  std::int64_t resolution_ = 0;
  bool named_ = false;
  std::optional<std::int64_t> copies_;  // synthetic CDPs per real one that training uses, where it uses any
};

}  // namespace

const Node* Plan::find(Stage stage) const {
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (node->stage == stage) return &*node;
  }
  return nullptr;
}

const Node& Plan::at(Stage stage) const {
  if (const Node* node = find(stage)) return *node;
  throw std::logic_error(fmt::format("the plan has no stage {}", name_of(stage)));
}

Provenance Plan::provenance_of(const Node& node) const {
  Provenance provenance;
  provenance.stage = name_of(node.stage);
  provenance.key = node.key;
  for (const std::size_t i : node.needs) {
    if (nodes[i].stage != Stage::toy)
      provenance.needs[std::string{name_of(nodes[i].stage)}] = counted_key(nodes[i]);
  }
  provenance.inputs = node.inputs;
  auto settings = nlohmann::json::object();
  for (const auto& setting : node.settings) settings[setting.key] = nlohmann::json::parse(setting.json);
  provenance.settings = settings.dump();
  provenance.configuration = configuration;
  return provenance;
}

struct SharedReads::Known {
  std::map<std::string, std::shared_ptr<const data::Contents>> contents;
  std::map<std::pair<const data::Contents*, std::string>, std::string> digests;
};

SharedReads::SharedReads(FileDigests& digests) : digests_{digests}, known_{std::make_unique<Known>()} {}
SharedReads::~SharedReads() = default;

std::shared_ptr<const data::Contents> SharedReads::contents_of(const PipelineConfig& config) {
  std::string sections;
  for (const auto& value : config_values(config)) {
    if (value.key.starts_with("dataset.") || value.key.starts_with("toy."))
      sections += value.key + '=' + value.json + '\n';
  }
  auto& known = known_->contents[sections];
  if (!known)
    known = std::make_shared<const data::Contents>(
        data::contents_of(config.dataset, config.toy, digests_, usable_cores()));
  return known;
}

std::string SharedReads::digest_of(const std::shared_ptr<const data::Contents>& contents,
                                   const std::string& what, const std::function<std::string()>& make) {
  auto& known = known_->digests[{contents.get(), what}];
  if (known.empty()) known = xxhash128_hex(make());
  return known;
}

Plan plan_of(const PipelineConfig& config, Stage target, SharedReads& reads,
             const std::vector<std::string>& arguments) {
  return Planner(config, reads, arguments).plan(target);
}

Plan plan_of(const PipelineConfig& config, Stage target, FileDigests& digests,
             const std::vector<std::string>& arguments) {
  SharedReads reads(digests);
  return plan_of(config, target, reads, arguments);
}

Plan merged(const std::vector<Plan>& plans) {
  Plan all;
  std::map<std::pair<Stage, std::string>, std::size_t> places;
  for (const Plan& plan : plans) {
    if (all.nodes.empty()) {
      all.output = plan.output;
      all.configuration = plan.configuration;
    }
    for (const auto& note : plan.notes) {
      if (std::find(all.notes.begin(), all.notes.end(), note) == all.notes.end()) all.notes.push_back(note);
    }
    std::vector<std::size_t> place_of(plan.nodes.size());
    for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
      Node node = plan.nodes[i];
      const auto [place, is_new] = places.emplace(std::pair{node.stage, node.key}, all.nodes.size());
      place_of[i] = place->second;
      if (!is_new) continue;
      for (auto& needed : node.needs) needed = place_of[needed];
      all.nodes.push_back(std::move(node));
    }
  }
  // Stage by stage: what several runs share is there before the first of them begins.
  std::vector<std::size_t> order(all.nodes.size()), place_of(all.nodes.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return all.nodes[a].stage < all.nodes[b].stage; });
  for (std::size_t i = 0; i < order.size(); ++i) place_of[order[i]] = i;
  std::vector<Node> sorted;
  for (const std::size_t i : order) {
    for (auto& needed : all.nodes[i].needs) needed = place_of[needed];
    sorted.push_back(std::move(all.nodes[i]));
  }
  all.nodes = std::move(sorted);
  return all;
}

std::string to_json(const Plan& plan) {
  nlohmann::ordered_json nodes = nlohmann::ordered_json::array();
  for (const Node& node : plan.nodes) {
    nlohmann::ordered_json settings = nlohmann::ordered_json::object();
    for (const auto& setting : node.settings)
      settings[setting.key] = nlohmann::ordered_json::parse(setting.json);
    std::vector<std::string> command;
    for (const auto& argument : node.command) command.push_back(escaped_name(argument));
    nodes.push_back(
        {{"stage", name_of(node.stage)},
         {"key", node.key},
         {"needed_as", node.needed_as},
         {"folder", path_text(node.folder)},
         {"title", node.title},
         {"needs", node.needs},
         {"settings", std::move(settings)},
         {"inputs", node.inputs},
         {"work", {{"amount", node.work.amount}, {"unit", node.work.unit}, {"kind", node.work.kind}}},
         {"command", command}});
  }
  std::vector<std::string> notes;
  for (const auto& note : plan.notes) notes.push_back(readable(note));
  return nlohmann::ordered_json{{"schema", "deda-plan-1"},
                                {"output", path_text(plan.output)},
                                {"configuration", nlohmann::ordered_json::parse(plan.configuration)},
                                {"notes", notes},
                                {"nodes", std::move(nodes)}}
      .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Plan plan_from(const std::string& text) {
  try {
    return plan_from(nlohmann::ordered_json::parse(text));
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("is no plan: {}", error.what()), "plan");
  }
}

Plan plan_from(const nlohmann::ordered_json& json) {
  try {
    Plan plan;
    plan.output = path_of_name(json.at("output").get<std::string>());
    plan.configuration = json.at("configuration").dump();
    plan.notes = json.at("notes").get<std::vector<std::string>>();
    for (const auto& entry : json.at("nodes")) {
      Node node;
      const auto stage = stage_named(entry.at("stage").get<std::string>());
      if (!stage) throw DataError("names a stage that does not exist", "plan");
      node.stage = *stage;
      node.key = entry.at("key").get<std::string>();
      node.needed_as = entry.at("needed_as").get<std::string>();
      node.folder = path_of_name(entry.at("folder").get<std::string>());
      node.title = entry.at("title").get<std::string>();
      node.needs = entry.at("needs").get<std::vector<std::size_t>>();
      for (const auto& [key, value] : entry.at("settings").items())
        node.settings.push_back({key, value.dump()});
      node.inputs = entry.at("inputs").get<std::map<std::string, std::string>>();
      const auto& work = entry.at("work");
      node.work = {work.at("amount").get<double>(), work.at("unit").get<std::string>(),
                   work.at("kind").get<std::string>()};
      for (const auto& argument : entry.at("command"))
        node.command.push_back(bytes_of_name(argument.get<std::string>()));
      plan.nodes.push_back(std::move(node));
    }
    return plan;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("is no plan: {}", error.what()), "plan");
  }
}

}  // namespace deda::pipeline
