#include "libs/json/json.hpp"

#include <gmock/gmock.h>

namespace {

using d2c::Error;
using d2c::Value;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(Json, RoundTripsEveryKindInKeyOrder) {
  const char* text = R"({"z":null,"a":[true,-3,2.5,"x"],"m":{"k":"v"}})";
  EXPECT_EQ(d2c::json::dump(d2c::json::parse(text, "t")), text);
}

TEST(Json, RefusesAKeyThatStandsTwice) {
  EXPECT_THAT([] { (void)d2c::json::parse(R"({"a":1,"a":2})", "f.json"); },
              ThrowsMessage<Error>(HasSubstr("f.json: the key 'a' stands twice")));
}

TEST(Json, RefusesEndlessNesting) {
  EXPECT_THAT([] { (void)d2c::json::parse(std::string(100000, '['), "f.json"); },
              ThrowsMessage<Error>(HasSubstr("nested deeper")));
}

TEST(Json, RefusesTextHiddenBehindANul) {
  using std::string_view_literals::operator""sv;
  EXPECT_THAT([] { (void)d2c::json::parse("{}\0{}"sv, "f.json"); },
              ThrowsMessage<Error>(HasSubstr("f.json: not valid JSON: holds a NUL")));
}

TEST(Json, NamesTheFileAndPlaceOfASyntaxError) {
  EXPECT_THAT([] { (void)d2c::json::parse("{\n  oops", "f.json"); }, ThrowsMessage<Error>(HasSubstr("line 2")));
}

TEST(Json, AValueSurvivesTheTripThroughItsCForm) {
  const Value v = d2c::json::parse(R"({"a":[1,2.5,"x",null,true],"b":{"c":[]}})", "t");
  EXPECT_EQ(Value::from_c(d2c::ValueExport(v).c()), v);
}

}  // namespace
