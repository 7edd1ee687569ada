// A dataset's folder, written by a test, and what its reader says of it.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "data/dataset.h"
#include "io/pictures/image_codec.h"
#include "support/temporary_folder.h"

namespace deda::data {

struct Example {
  test::TemporaryFolder folder;
  DatasetConfig config;
  std::vector<std::string> notes;
  explicit Example(Layout layout) {
    config.layout = layout;
    config.root = folder.path();
  }
  void write(const std::string& name, const std::string& text) {
    make_folder((folder / name).parent_path());
    write_atomically(folder / name, text);
  }
  void picture(const std::string& name) {
    make_folder((folder / name).parent_path());
    std::filesystem::path path = folder / name;
    if (path.extension() != ".png" && path.extension() != ".jpg") path += ".png";
    io::write_image(path, io::Image(6, 8, 3));
  }
  Dataset load(bool check_files = true) { return load_dataset(config, {.check_files = check_files}, &notes); }
  std::string error() {
    try {
      load();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
};

}  // namespace deda::data
