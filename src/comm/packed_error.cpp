#include "comm/packed_error.h"

#include <fmt/format.h>

#include <vector>

#include "core/error.h"

namespace deda::comm {

namespace {

enum class Kind : char {
  configuration = 'c',
  data = 'd',
  io = 'i',
  communication = 'm',
  model = 'n',
  stopped = 's',
  plain = 'p',
  foreign = 'f'
};

// Fields are joined by the byte 0, which no message holds: kind, exit code, host, then what, where and hint
// of each problem.
constexpr char separator = '\0';

Kind kind_of(const Error& error) {
  if (dynamic_cast<const ConfigError*>(&error)) return Kind::configuration;
  if (dynamic_cast<const DataError*>(&error)) return Kind::data;
  if (dynamic_cast<const IoError*>(&error)) return Kind::io;
  if (dynamic_cast<const CommError*>(&error)) return Kind::communication;
  if (dynamic_cast<const ModelError*>(&error)) return Kind::model;
  if (dynamic_cast<const Stopped*>(&error)) return Kind::stopped;
  return Kind::plain;
}

std::string pack(Kind kind, ExitCode code, std::string_view host, const std::vector<Problem>& problems) {
  std::string packed(1, static_cast<char>(kind));
  packed += separator + std::to_string(static_cast<int>(code));
  packed += separator;
  packed += host;
  for (const Problem& problem : problems) {
    for (const std::string& field : {problem.what, problem.where, problem.hint}) {
      packed += separator;
      packed += field;
    }
  }
  return packed;
}

std::vector<std::string> split(const std::string& packed) {
  std::vector<std::string> fields(1);
  for (const char c : packed) {
    if (c == separator) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

}  // namespace

std::string pack_error(const std::exception_ptr& error, std::string_view host) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return pack(kind_of(e), e.exit_code(), host, e.problems());
  } catch (const std::exception& e) {
    return pack(Kind::foreign, ExitCode::failure, host, {{e.what(), {}, {}}});
  } catch (...) {
    return pack(Kind::foreign, ExitCode::failure, host, {{"an exception of unknown type", {}, {}}});
  }
}

void throw_packed_error(const std::string& packed, int rank) {
  const std::vector<std::string> fields = split(packed);
  if (fields.size() < 6 || (fields.size() - 3) % 3 != 0 || fields[0].size() != 1) {
    throw CommError(fmt::format("rank {} failed, and its message arrived damaged", rank));
  }
  const std::string who =
      fields[2].empty() ? fmt::format("rank {}", rank) : fmt::format("rank {} on host {}", rank, fields[2]);
  std::vector<Problem> problems;
  for (std::size_t i = 3; i < fields.size(); i += 3) {
    problems.push_back({fields[i], fields[i + 1], fields[i + 2]});
    // `where` is printed first, so the rank goes there when it is set.
    std::string& first = problems.back().where.empty() ? problems.back().what : problems.back().where;
    first = fmt::format("{}: {}", who, first);
  }
  const Problem& first = problems.front();
  switch (static_cast<Kind>(fields[0][0])) {
    case Kind::configuration:
      throw ConfigError(std::move(problems));
    case Kind::data:
      throw DataError(std::move(problems));
    case Kind::io:
      throw IoError(first.what, first.where, first.hint);
    case Kind::communication:
      throw CommError(first.what, first.where, first.hint);
    case Kind::model:
      throw ModelError(first.what, first.where, first.hint);
    case Kind::stopped:
      throw Stopped(first.what);
    case Kind::plain:
      throw Error(static_cast<ExitCode>(std::stoi(fields[1])), std::move(problems));
    case Kind::foreign:
      break;
  }
  throw Error(ExitCode::failure, first.what, first.where, first.hint);
}

}  // namespace deda::comm
