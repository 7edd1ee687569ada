// What lies below a folder: the pictures, and everything else by the reason why it is left out. Users'
// folders hold links, thumbnails, files of other programs and folders that cannot be opened; nothing of it
// may vanish silently.
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace deda::data {

// One file or folder, by whatever path it is reached (link, trailing slash, bind mount).
struct FileIdentity {
  std::uint64_t device = 0, number = 0;
  auto operator<=>(const FileIdentity&) const = default;
};
// Follows links; nothing where it cannot be reached.
std::optional<FileIdentity> identity_of(const std::filesystem::path& path);

enum class LeftOut : std::uint8_t {
  clutter,  // what file managers and archives leave: @eaDir, __MACOSX, ._x.png, Thumbs.db, .ipynb_checkpoints
  hidden,   // other names that begin with a dot
  other_picture,  // pictures of kinds that are not read: HEIC, AVIF, raw files, ...
  no_picture,     // any other suffix
  dead_link,      // links that lead nowhere or to themselves
  loop,           // links to a folder that they lie in
  special,        // pipes, sockets, devices
};

// Paths are relative to the listed folder, with '/', in the order of their bytes. Names of folders that are
// left out as a whole end in '/'.
struct FolderListing {
  std::vector<std::string> pictures;  // regular files with a suffix that is read, links followed
  std::vector<std::string> folders;   // all that were entered, links to folders too
  std::map<LeftOut, std::vector<std::string>> left_out;  // no entry where there is nothing
  std::map<std::string, std::string> unreadable;         // folder ("" the listed one) or file -> reason
  std::vector<std::pair<std::string, std::string>>
      doubles;  // folders that are another, listed before, by a link
};

// `passed_over`: folders that are not entered and not told (the folder of masks inside the pictures' one). A
// folder that is not there lists as empty.
FolderListing list_folder(const std::filesystem::path& folder,
                          const std::set<FileIdentity>& passed_over = {});

// One note per kind that was left out, with its number and a few names; `where` is put before each ("masks:
// ").
std::vector<std::string> notes_on(const FolderListing& listing, const std::string& where = {});

bool is_picture(const std::filesystem::path& path);  // by suffix, any case

}  // namespace deda::data
