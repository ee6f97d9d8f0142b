// Constants: what constexpr ops make of stored data, and their values as numbers.
#pragma once

#include "libs/mil_cpu/program.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace d2c::mil_cpu {

/// No tensor of a program has more elements: sizes multiply without overflow.
inline constexpr std::int64_t kMaxElements = std::int64_t{1} << 36;

using ConstexprArguments = std::map<std::string, std::shared_ptr<const Stored>>;

/// What a constexpr op stands for; the data stay where they are, compressed. Other ops are refused by name.
[[nodiscard]] std::shared_ptr<const Stored> expand_constexpr(const std::string& op, const ConstexprArguments& arguments,
                                                             const std::string& where);

/// Rows [first, first + count) of axis 0 as numbers; a scalar has one row. `out` holds count x (elements of a row).
void expand_rows(const Stored& stored, std::int64_t first, std::int64_t count, float* out);

[[nodiscard]] std::vector<float> reals(const Stored& stored);

/// The values of a constant of integers or booleans; Error(input) for other types or where one leaves 32 bits.
[[nodiscard]] std::vector<std::int32_t> integers(const Stored& stored, const std::string& where);

}  // namespace d2c::mil_cpu
