// What servers answer, read without believing them.
#pragma once

#include "plugins/source_hf_hub/http.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace d2c::hub {

struct Revision {
  std::string commit;
  std::vector<std::string> files;  ///< of the repository's top folder, sorted
};

struct RemoteFile {
  std::string name;
  std::string blob;  ///< digest of its bytes, and its name in the cache
  std::uint64_t size = 0;
};

/// The API's description of a revision. Error(network) where it is none; names that lead out of a folder are left out.
[[nodiscard]] Revision parse_revision(const std::string& body, const std::string& where);

/// What the headers of a file's answer say about it. Error(network) where they name no digest or no size, or the file is one
/// of another commit.
[[nodiscard]] RemoteFile parse_file(const Response& response, const std::string& name, const std::string& commit,
                                    const std::string& what);

/// Why an answer with a body is not the one to this request of a file that has `size` bytes; empty where it is.
[[nodiscard]] std::string wrong_bytes(const Response& response, const std::optional<Range>& asked, std::uint64_t size);

}  // namespace d2c::hub
