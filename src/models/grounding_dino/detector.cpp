#include "models/grounding_dino/detector.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/error.h"
#include "models/grounding_dino/grounding_dino.h"
#include "models/text/bert_tokenizer.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_prompts_kept = 1024;

struct Prompt {
  std::vector<std::int64_t> ids;  // cut
  GroundingDinoText text;         // of one row
  std::string note;
};

// Runs `part` and keeps what it finds wrong.
template <class Part>
void collect(std::vector<Problem>& problems, const Part& part) {
  try {
    part();
  } catch (const DataError& error) {
    problems.insert(problems.end(), error.problems().begin(), error.problems().end());
  }
}

// Prompts of one batch, padded to the longest. Padding is masked wherever text is looked at, so its features
// may be zero.
GroundingDinoText batch_of(const std::vector<const Prompt*>& prompts) {
  std::int64_t longest = 0;
  for (const auto* prompt : prompts) longest = std::max(longest, prompt->text.features.size(1));
  std::vector<at::Tensor> features, real, attends, positions;
  for (const auto* prompt : prompts) {
    const auto& text = prompt->text;
    const auto missing = longest - text.features.size(1);
    features.push_back(at::constant_pad_nd(text.features, {0, 0, 0, missing}));
    real.push_back(at::constant_pad_nd(text.real, {0, missing}));
    positions.push_back(at::constant_pad_nd(text.positions, {0, missing}));
    const auto itself = at::eye(longest, text.attends.options()).unsqueeze(0);
    attends.push_back(at::constant_pad_nd(text.attends, {0, missing, 0, missing}).logical_or(itself));
  }
  return {at::cat(features), at::cat(real), at::cat(attends), at::cat(positions)};
}

void capture_batch(const PictureBatch& batch, const std::vector<const Prompt*>& prompts, std::int64_t pad_id,
                   const GroundingDino::Output& output, NamedTensors& capture) {
  std::size_t longest = 0;
  for (const auto* prompt : prompts) longest = std::max(longest, prompt->ids.size());
  const auto rows = static_cast<std::int64_t>(prompts.size()), columns = static_cast<std::int64_t>(longest);
  auto ids = at::full({rows, columns}, pad_id, at::kLong), mask = at::zeros({rows, columns}, at::kLong);
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto& own = prompts[static_cast<std::size_t>(row)]->ids;
    const auto count = static_cast<std::int64_t>(own.size());
    ids[row].slice(0, 0, count).copy_(at::tensor(own, at::kLong));
    mask[row].slice(0, 0, count).fill_(1);
  }
  capture = {{"pixel_values", batch.pixel_values},
             {"pixel_mask", batch.pixel_mask},
             {"input_ids", ids},
             {"attention_mask", mask},
             {"token_type_ids", at::zeros_like(ids)},
             {"logits", output.logits.to(at::kCPU).contiguous()},
             {"pred_boxes", output.pred_boxes.to(at::kCPU).contiguous()}};
}

}  // namespace

struct GroundingDinoDetector::State {
  explicit State(BertTokenizer tokenizer_) : tokenizer{std::move(tokenizer_)} {}
  GroundingDinoOptions options;
  BertTokenizer tokenizer;
  GroundingDinoPictureConfig pictures;
  std::shared_ptr<GroundingDino> network;
  std::mutex mutex;  // of `prompts`
  std::map<std::string, std::shared_ptr<const Prompt>> prompts;

  std::shared_ptr<const Prompt> prompt_of(const std::string& given) {
    const auto text = grounding_dino_prompt(given);
    const std::scoped_lock lock(mutex);
    if (const auto found = prompts.find(text); found != prompts.end()) return found->second;
    auto prompt = std::make_shared<Prompt>();
    prompt->ids = tokenizer.encode(text);
    prompt->text = network->encode_text(at::tensor(prompt->ids, at::kLong).unsqueeze(0).to(options.device));
    const auto most = static_cast<std::size_t>(network->config().max_text_len);
    if (prompt->ids.size() > most) {
      prompt->note =
          "the prompt has " + std::to_string(prompt->ids.size()) + " tokens, cut to " + std::to_string(most);
      prompt->ids.resize(most);
    }
    if (prompts.size() >= most_prompts_kept) prompts.clear();
    return prompts[text] = prompt;
  }

