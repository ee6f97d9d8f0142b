// `merge`: a model and its adapters become one Hugging Face checkpoint.
#pragma once

#include <string>

namespace d2c::host::cli {

struct Arguments;

[[nodiscard]] std::string merge(const Arguments& arguments);

}  // namespace d2c::host::cli
