// Fractals of the user's for DiffuseMix's blend: the pictures of a folder. No Torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "diffusion/peers/fractals.h"
#include "io/pictures/image.h"

namespace deda::diffusion {

class FractalFolder {
 public:
  // Lists the pictures of the folder and of those below it, and decodes every one once on `threads` threads:
  // one that cannot be read should be known before hours of work. DataError naming the folder where it is
  // none or has no usable picture. Pictures come out as squares of `side`, ConfigError where it is below 1.
  explicit FractalFolder(std::filesystem::path folder, int side = usual_fractal_side, int threads = 1);

  // Those that can be read, relative to the folder with '/', in the order of their bytes, escaped
  // (core/escaped_name.h). At least one.
  const std::vector<std::string>& files() const { return files_; }
  // Those that cannot, with the reason. They are never given.
  const std::map<std::string, std::string>& unreadable() const { return unreadable_; }
  // "2 of 10 pictures cannot be read: a.png (reason), ..." for a warning; empty where all can.
  std::string note() const;

  // One of files() for the number of a picture: uniform, a pure function of both and of how many files there
  // are.
  std::size_t choose(std::uint64_t seed, std::uint64_t number) const;
  // That file as [side, side, 3], by Pillow's bicubic filter and whatever its aspect, as the original resizes
  // it. DataError naming the file where it cannot be read any more.
  io::Image picture(std::size_t file) const;

 private:
  std::filesystem::path folder_;
  int side_;
  std::vector<std::string> files_;
  std::map<std::string, std::string> unreadable_;
};

}  // namespace deda::diffusion
