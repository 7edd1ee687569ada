#include "report/originals.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/provenance.h"
#include "io/pictures/image_codec.h"

namespace deda::report {

namespace {

// The folder that the store's pictures were in when it was made; empty where it does not tell.
std::filesystem::path recorded_root(const io::StoreDescription& description) {
  if (description.provenance.empty()) return {};
  try {
    const auto configuration =
        nlohmann::json::parse(provenance_from(description.provenance, {}).configuration);
    const auto dataset = configuration.find("dataset");
    return dataset == configuration.end() ? std::filesystem::path{}
                                          : std::filesystem::path{dataset->value("root", std::string{})};
  } catch (const nlohmann::json::exception&) {
    return {};  // written by another version: nothing that a person who looks has to mend
  } catch (const Error&) {
    return {};
  }
}

bool holds_any(const std::filesystem::path& root, const std::vector<std::string>& sources) {
  constexpr std::size_t most_tried = 100;  // a folder that lacks them all has lost the rest as well
  std::error_code error;
  return std::any_of(
      sources.begin(), sources.begin() + static_cast<std::ptrdiff_t>(std::min(sources.size(), most_tried)),
      [&](const std::string& source) { return std::filesystem::exists(root / path_of_name(source), error); });
}

void keep_rows(io::Image& image, int height) {
  image.pixels.resize(static_cast<std::size_t>(height) * static_cast<std::size_t>(image.width) *
                      static_cast<std::size_t>(image.channels));
  image.height = height;
}

}  // namespace

Originals::Originals(const io::StoreReader& store, std::vector<std::filesystem::path> candidates) {
  candidates.push_back(recorded_root(store.description()));
  for (std::filesystem::path& root : candidates) {
    if (root.empty() || std::find(looked_in_.begin(), looked_in_.end(), root) != looked_in_.end()) continue;
    looked_in_.push_back(root);
    if (root_.empty() && holds_any(root, store.description().sources)) root_ = root;
  }
}

Original Originals::picture(const std::string& source, int height, int width, bool turned) const {
  std::error_code error;
  const auto file = root_ / path_of_name(source);
  if (!found() || !std::filesystem::exists(file, error)) return {{}, "not on disk"};
  try {
    io::Image image =
        io::read_image(file, turned ? io::Orientation::apply_exif : io::Orientation::ignore_exif).image;
    const auto fits = [&] { return height <= 0 || (image.height == height && image.width == width); };
    if (height > 0 && image.width == width && image.height > height) keep_rows(image, height);
    if (!fits()) image = io::read_image(file, io::Orientation::apply_exif).image;
    if (!fits()) return {{}, "of another size on disk"};
    return {std::move(image), {}};
  } catch (const Error&) {
    return {{}, "unreadable"};
  }
}

std::string Originals::where() const {
  if (found()) return path_text(root_);
  std::string text;
  for (const auto& root : looked_in_) text += (text.empty() ? "" : ", ") + path_text(root);
  return text;
}

std::string words_on(const Originals& originals, std::int64_t shown, std::int64_t missing) {
  if (originals.found()) {
    if (missing > 0 && missing == shown)
      return fmt::format("None of the pictures can be shown from {}; their places say why.",
                         originals.where());
    const std::string from = fmt::format("Pictures from {}.", originals.where());
    return missing == 0
               ? from
               : fmt::format("{} {} of {} cannot be shown; their places say why.", from, missing, shown);
  }
  const std::string looked = originals.where();
  return looked.empty()
             ? std::string{"The pictures themselves are not shown: neither the configuration nor the store names "
                           "their folder; name it with --data."}
             : fmt::format("The pictures themselves are not on disk (looked for them in {}); name their folder "
                           "with --data.",
                           looked);
}

}  // namespace deda::report
