// The manifest's two files as JSON. See store_manifest.h.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "io/store/store_manifest.h"

namespace deda::io {

namespace {

using json = nlohmann::ordered_json;

constexpr const char* manifest_name = "manifest.json";
constexpr const char* journal_name = "segments.jsonl";
constexpr const char* seal_key = "seal";
constexpr const char* remake_hint = "Delete the store's folder and run the stage that made it again.";
constexpr std::array<Outcome, 5> all_outcomes{Outcome::done, Outcome::nothing_found, Outcome::unreadable,
                                              Outcome::rejected, Outcome::failed};

std::string text_of(const json& value, int indent = -1) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

std::string hexadecimal(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

std::uint64_t from_hexadecimal(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{} || end != text.data() + text.size())
    throw DataError("\"" + text + "\" is not a hexadecimal number");
  return value;
}

std::string seal_of(const json& object) {
  const std::string text = text_of(object);
  return hexadecimal(xxhash64(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size())));
}

json sealed(json object) {
  // By way of the text, because replaced bytes are part of what is sealed.
  object = json::parse(text_of(object));
  object[seal_key] = seal_of(object);
  return object;
}

// Parses one object and checks its seal; DataError says what is wrong.
json unsealed(std::string_view text) {
  json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded() || !object.is_object()) throw DataError("this is not a JSON object");
  const auto seal = object.find(seal_key);
  if (seal == object.end() || !seal->is_string()) throw DataError("the seal is missing");
  const std::string expected = seal->get<std::string>();
  object.erase(seal_key);
  if (seal_of(object) != expected)
    throw DataError("the seal does not fit the content: the file was changed or damaged");
  return object;
}

// Runs `read`, and turns what JSON or we object to into a DataError that names the place.
template <class Read>
auto reading(const std::string& where, Read read) {
  try {
    return read();
  } catch (const json::exception& error) {
    throw DataError(error.what(), where, remake_hint);
  } catch (const DataError& error) {
    throw DataError(error.problems().front().what, where, remake_hint);
  }
}

Outcome outcome_from(const std::string& name) {
  for (const Outcome outcome : all_outcomes) {
    if (name_of(outcome) == name) return outcome;
  }
  throw DataError("outcome \"" + name + "\" is unknown");
}

json json_of(const StoreDescription& description) {
  json object;
  object["schema_version"] = store_schema_version;
  object["stage"] = description.stage;
  object["dataset"] = description.dataset;
  object["key"] = description.key;
  object["configuration"] = description.configuration;
  if (!description.provenance.empty()) object["provenance"] = json::parse(description.provenance);
  object["items"] = description.sources.size();
  object["items_per_segment"] = description.items_per_segment;
  object["class_names"] = description.class_names;
  object["routes"] = description.routes;
  object["sources"] = description.sources;
  object["source_classes"] = description.source_classes;
  return object;
}

StoreDescription description_from(const json& object) {
  if (const auto version = object.at("schema_version").get<std::int64_t>(); version != store_schema_version) {
    throw DataError(fmt::format("schema version {} is not {}: another version of this program made the store",
                                version, store_schema_version));
  }
  StoreDescription description;
  description.stage = object.at("stage").get<std::string>();
  description.dataset = object.at("dataset").get<std::string>();
  description.key = object.value("key", std::string{});  // absent: made before stores knew theirs
  description.configuration = object.at("configuration").get<std::string>();
  if (object.contains("provenance")) description.provenance = object["provenance"].dump();
  description.items_per_segment = object.at("items_per_segment").get<std::int64_t>();
  description.class_names = object.at("class_names").get<std::vector<std::string>>();
  description.routes = object.at("routes").get<std::vector<std::string>>();
  description.sources = object.at("sources").get<std::vector<std::string>>();
  description.source_classes = object.at("source_classes").get<std::vector<std::int32_t>>();
  check_description(description);
  return description;
}

json json_of(const SegmentEntry& entry) {
  json remarks = json::array();
  for (const Remark& remark : entry.remarks) {
    remarks.push_back(
        {{"item", remark.item}, {"outcome", name_of(remark.outcome)}, {"reason", remark.reason}});
  }
  json object;
  object["segment"] = entry.identity.number;
  object["file"] = entry.file;
  object["bytes"] = entry.bytes;
  object["hash"] = hexadecimal(entry.hash);
  object["metadata_hash"] = hexadecimal(entry.metadata_hash);
  object["pixels_offset"] = entry.pixels.offset;
  object["pixels_bytes"] = entry.pixels.bytes;
  object["first_item"] = entry.identity.first_item;
  object["items"] = entry.identity.item_count;
  object["records"] = entry.records;
  object["remarks"] = std::move(remarks);
  return object;
}

