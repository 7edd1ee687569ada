#include "diffusion/peers/fractal_folder.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/parallel.h"
#include "core/random.h"
#include "data/folder_listing.h"
#include "io/pictures/image_codec.h"
#include "io/pictures/resize.h"

namespace deda::diffusion {

namespace {

// The message of an error that names the file is for one line beside that name.
std::string reason_of(const Error& error) {
  return error.problems().empty() ? std::string{error.what()} : error.problems().front().what;
}

}  // namespace

FractalFolder::FractalFolder(std::filesystem::path folder, int side, int threads)
    : folder_{std::move(folder)}, side_{side} {
  if (side < 1) throw ConfigError(fmt::format("fractals cannot be {} pixels wide", side));
  std::error_code error;
  if (!std::filesystem::is_directory(folder_, error))
    throw DataError("there is no such folder of fractals", folder_.string(),
                    "Name a folder of pictures, or none for fractals that are drawn.");
  const auto listing = data::list_folder(folder_);
  std::vector<std::string> reasons(listing.pictures.size());
  parallel_for(threads, 0, listing.pictures.size(), 1, [&](std::size_t i) {
    try {
      io::read_image(folder_ / listing.pictures[i]);
    } catch (const Error& problem) {
      reasons[i] = reason_of(problem);
    }
  });
  for (const auto& [name, reason] : listing.unreadable) unreadable_.emplace(escaped_name(name), reason);
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    if (reasons[i].empty())
      files_.push_back(escaped_name(listing.pictures[i]));
    else
      unreadable_.emplace(escaped_name(listing.pictures[i]), reasons[i]);
  }
  if (files_.empty())
    throw DataError(unreadable_.empty() ? "there is no picture in this folder of fractals"
                                        : "there is no usable picture in this folder of fractals: " + note(),
                    folder_.string(), "Name a folder of pictures, or none for fractals that are drawn.");
}

std::string FractalFolder::note() const {
  constexpr std::size_t most_named = 5;
  if (unreadable_.empty()) return {};
  std::string named;
  std::size_t count = 0;
  for (const auto& [name, reason] : unreadable_) {
    if (count++ == most_named) {
      named += ", ...";
      break;
    }
    named += fmt::format("{}{} ({})", named.empty() ? "" : ", ", name.empty() ? "the folder" : name, reason);
  }
  return fmt::format("{} of {} cannot be read: {}", unreadable_.size(), files_.size() + unreadable_.size(),
                     named);
}

std::size_t FractalFolder::choose(std::uint64_t seed, std::uint64_t number) const {
  RandomStream draws{seed, Purpose::fractal_file, 0, number};
  return draws.below(static_cast<std::uint32_t>(files_.size()));
}

io::Image FractalFolder::picture(std::size_t file) const {
  const auto& name = files_.at(file);
  const auto decoded = io::read_image(folder_ / path_of_name(name));
  return io::resize(decoded.image, side_, side_, io::Filter::bicubic);
}

}  // namespace deda::diffusion
