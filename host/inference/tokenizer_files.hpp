// Where a tokenizer's files come from.
#pragma once

#include "host/loader/plugin_registry.hpp"

#include <map>
#include <string>

namespace d2c::host {

/// Whose of a package's tokenizers: an encoder that is another model may have one of its own.
enum class TokenizerOf { model, encoder };

/// File name -> contents: of a package's attachments, of a folder with a tokenizer, or of whatever a weight source reads
/// (a GGUF file). Error(input) where nothing of these is there.
[[nodiscard]] std::map<std::string, std::string> tokenizer_files(PluginRegistry& plugins, const std::string& path,
                                                                 TokenizerOf which = TokenizerOf::model);

}  // namespace d2c::host
