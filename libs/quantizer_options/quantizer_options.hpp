// What quantizers say alike: the options they share, and the weights they refuse.
#pragma once

#include <d2c/plugin.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace d2c::quantizer_options {

/// The option's text, one of `allowed`; the first of them where it is not given. Error(usage) lists them.
[[nodiscard]] std::string choice(const Config& config, const char* key, std::initializer_list<const char*> allowed);

/// group_size, between 1 and 65536.
[[nodiscard]] std::int64_t group_size(const Config& config, std::int64_t fallback);

/// Error(usage) with the weight's name and shape.
[[noreturn]] void refuse(const WeightDesc& weight, const std::string& why);

/// Refuses a group size that does not divide the weight's input columns, naming sizes that do.
void check_divides(const WeightDesc& weight, std::int64_t group_size, const std::string& columns);

}  // namespace d2c::quantizer_options
