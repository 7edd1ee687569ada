#include "models/clip/scorer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "models/clip/clip.h"
#include "models/clip/processor.h"
#include "models/text/clip_tokenizer.h"

namespace deda::models {
namespace {

constexpr std::int64_t start_and_end = 2;  // tokens around every text

// Runs `part` and keeps what it finds wrong.
template <class Part>
void collect(std::vector<Problem>& problems, const Part& part) {
  try {
    part();
  } catch (const DataError& error) {
    problems.insert(problems.end(), error.problems().begin(), error.problems().end());
  }
}

// The pooled state of a text stands at its end token: the network has to look for the tokenizer's.
void check_tokens(const ClipTokenizer& tokenizer, const ClipTextConfig& text, const std::string& folder) {
  const std::string hint = "Use the tokenizer of the same model.";
  std::vector<Problem> problems;
  if (tokenizer.size() > text.vocab_size)
    problems.push_back({"the tokenizer has " + std::to_string(tokenizer.size()) +
                            " tokens, the network only " + std::to_string(text.vocab_size),
                        folder, hint});
  const bool by_size = text.eos_token_id == clip_old_eos_token_id;
  if (by_size ? tokenizer.end_id() + 1 != tokenizer.size() : tokenizer.end_id() != text.eos_token_id)
    problems.push_back({"the tokenizer's end token is " + std::to_string(tokenizer.end_id()) +
                            ", the network's " +
                            (by_size ? "the largest, " + std::to_string(tokenizer.size() - 1)
                                     : std::to_string(text.eos_token_id)),
                        folder, hint});
  if (!problems.empty()) throw DataError(std::move(problems));
}

}  // namespace

struct ClipScorer::State {
  std::shared_ptr<Clip> network;
  std::vector<std::filesystem::path> files;
  ClipPreprocessing preprocessing;
  std::optional<ClipTokenizer> tokenizer;
  at::Device device = at::kCPU;
  std::int64_t most_tokens = 0;
};

ClipScorer::ClipScorer(const std::filesystem::path& folder, at::Device device) {
  auto state = std::make_unique<State>();
  std::vector<Problem> problems;
  collect(problems, [&] {
    auto loaded = load_clip(folder, device);
    state->network = std::move(loaded.network);
    state->files = std::move(loaded.files);
  });
  const auto* network = state->network.get();
  collect(problems, [&] {
    state->preprocessing =
        read_clip_preprocessing(folder, network != nullptr ? network->config().vision.image_size : 0);
  });
  collect(problems, [&] {
    state->tokenizer.emplace(ClipTokenizer::from_folder(folder));
    if (network != nullptr) check_tokens(*state->tokenizer, network->config().text, folder.string());
  });
  if (!problems.empty()) throw DataError(std::move(problems));
  state->most_tokens = std::min(state->tokenizer->max_length(), network->config().text.positions);
  state->device = device;
  state_ = std::move(state);
}

ClipScorer::~ClipScorer() = default;
ClipScorer::ClipScorer(ClipScorer&&) noexcept = default;
ClipScorer& ClipScorer::operator=(ClipScorer&&) noexcept = default;

at::Tensor ClipScorer::image_embeds(const std::vector<io::Image>& pictures, at::Tensor* pixel_values) const {
  const at::NoGradGuard no_gradients;
  const auto pixels = clip_pixels(pictures, state_->preprocessing);
  const auto count = pixels.size(0);
  const auto embeds = at::empty({count, embedding_width()}, at::kFloat);
  for (std::int64_t first = 0; first < count; first += pictures_per_pass) {
    const auto size = std::min(pictures_per_pass, count - first);
    embeds.narrow(0, first, size)
        .copy_(state_->network->image_embeds(pixels.narrow(0, first, size).to(state_->device)));
  }
  if (pixel_values != nullptr) *pixel_values = pixels;
  return embeds;
}

at::Tensor ClipScorer::text_embeds(const std::vector<std::string>& texts) const {
  const at::NoGradGuard no_gradients;
  if (texts.empty()) return at::empty({0, embedding_width()}, at::kFloat);
  const auto& tokenizer = *state_->tokenizer;
  std::vector<Problem> problems;
  std::int64_t longest = 0;
  for (const auto& text : texts) {
    const auto length = static_cast<std::int64_t>(tokenizer.tokens(text).size()) + start_and_end;
    longest = std::max(longest, length);
    if (length > state_->most_tokens)
      problems.push_back({"the text \"" + text + "\" has " + std::to_string(length) + " tokens, CLIP takes " +
                              std::to_string(state_->most_tokens),
                          {},
                          "Shorten the name or the caption."});
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  const auto ids =
      at::full({static_cast<std::int64_t>(texts.size()), longest}, tokenizer.pad_id(), at::kLong);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto own = tokenizer.encode(texts[i]);
    std::copy(own.begin(), own.end(), ids.data_ptr<std::int64_t>() + static_cast<std::int64_t>(i) * longest);
  }
  return state_->network->text_embeds(ids.to(state_->device)).cpu();
}

at::Tensor ClipScorer::probabilities(const at::Tensor& image_embeds, const at::Tensor& text_embeds) const {
  const at::NoGradGuard no_gradients;
  return state_->network->logits_per_image(image_embeds.to(state_->device), text_embeds.to(state_->device))
      .softmax(-1)
      .cpu();
}

std::int64_t ClipScorer::embedding_width() const {
  return state_->network->config().projection;
}

std::int64_t ClipScorer::most_tokens() const {
  return state_->most_tokens;
}

const std::vector<std::filesystem::path>& ClipScorer::files() const {
  return state_->files;
}

std::string ClipScorer::description() const {
  const auto& vision = state_->network->config().vision;
  const auto millions =
      std::to_string(std::llround(static_cast<double>(parameter_count(*state_->network)) / 1e6));
  return "CLIP, " + millions + " M parameters, pictures of " + std::to_string(vision.image_size) +
         " pixels in patches of " + std::to_string(vision.patch_size);
}

}  // namespace deda::models