  // The picture as the network sees it; an undefined tensor and the reason in `found` where it cannot be
  // taken.
  at::Tensor pixels_of(const io::Image& picture, Detections& found) const {
    if (picture.empty()) {
      found.rejected = "the picture has no pixels";
      return {};
    }
    const auto size = grounding_dino_size(picture.height, picture.width, pictures, options.rules);
    const auto text = std::to_string(size.height) + "x" + std::to_string(size.width);
    if (size.clamped)
      found.notes.push_back("too narrow: resized to " + text +
                            " pixels (height x width), a side of 0 set to 1");
    const auto places = network->places(size.height, size.width), queries = network->config().queries;
    if (places < queries) {
      found.rejected = "at " + text + " pixels (height x width) the picture gives " + std::to_string(places) +
                       " places, fewer than the network's " + std::to_string(queries) + " queries";
      return {};
    }
    return grounding_dino_pixels(picture, size, pictures);
  }
};

GroundingDinoDetector::GroundingDinoDetector(const fs::path& folder, const GroundingDinoOptions& options) {
  std::vector<Problem> problems;
  std::shared_ptr<GroundingDino> network;
  GroundingDinoPictureConfig pictures;
  collect(problems, [&] { network = load_grounding_dino(folder, options.dtype, options.rules); });
  collect(problems, [&] {
    const auto joint = folder / "processor_config.json", own = folder / "preprocessor_config.json";
    pictures = read_grounding_dino_picture_config(!fs::exists(own) && fs::exists(joint) ? joint : own);
  });
  collect(problems, [&] {
    state_ = std::make_unique<State>(BertTokenizer::from_folder(folder));
    if (network && state_->tokenizer.size() > network->config().text.vocab_size)
      throw DataError("the tokenizer has " + std::to_string(state_->tokenizer.size()) +
                          " tokens, the network only " + std::to_string(network->config().text.vocab_size),
                      folder.string(), "Use the tokenizer of the same model.");
  });
  if (!problems.empty()) throw DataError(std::move(problems));
  network->to(options.device);
  state_->options = options;
  state_->pictures = pictures;
  state_->network = std::move(network);
}

GroundingDinoDetector::~GroundingDinoDetector() = default;

std::vector<Detections> GroundingDinoDetector::detect(const std::vector<io::Image>& pictures,
                                                      const std::vector<std::string>& prompts,
                                                      const GroundingDinoThresholds& thresholds,
                                                      NamedTensors* capture) const {
  if (prompts.size() != 1 && prompts.size() != pictures.size())
    throw ConfigError(
        std::to_string(prompts.size()) + " prompts for " + std::to_string(pictures.size()) + " pictures", {},
        "Give one prompt for all or one for each.");
  for (const double threshold : {thresholds.box, thresholds.text}) {
    if (!(threshold >= 0 && threshold <= 1))
      throw ConfigError("a threshold of " + std::to_string(threshold) + " is outside of 0..1");
  }
  const at::NoGradGuard no_gradients;
  std::vector<Detections> found(pictures.size());
  std::vector<std::shared_ptr<const Prompt>> kept;
  std::vector<const Prompt*> taken_prompts;
  std::vector<at::Tensor> pixels;
  std::vector<std::size_t> taken;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    kept.push_back(state_->prompt_of(prompts[prompts.size() == 1 ? 0 : i]));
    if (!kept.back()->note.empty()) found[i].notes.push_back(kept.back()->note);
    auto picture = state_->pixels_of(pictures[i], found[i]);
    if (!picture.defined()) continue;
    pixels.push_back(std::move(picture));
    taken_prompts.push_back(kept.back().get());
    taken.push_back(i);
  }
  if (capture != nullptr) capture->clear();
  if (taken.empty()) return found;
  const auto batch = pad_to_batch(pixels);
  const auto& options = state_->options;
  const auto output = state_->network->forward(batch.pixel_values.to(options.device, options.dtype),
                                               batch.pixel_mask.to(options.device), batch_of(taken_prompts));
  if (output.logits.isnan().any().item<bool>() || !output.pred_boxes.isfinite().all().item<bool>())
    throw ModelError("GroundingDINO computed numbers that are none (NaN)", {},
                     options.dtype == at::kHalf ? "Use bfloat16 or float32." : "The weights may be damaged.");
  if (capture != nullptr) capture_batch(batch, taken_prompts, state_->tokenizer.pad_id(), output, *capture);
  for (std::size_t i = 0; i < taken.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    const auto& picture = pictures[taken[i]];
    auto boxes = grounded_boxes(output.logits[row], output.pred_boxes[row], taken_prompts[i]->ids,
                                state_->tokenizer, picture.height, picture.width, thresholds, options.rules);
    found[taken[i]].boxes = std::move(boxes.boxes);
    found[taken[i]].scores = std::move(boxes.scores);
    found[taken[i]].phrases = std::move(boxes.phrases);
  }
  return found;
}

}  // namespace deda::models
