// A repository of the Hugging Face Hub as a model or an adapter.
#pragma once

#include <d2c/plugin.hpp>

namespace d2c::hub {

class HubFetcher final : public Fetcher {
 public:
  /// "ORG/NAME" or "ORG/NAME@REVISION".
  static int probe(const char* id);

  HubFetcher(const Host& host, const Config& options);

  [[nodiscard]] Fetched fetch(const FetchRequest& request) override;

 private:
  Host host_;
};

}  // namespace d2c::hub
