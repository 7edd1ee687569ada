#include "diffusion/inversion/inversion_context.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "diffusion/prompts.h"
#include "models/weights/embedding_file.h"

namespace deda::diffusion {
namespace {

TemplateSet template_set_of(InvertTemplates templates) {
  return templates == InvertTemplates::objects ? TemplateSet::objects : TemplateSet::photo;
}

// "class name=word"; a class name may hold a "=", a word does not.
std::optional<std::pair<std::string, std::string>> parted(const std::string& entry) {
  const auto at = entry.rfind('=');
  if (at == std::string::npos || at == 0 || at + 1 == entry.size()) return std::nullopt;
  return std::pair{entry.substr(0, at), entry.substr(at + 1)};
}

}  // namespace

std::string initial_word_of(const DiffusionConfig& config, const std::string& class_name) {
  for (const auto& entry : config.init_words) {
    if (const auto parts = parted(entry); parts && parts->first == class_name) return parts->second;
  }
  if (!config.init_word.empty()) return config.init_word;
  std::string name = class_name;
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

void check_initial_words(const DiffusionConfig& config, const std::vector<std::string>& class_names) {
  std::vector<Problem> problems;
  for (const auto& entry : config.init_words) {
    const auto parts = parted(entry);
    if (!parts) {
      problems.push_back(
          {fmt::format("\"{}\" is not \"class name=word\"", entry), "diffusion.init_words", {}});
    } else if (std::find(class_names.begin(), class_names.end(), parts->first) == class_names.end()) {
      const auto near = nearest_name(parts->first, class_names);
      problems.push_back({fmt::format("there is no class \"{}\"", parts->first), "diffusion.init_words",
                          near.empty() ? "" : fmt::format("Did you mean \"{}\"?", near)});
    }
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

std::int64_t most_timestep_of(const InversionSettings& settings, std::int64_t train_timesteps) {
  return std::min(most_timestep(settings.diffusion, settings.invert), train_timesteps - 1);
}

double learning_rate_of(const InvertConfig& config, std::int64_t attempt) {
  constexpr double slower = 0.1;
  const double scaled =
      config.scale_lr ? config.learning_rate * static_cast<double>(config.batch) : config.learning_rate;
  return scaled * std::pow(slower, static_cast<double>(attempt));
}

InversionContext::InversionContext(const DiffusionModel& model_, const LatentSource& source_,
                                   const InversionSettings& settings_)
    : model{model_},
      source{source_},
      settings{settings_},
      config{settings_.invert},
      step{model_, settings_.resolution, settings_.invert.micro_batch},
      templates{prompt_templates(template_set_of(settings_.invert.templates))} {
  draws = {.seed = settings.seed,
           .batch = config.batch,
           .templates = templates.size(),
           .flip = config.flip,
           .most_timestep = most_timestep_of(settings, model.schedule.num_train_timesteps)};
  // Ids depend on the place in a pack alone: the first class's rows come right after the vocabulary.
  std::vector<models::ClipTokenizer> tokenizers(model.tokenizers.begin(), model.tokenizers.end());
  std::vector<std::string> prompts;
  for (std::int64_t position = 0; position < config.classes_per_batch; ++position) {
    const auto names = models::placeholders_of_rows(placeholder_of_class(static_cast<std::size_t>(position)),
                                                    config.vectors);
    for (auto& tokenizer : tokenizers) {
      for (const auto& name : names) tokenizer.add_token(name);
    }
    for (const auto& text : templates)
      prompts.push_back(fill_template(text, fmt::format("{}", fmt::join(names, " "))));
  }
  ids_ = model.ids_of(tokenizers, prompts);

  std::vector<Problem> problems;
  for (const auto& name : settings.class_names) {
    InitialWord word;
    word.word = initial_word_of(settings.diffusion, name);
    for (std::size_t encoder = 0; encoder < model.tokenizers.size(); ++encoder) {
      const auto ids = model.tokenizers[encoder].tokens(word.word);
      if (ids.empty()) {
        problems.push_back(
            {fmt::format("the initial word \"{}\" of class \"{}\" has no tokens", word.word, name),
             "diffusion.init_words", fmt::format("Add \"{}=word\".", name)});
        break;
      }
      if (encoder == 0) word.tokens = static_cast<std::int64_t>(ids.size());
      std::vector<at::Tensor> rows;
      for (const auto id : ids) rows.push_back(model.text_encoders[encoder]->token_row(id).to(at::kCPU));
      const auto row = rows.size() == 1 ? rows.front() : at::stack(rows).mean(0);
      word.rows.push_back(row.unsqueeze(0).repeat({config.vectors, 1}));
    }
    initial.push_back(std::move(word));
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

std::vector<at::Tensor> InversionContext::prompt_ids(std::size_t position, std::size_t prompt) const {
  std::vector<at::Tensor> ids;
  for (const auto& of_encoder : ids_)
    ids.push_back(of_encoder[static_cast<std::int64_t>(position * templates.size() + prompt)]);
  return ids;
}

}  // namespace deda::diffusion