SegmentEntry entry_from(const json& object, const Manifest& manifest) {
  SegmentEntry entry;
  const auto number = object.at("segment").get<std::int64_t>();
  if (number < 0 || number >= manifest.segment_count()) {
    throw DataError(fmt::format("segment {} is not one of {}", number, manifest.segment_count()));
  }
  entry.identity = manifest.identity_of(number);
  entry.file = object.at("file").get<std::string>();
  if (entry.file != name_of_segment(number))
    throw DataError("segment " + std::to_string(number) + " is called \"" + entry.file + "\"");
  entry.bytes = object.at("bytes").get<std::uint64_t>();
  entry.hash = from_hexadecimal(object.at("hash").get<std::string>());
  entry.metadata_hash = from_hexadecimal(object.at("metadata_hash").get<std::string>());
  entry.pixels = {object.at("pixels_offset").get<std::uint64_t>(),
                  object.at("pixels_bytes").get<std::uint64_t>()};
  entry.records = object.at("records").get<std::size_t>();
  for (const json& remark : object.at("remarks")) {
    entry.remarks.push_back({remark.at("item").get<std::int64_t>(),
                             outcome_from(remark.at("outcome").get<std::string>()),
                             remark.at("reason").get<std::string>()});
  }
  return entry;
}

json json_of(const OutcomeCount& count) {
  json object = json::object();
  for (const Outcome outcome : all_outcomes) {
    const auto found = count.counts.find(outcome);
    object[std::string{name_of(outcome)}] = found == count.counts.end() ? 0 : found->second;
  }
  return object;
}

void read_journal(const std::filesystem::path& path, Manifest& manifest) {
  const std::string text = read_text(path);
  std::size_t line_number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) return;  // torn by a kill
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    const std::string where = fmt::format("{}:{}", path.string(), line_number);
    try {
      SegmentEntry entry = reading(where, [&] { return entry_from(unsealed(line), manifest); });
      manifest.segments.insert_or_assign(entry.identity.number, std::move(entry));
    } catch (const DataError& error) {
      log_warning("{}: {}. Its segment counts as missing and is made again.", where,
                  error.problems().front().what);
    }
  }
}

}  // namespace

StoreDescription as_stored(const StoreDescription& description) {
  check_description(description);
  return description_from(json::parse(text_of(json_of(description))));
}

std::string description_hash(const StoreDescription& description) {
  StoreDescription content = description;
  content.provenance.clear();  // the kind of processor may differ between ranks; rank 0's is kept
  return xxhash128_hex(text_of(json_of(content)));
}

StoreDescription read_description(const std::filesystem::path& folder) {
  return read_manifest_file(folder).description;
}

bool manifest_exists(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::exists(folder / manifest_name, error);
}

Manifest read_manifest_file(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / manifest_name;
  const std::string text = read_text(path);
  return reading(path.string(), [&] {
    const json object = unsealed(text);
    Manifest result;
    result.description = description_from(object);
    result.complete = object.at("complete").get<bool>();
    if (!result.complete) return result;
    for (const json& segment : object.at("segments")) {
      SegmentEntry entry = entry_from(segment, result);
      result.segments.insert_or_assign(entry.identity.number, std::move(entry));
    }
    if (static_cast<std::int64_t>(result.segments.size()) != result.segment_count()) {
      throw DataError(
          fmt::format("{} of {} segments are listed", result.segments.size(), result.segment_count()));
    }
    return result;
  });
}

Manifest read_manifest(const std::filesystem::path& folder) {
  Manifest manifest = read_manifest_file(folder);
  if (!manifest.complete && journal_exists(folder)) read_journal(folder / journal_name, manifest);
  return manifest;
}

bool journal_exists(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::exists(folder / journal_name, error);
}

void remove_journal(const std::filesystem::path& folder) {
  if (!std::filesystem::remove(folder / journal_name)) return;
  sync_path(folder);
}

void append_segment(const std::filesystem::path& folder, const SegmentEntry& entry) {
  append_line(folder / journal_name, text_of(sealed(json_of(entry))), /*sync=*/true);
}

void write_open_manifest(const std::filesystem::path& folder, const Manifest& manifest) {
  // The journal first: while the old manifest says "complete" it is not read.
  std::string lines;
  for (const auto& [number, entry] : manifest.segments) lines += text_of(sealed(json_of(entry))) + "\n";
  write_atomically(folder / journal_name, lines);
  json object = json_of(manifest.description);
  object["complete"] = false;
  write_atomically(folder / manifest_name, text_of(sealed(std::move(object)), 1) + "\n");
}

void write_complete_manifest(const std::filesystem::path& folder, const Manifest& manifest) {
  json object = json_of(manifest.description);
  object["complete"] = true;
  std::size_t records = 0;
  json segments = json::array();
  for (const auto& [number, entry] : manifest.segments) {
    records += entry.records;
    segments.push_back(json_of(entry));
  }
  object["records"] = records;
  object["outcomes"] = json_of(manifest.outcomes());
  object["segments"] = std::move(segments);
  write_atomically(folder / manifest_name, text_of(sealed(std::move(object)), 1) + "\n");
  remove_journal(folder);
}

}  // namespace deda::io
