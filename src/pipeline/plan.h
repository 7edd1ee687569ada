// The stages of one configuration, known before anything has run: what each is called (its key), where its
// result lives, what it needs, and the command that makes it. The only place that names folders and puts
// stages in order.
//
// A key is the hash of everything that the result depends on and of nothing else: stage and schema, the
// settings with an effect (settings.h), the keys of what it needs, and the contents of the files that
// settings name. Equal keys are equal results on one kind of device; other data never has the same folder.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/file_digests.h"
#include "core/provenance.h"
#include "pipeline/config.h"
#include "pipeline/settings.h"
#include "pipeline/stage.h"

namespace deda::data {
struct Contents;
}

namespace deda::pipeline {

// How much a stage has to do, for whoever estimates its time (src/study). No part of the key.
struct Work {
  double amount = 0;
  std::string unit;  // what is counted: "pictures", "samples", "copies"
  std::string kind;  // all that the time of one unit depends on beside the machine: "resnet18 64px b32 fp32"
};

struct Node {
  Stage stage = Stage::train;
  std::string key;                            // 32 hexadecimal digits
  std::filesystem::path folder;               // OUTPUT/STAGE-<the key's first 16 digits>; toy: dataset.root
  std::vector<std::size_t> needs;             // positions in Plan::nodes, all before this one
  std::vector<ConfigValue> settings;          // those with an effect on this stage
  std::map<std::string, std::string> inputs;  // contents: "pictures", "train.weights" -> digest
  Work work;
  std::string title;                 // for people: "deda, seed 2"; may be empty
  std::vector<std::string> command;  // arguments after `deda`; empty: a store that the configuration names

  // What counts of it in the keys of those that need it, where that is not its key: synthetic CDPs without
  // their number per real one.
  std::string needed_as;
};

struct Plan {
  std::vector<Node> nodes;
  std::vector<std::string> notes;  // what is unusual about the dataset, but no error
  std::filesystem::path output;
  std::string configuration;  // every setting but those of [run] that say where, as JSON by section

  const Node* find(Stage stage) const;               // the last of that stage, null where there is none
  const Node& at(Stage stage) const;                 // std::logic_error where there is none
  Provenance provenance_of(const Node& node) const;  // without code version and processor
};

// What plans of several configurations have in common: datasets and the digests of their files, read once.
class SharedReads {
 public:
  explicit SharedReads(FileDigests& digests);
  ~SharedReads();
  FileDigests& digests() { return digests_; }
  // As data::contents_of() of both sections.
  std::shared_ptr<const data::Contents> contents_of(const PipelineConfig& config);
  // The digest of the text that `make` gives; made once per contents and `what`.
  std::string digest_of(const std::shared_ptr<const data::Contents>& contents, const std::string& what,
                        const std::function<std::string()>& make);

 private:
  FileDigests& digests_;
  struct Known;
  std::unique_ptr<Known> known_;
};

// The chain that ends in `target`: nothing that the target does not need. `arguments` follow the subcommand
// in every command ("--config", "x.toml", "--set", ...). Reads annotation files and the digests of what
// settings name; nothing of what stages write but stores that the configuration names. One ConfigError or
// DataError lists all that is missing.
Plan plan_of(const PipelineConfig& config, Stage target, FileDigests& digests,
             const std::vector<std::string>& arguments = {});
Plan plan_of(const PipelineConfig& config, Stage target, SharedReads& reads,
             const std::vector<std::string>& arguments = {});

// Several configurations as one: equal nodes once, in an order in which each comes after what it needs.
Plan merged(const std::vector<Plan>& plans);

// For other processes; plan_from throws DataError for what to_json did not write.
std::string to_json(const Plan& plan);
Plan plan_from(const std::string& json);
Plan plan_from(const nlohmann::ordered_json& json);

}  // namespace deda::pipeline
