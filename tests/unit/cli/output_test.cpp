#include "host/cli/output.hpp"

#include <gtest/gtest.h>

namespace d2c::host::cli {
namespace {

TEST(Table, AlignsColumnsAndEndsLinesWithoutSpaces) {
  Table table({"name", "bytes", "note"}, {false, true, false});
  table.add({"a", "10", "x"});
  table.add({"longer", "9", ""});
  EXPECT_EQ(table.text(),
            "name    bytes  note\n"
            "a          10  x\n"
            "longer      9\n");
}

TEST(Table, FillsShortRows) {
  Table table({"a", "b"});
  table.add({"1"});
  EXPECT_EQ(table.text(), "a  b\n1\n");
}

}  // namespace
}  // namespace d2c::host::cli
