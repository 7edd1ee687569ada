#include "data/folder_listing.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "core/escaped_name.h"

namespace deda::data {

namespace {

namespace fs = std::filesystem;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool is_other_picture(const fs::path& path) {
  static const std::set<std::string> suffixes = {
      ".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".jpx", ".jxr", ".psd", ".xcf", ".svg",
      ".ico",  ".tga",  ".pcx", ".pam",  ".pfm", ".exr", ".hdr", ".ras", ".sr",  ".xbm", ".xpm", ".wmf",
      ".emf",  ".dcm",  ".raw", ".dng",  ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef"};
  return suffixes.count(lower(path.extension().string())) != 0;
}

bool is_clutter(const std::string& name) {
  static const std::set<std::string> names = {"@eadir",          "#recycle",     "@recycle",
                                              "$recycle.bin",    "__macosx",     "system volume information",
                                              "lost+found",      "thumbs.db",    "ehthumbs.db",
                                              "desktop.ini",     ".ds_store",    ".ipynb_checkpoints",
                                              ".thumbnails",     ".appledouble", ".trash",
                                              ".spotlight-v100", ".fseventsd",   ".directory"};
  return name.starts_with("._") || names.count(lower(name)) != 0;
}

class Walk {
 public:
  Walk(const fs::path& top, const std::set<FileIdentity>& passed_over)
      : top_{top}, passed_over_{passed_over} {}

  FolderListing list() {
    struct stat status {};
    if (::stat(top_.c_str(), &status) == 0) enter({}, {status.st_dev, status.st_ino});
    std::sort(listing_.pictures.begin(), listing_.pictures.end());
    std::sort(listing_.folders.begin(), listing_.folders.end());
    for (auto& [kind, names] : listing_.left_out) std::sort(names.begin(), names.end());
    return std::move(listing_);
  }

 private:
  void enter(const std::string& relative, FileIdentity identity) {
    if (!open_.insert(identity).second) {
      leave_out(LeftOut::loop, relative + '/');
      return;
    }
    if (const auto [known, is_new] = entered_.emplace(identity, relative); !is_new)
      listing_.doubles.emplace_back(relative, known->second);
    if (!relative.empty()) listing_.folders.push_back(relative);
    std::vector<std::string> names;
    std::error_code error;
    fs::directory_iterator entries(top_ / relative, error);
    for (const fs::directory_iterator end; !error && entries != end; entries.increment(error))
      names.push_back(entries->path().filename().string());
    if (error) listing_.unreadable[relative] = error.message();
    std::sort(names.begin(),
              names.end());  // which of two equal folders is told as the double must not be chance
    for (const std::string& name : names) {
      if (!look_at(relative.empty() ? name : relative + '/' + name, name)) {
        listing_.unreadable[relative] = "its files may not be looked at (no permission to search it)";
        break;
      }
    }
    open_.erase(identity);
  }

  // False where the folder that holds it does not let anybody in.
  bool look_at(const std::string& relative, const std::string& name) {
    struct stat status {};
    const bool there = ::stat((top_ / relative).c_str(), &status) == 0;
    const int why = errno;
    const bool is_folder = there && S_ISDIR(status.st_mode);
    if (!there) {
      struct stat link {};
      if (::lstat((top_ / relative).c_str(), &link) != 0) {
        if (errno == EACCES) return false;
        if (errno != ENOENT)  // else: gone while we looked
          listing_.unreadable[relative] = std::generic_category().message(errno);
        return true;
      }
    }
    const FileIdentity identity{status.st_dev, status.st_ino};
    if (is_folder && passed_over_.count(identity) != 0) return true;
    if (is_clutter(name))
      leave_out(LeftOut::clutter, is_folder ? relative + '/' : relative);
    else if (name.starts_with('.'))
      leave_out(LeftOut::hidden, is_folder ? relative + '/' : relative);
    else if (!there)
      look_at_link(relative, why);
    else if (is_folder)
      enter(relative, identity);
    else if (!S_ISREG(status.st_mode))
      leave_out(LeftOut::special, relative);
    else if (is_picture(name))
      listing_.pictures.push_back(relative);
    else
      leave_out(is_other_picture(name) ? LeftOut::other_picture : LeftOut::no_picture, relative);
    return true;
  }

  // A link whose target cannot be reached, for the reason `why`.
  void look_at_link(const std::string& relative, int why) {
    if (why == ENOENT || why == ELOOP || why == ENOTDIR)
      leave_out(LeftOut::dead_link, relative);
    else if (is_picture(relative))
      listing_.pictures.push_back(relative);  // whoever opens it tells the reason
    else
      listing_.unreadable[relative] = std::generic_category().message(why);
  }

  void leave_out(LeftOut kind, const std::string& name) { listing_.left_out[kind].push_back(name); }

  const fs::path& top_;
  const std::set<FileIdentity>& passed_over_;
  std::set<FileIdentity> open_;                  // the folders that lead here
  std::map<FileIdentity, std::string> entered_;  // all so far
  FolderListing listing_;
};

struct Kind {
  LeftOut kind;
  const char *one, *several, *advice;
};
constexpr std::array kinds{
    Kind{LeftOut::other_picture, "picture of a kind that is not read", "pictures of kinds that are not read",
         " (save as PNG or JPEG)"},
    Kind{LeftOut::dead_link, "link that leads nowhere", "links that lead nowhere", ""},
    Kind{LeftOut::loop, "link to a folder that it lies in", "links to folders that they lie in", ""},
    Kind{LeftOut::hidden, "hidden file or folder", "hidden files or folders", ""},
    Kind{LeftOut::clutter, "file or folder of file managers and archives",
         "files or folders of file managers and archives", ""},
    Kind{LeftOut::special, "pipe, socket or device", "pipes, sockets or devices", ""},
    Kind{LeftOut::no_picture, "file that is no picture by its suffix",
         "files that are no pictures by their suffix", ""},
};

}  // namespace

std::optional<FileIdentity> identity_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return FileIdentity{status.st_dev, status.st_ino};
}

bool is_picture(const fs::path& path) {
  static const std::set<std::string> suffixes = {".jpg",  ".jpeg", ".jpe", ".jfif", ".jif",  ".mpo",
                                                 ".png",  ".apng", ".bmp", ".dib",  ".webp", ".tif",
                                                 ".tiff", ".gif",  ".ppm", ".pgm",  ".pbm",  ".pnm"};
  return suffixes.count(lower(path.extension().string())) != 0;
}

FolderListing list_folder(const fs::path& folder, const std::set<FileIdentity>& passed_over) {
  return Walk(folder, passed_over).list();
}

std::vector<std::string> notes_on(const FolderListing& listing, const std::string& where) {
  std::vector<std::string> notes;
  for (const Kind& kind : kinds) {
    const auto found = listing.left_out.find(kind.kind);
    if (found == listing.left_out.end()) continue;
    const auto& names = found->second;
    notes.push_back(fmt::format("{}left out: {} {}{}: {}", where, names.size(),
                                names.size() == 1 ? kind.one : kind.several, kind.advice, some_of(names)));
  }
  for (const auto& [name, other] : listing.doubles)
    notes.push_back(fmt::format("{}the folder {} is {} once more: its pictures count twice", where,
                                escaped_name(name), other.empty() ? "the whole" : escaped_name(other)));
  return notes;
}

}  // namespace deda::data
