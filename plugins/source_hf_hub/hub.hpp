// The hub's API, as far as a download needs it: what a revision is, and what is known of its files.
#pragma once

#include "plugins/source_hf_hub/answers.hpp"
#include "plugins/source_hf_hub/settings.hpp"
#include "plugins/source_hf_hub/transfers.hpp"

#include <string>
#include <vector>

namespace d2c::hub {

class Hub {
 public:
  Hub(const Settings& settings, Transfers& transfers, std::string id);

  /// What "main", a tag or a commit is now.
  [[nodiscard]] Revision revision(const std::string& name);
  /// Size and digest of files of a commit.
  [[nodiscard]] std::vector<RemoteFile> describe(const std::string& commit, const std::vector<std::string>& files);
  /// For messages: "config.json of ORG/NAME on huggingface.co".
  [[nodiscard]] std::string title_of(const std::string& file) const { return file + " of " + place(); }
  [[nodiscard]] std::string url_of(const std::string& commit, const std::string& file) const;

  /// Throws what a final answer that is no success means: Error(input) where the model is not to be had like this,
  /// Error(network) where the answer is none the hub gives.
  [[noreturn]] void refuse(const Response& response, const std::string& what) const;

 private:
  [[nodiscard]] std::string place() const;

  const Settings& settings_;
  Transfers& transfers_;
  std::string id_;
};

}  // namespace d2c::hub
