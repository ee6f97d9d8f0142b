// A function under construction, with weights for it.
#pragma once

#include "tests/unit/graph/plain_weights.hpp"

#include <d2c/graph.hpp>

#include <gtest/gtest.h>

#include <string>

namespace d2c::host::test {

/// The last refusal is kept as text.
class FunctionUnderTest : public testing::Test {
 protected:
  Program program_;
  PlainWeights weights_;
  std::string message_;
  FunctionBuilder builder_{program_, weights_, "f", [this](d2c_code code, const char* text) {
                             message_ = text;
                             return code;
                           }};
  Graph g_{builder_.c()};
};

}  // namespace d2c::host::test
