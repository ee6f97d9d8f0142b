// Any bytes as what a hub answers: headers "name: value", an empty line, a body. An error that blames the network or the
// input, or files that stay in their folder and have a digest; never a crash.
#include "libs/hub_cache/blob_digest.hpp"
#include "libs/hub_cache/repository.hpp"
#include "plugins/source_hf_hub/answers.hpp"
#include "plugins/source_hf_hub/selection.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace d2c::hub;

constexpr std::uint64_t kSize = 1000;

Response answer_of(std::string_view input) {
  Response response;
  response.status = 206;
  while (!input.empty()) {
    const std::size_t end = std::min(input.find('\n'), input.size());
    const std::string_view line = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
    if (line.empty()) break;
    const std::size_t colon = line.find(": ");
    if (colon != std::string_view::npos)
      response.headers.emplace(line.substr(0, colon), line.substr(std::min(colon + 2, line.size())));
  }
  response.body = input;
  return response;
}

void expect(bool holds) {
  if (!holds) std::abort();
}

void try_out(const std::function<void()>& reading) {
  try {
    reading();
  } catch (const d2c::Error& e) {
    expect(e.code() == d2c::Code::network || e.code() == d2c::Code::input);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Response response = answer_of({reinterpret_cast<const char*>(data), size});
  try_out([&] {
    const Revision revision = parse_revision(response.body, "input");
    expect(is_commit(revision.commit));
    for (const std::string& file : revision.files) expect(is_plain_file_name(file));
    (void)small_files(revision.files);
    (void)weight_files(revision.files, D2C_FETCH_ADAPTER, "/nowhere", "input");
  });
  try_out([&] {
    const RemoteFile file = parse_file(response, "model.safetensors", std::string(40, 'a'), "input");
    expect(is_blob_name(file.blob));
  });
  const Range asked{100, 200};
  if (wrong_bytes(response, asked, kSize).empty()) expect(response.body.size() <= asked.count);
  return 0;
}
