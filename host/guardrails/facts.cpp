#include "host/guardrails/facts.hpp"

#include <charconv>

namespace d2c::host {
namespace {

DType dtype_named(std::string_view name) {
  for (const DType dtype : {DType::boolean, DType::string, DType::f16, DType::f32, DType::f64, DType::i8, DType::i16,
                            DType::i32, DType::i64, DType::u8, DType::u16, DType::u32, DType::u64})
    if (name_of(dtype) == name) return dtype;
  return DType::none;
}

/// "fp16[1,64]", as TensorType::text writes it; sizes that are not fixed are left out.
TensorType parse_type(std::string_view text) {
  const std::size_t bracket = std::min(text.find('['), text.size());
  TensorType type{dtype_named(text.substr(0, bracket)), {}};
  const char* end = text.data() + text.size();
  for (const char* at = text.data() + bracket + 1; at < end;) {
    std::int64_t size = 0;
    const auto [next, error] = std::from_chars(at, end, size);
    if (error == std::errc()) type.shape.push_back(size);
    at = next + 1;
  }
  return type;
}

std::vector<Feature> features_of(const Value& list) {
  std::vector<Feature> features;
  for (const Value& v : list.items()) features.push_back({v.at("name").as_text(), parse_type(v.at("type").as_text())});
  return features;
}

WeightFacts::Form form_named(const std::string& scheme) {
  if (scheme == "dense") return WeightFacts::Form::dense;
  if (scheme == "palette") return WeightFacts::Form::palette;
  return scheme == "blockwise" ? WeightFacts::Form::blockwise : WeightFacts::Form::other;
}

}  // namespace

PackageFacts facts_of(const Value& description, const std::string& compute_units) {
  PackageFacts facts;
  facts.compute_units = compute_units;
  facts.specification_version = description.int_or("specification_version", facts.specification_version);
  facts.weight_bytes = static_cast<std::uint64_t>(description.int_or("weight_bytes", 0));
  for (const Value& v : description.at("functions").items()) {
    FunctionFacts f{v.at("name").as_text(),
                    features_of(v.at("inputs")),
                    features_of(v.at("states")),
                    features_of(v.at("outputs")),
                    {}};
    if (const Value* counts = v.find("op_counts"))
      for (const auto& [type, count] : counts->members()) f.ops[type] = count.as_int();
    facts.functions.push_back(std::move(f));
  }
  for (const Value& v : description.at("weights").items()) {
    WeightFacts w{v.at("name").as_text(), {}, form_named(v.at("scheme").as_text()), 0, v.int_or("group_size", 0), 0};
    for (const Value& size : v.at("shape").items()) w.shape.push_back(size.as_int());
    w.bits = static_cast<int>(v.int_or("bits", 0));
    w.bytes = static_cast<std::uint64_t>(v.int_or("bytes", 0));
    facts.weights.push_back(std::move(w));
  }
  return facts;
}

}  // namespace d2c::host
