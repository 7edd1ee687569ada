#include "diffusion/generation/generate.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/log.h"
#include "device/memory_fit.h"
#include "diffusion/generation/fill_store.h"
#include "diffusion/generation/generate_trace.h"
#include "diffusion/model_files.h"
#include "diffusion/prompts.h"
#include "models/diffusion/autoencoder.h"
#include "models/text/clip_tokenizer.h"
#include "models/weights/embedding_file.h"

namespace deda::diffusion {
namespace {

io::StoreDescription describe_store(const GenerateRequest& request) {
  io::StoreDescription description;
  description.stage = "generate";
  description.key = request.made_of.key;
  auto configuration = nlohmann::json::parse(request.made_of.settings);
  configuration["classes_without_cdp"] = request.classes_without_cdp;
  description.configuration = configuration.dump();
  description.provenance = to_json(request.made_of);
  description.dataset = request.dataset.name;
  description.class_names = request.dataset.class_names;
  description.items_per_segment = request.config.items_per_segment;
  for (std::size_t cdp = 0; cdp < request.cdps.size(); ++cdp) {
    description.sources.push_back(request.cdps.source(cdp));
    description.source_classes.push_back(request.cdps.class_of(cdp));
  }
  return description;
}

// Outcome and reason of an item from those of its copies.
void conclude(io::ItemResult& item, const std::vector<EditedCopy>& copies) {
  bool rejected = false;
  for (const auto& copy : copies) {
    if (copy.outcome == io::Outcome::done) continue;
    rejected = rejected || copy.outcome == io::Outcome::rejected;
    item.reason += fmt::format("{}copy {} {}: {}", item.reason.empty() ? "" : "; ", copy.copy,
                               io::name_of(copy.outcome), copy.reason);
  }
  if (item.records.empty()) item.outcome = rejected ? io::Outcome::rejected : io::Outcome::failed;
}

// CDPs [first, last). What is wrong with one of them is its outcome; the others are generated without it.
std::vector<io::ItemResult> generate_unit(const GenerateRequest& request, const Generator& generator,
                                          std::int64_t first, std::int64_t last) {
  std::vector<io::ItemResult> items;
  std::vector<CdpToEdit> cdps;
  std::vector<std::size_t> item_of_cdp;
  for (std::int64_t number = first; number < last; ++number) {
    const auto cdp = static_cast<std::size_t>(number);
    io::ItemResult item;
    item.item = number;
    const auto class_id = static_cast<std::size_t>(request.cdps.class_of(cdp));
    if (const auto& missing = generator.prompt_of(class_id).missing; !missing.empty()) {
      item.outcome = io::Outcome::nothing_found;
      item.reason = missing;
    } else {
      try {
        cdps.push_back({request.cdps.framed(cdp), class_id, request.cdps.source(cdp)});
        item_of_cdp.push_back(items.size());
      } catch (const Error& error) {
        item.outcome = io::Outcome::failed;
        item.reason = error.problems().front().what;
      }
    }
    items.push_back(std::move(item));
  }
  if (cdps.empty()) return items;
  const bool traced = request.trace && first < request.trace_items;
  EditRecord record;
  auto edited = generator.edit(cdps, traced ? &record : nullptr);
  for (std::size_t i = 0; i < cdps.size(); ++i) {
    auto& item = items[item_of_cdp[i]];
    for (auto& copy : edited[i]) {
      if (auto made = record_of_copy(copy, cdps[i], item.item, request.strength))
        item.records.push_back(std::move(*made));
    }
    conclude(item, edited[i]);
    if (traced && item.item < request.trace_items)
      write_generate_trace(*request.trace, generator, record, cdps[i], i, edited[i], item.item);
  }
  return items;
}

// The same, with a hint where the memory does not hold the unit.
std::vector<io::ItemResult> generate_unit_in_memory(const GenerateRequest& request,
                                                    const Generator& generator, std::int64_t first,
                                                    std::int64_t last) {
  try {
    return generate_unit(request, generator, first, last);
  } catch (const c10::OutOfMemoryError& error) {
    throw ModelError(
        "memory is not enough for one unit of work: " + std::string{error.what_without_backtrace()},
        "generate.batch_cdps",
        "Set generate.batch_cdps or generate.autoencoder_batch lower (a new store is made then).");
  }
}

// generate.batch_cdps, or as many CDPs as the memory of the smallest GPU holds.
std::int64_t cdps_per_unit(const comm::Communicator& ranks, const GenerateRequest& request,
                           const Generator& generator) {
  constexpr std::int64_t on_cpus = 4, most = 64;
  if (request.config.batch_cdps > 0) return request.config.batch_cdps;
  const auto& model = generator.model();
  auto fitting = on_cpus;
  if (model.plugin != nullptr) {
    ranks.agree("measuring how many CDPs fit into the memory", [&] {
      const auto fit = device::fit_into_memory(
          *model.plugin, model.device.index(), "CDPs of a unit of work", most, request.workers,
          [&](std::int64_t cdps) { generator.rehearse(static_cast<std::size_t>(cdps)); });
      log_info("{}", fit.line);
      fitting = fit.at_once;
    });
  }
  return ranks.all_reduce(fitting, comm::Reduction::minimum);
}

}  // namespace

std::vector<Problem> problems_of_generation(const ModelsConfig& models, const DiffusionConfig& diffusion,
                                            const GenerateConfig& generate, std::int64_t resolution) {
  std::vector<Problem> problems;
  const auto collect = [&](const auto& check) {
    try {
      check();
    } catch (const Error& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  };
  collect([&] {
    const auto schedule = read_scheduler_config(models.base / "scheduler" / "scheduler_config.json");
    make_scheduler(kind_of(generate.sampler), schedule, generate.steps, diffusion.strength);
  });
  collect([&] {
    if (const auto multiple = resolution_multiple(models); resolution <= 0 || resolution % multiple != 0)
      throw ConfigError(fmt::format("{} is no multiple of {}", resolution, multiple), "diffusion.resolution",
                        "The model's networks halve the picture that often.");
  });
  if (diffusion.prompt.find("{token}") == std::string::npos &&
      diffusion.prompt.find("{}") == std::string::npos)
    problems.push_back(
        {fmt::format("\"{}\" has no {{token}}: all classes would have the same prompt", diffusion.prompt),
         "diffusion.prompt", "The paper's is \"a photo of a {token}\"."});
  return problems;
}

std::vector<Problem> problems_of_prompts(const ModelsConfig& models, const DiffusionConfig& diffusion,
                                         const GenerateConfig& generate, std::int64_t vectors,
                                         const std::vector<std::string>& class_names) {
  std::vector<Problem> problems;
  std::vector<std::string> folders{"tokenizer"};
  if (has_two_text_encoders(models)) folders.emplace_back("tokenizer_2");
  for (const auto& folder : folders) {
    try {
      auto tokenizer = models::ClipTokenizer::from_folder(models.base / folder);
      const auto room = static_cast<std::size_t>(tokenizer.max_length() - 2);  // start and end
      const auto check = [&](const std::string& text, const std::string& of, const char* key) {
        const auto tokens = tokenizer.tokens(text).size();
        if (tokens > room)
          problems.push_back(
              {fmt::format("{} has {} tokens, {} fit: the rest would be cut off", of, tokens, room), key,
               "Shorten it."});
      };
      if (generate.identifier == IdentifierChoice::learned) {
        const auto names = models::placeholders_of_rows(placeholder_of_class(0), vectors);
        for (const auto& name : names) tokenizer.add_token(name);
        check(fill_template(diffusion.prompt, fmt::format("{}", fmt::join(names, " "))),
              fmt::format("the prompt with an identifier of {} rows", vectors), "diffusion.prompt");
      } else {
        for (const auto& name : class_names)
          check(fill_template(diffusion.prompt, name), fmt::format("the prompt of class \"{}\"", name),
                "diffusion.prompt");
      }
      check(generate.negative_prompt, "the negative prompt", "generate.negative_prompt");
    } catch (const Error& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  }
  return problems;
}

io::OutcomeLimits outcome_limits(const GenerateConfig& config) {
  return {.section = "generate",
          .max_failed_share = config.max_failed_share,
          .failed_items = "CDPs failed",
          .allow_empty = config.allow_empty,
          .wanted_records = "usable synthetic CDP"};
}

bool generate(const comm::Communicator& ranks, const GenerateRequest& request) {
  const auto items = static_cast<std::int64_t>(request.cdps.size());
  if (items == 0)
    throw DataError("has no CDP of a training picture", request.dataset.name,
                    "`deda inspect` tells why: look at the decouple store.");
  std::shared_ptr<const Generator> generator;
  return fill_store(
      ranks,
      {.folder = request.folder,
       .description = describe_store(request),
       .items = "CDPs",
       .workers = request.workers,
       .prepare =
           [&] {
             ranks.agree("loading the diffusion model", [&] { generator = request.load(); });
             return cdps_per_unit(ranks, request, *generator);
           },
       .make = [&](std::int64_t first,
                   std::int64_t last) { return generate_unit_in_memory(request, *generator, first, last); }});
}

}  // namespace deda::diffusion
