#include "host/convert/progress_record.hpp"

#include <unordered_map>

namespace d2c::host {
namespace {

constexpr std::uint64_t kFlushBytes = std::uint64_t{256} << 20;
constexpr std::chrono::seconds kFlushInterval{2};

Value to_value(const WeightResult& r) {
  Value v = Value::list();
  v.push_back(r.stats.squared_error);
  v.push_back(r.stats.squared_sum);
  v.push_back(r.stats.max_error);
  v.push_back(r.stats.groups);
  v.push_back(r.stats.groups_certified);
  v.push_back(r.stats.distinct_values);
  v.push_back(r.rounding.underflowed);
  v.push_back(r.rounding.subnormal);
  return v;
}

WeightResult from_value(const Value& v) {
  const Value::List& list = v.items();
  if (list.size() != 8) fail_input("a journal entry has " + std::to_string(list.size()) + " numbers");
  WeightResult r;
  r.done = true;
  r.stats.struct_size = sizeof r.stats;
  r.stats.squared_error = list[0].as_real();
  r.stats.squared_sum = list[1].as_real();
  r.stats.max_error = list[2].as_real();
  r.stats.groups = list[3].as_int();
  r.stats.groups_certified = list[4].as_int();
  r.stats.distinct_values = list[5].as_int();
  r.rounding.underflowed = static_cast<std::uint64_t>(list[6].as_int());
  r.rounding.subnormal = static_cast<std::uint64_t>(list[7].as_int());
  return r;
}

}  // namespace

ProgressRecord::ProgressRecord(const std::filesystem::path& file, const Assembly& assembly,
                               std::vector<std::string> digests, std::vector<WeightResult>& results)
    : assembly_(assembly), digests_(std::move(digests)) {
  std::unordered_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < assembly.weights().size(); ++i) index.emplace(assembly.weights()[i]->key, i);
  std::vector<JournalEntry> kept;
  for (JournalEntry& entry : Journal::read(file)) {
    const auto it = index.find(entry.key);
    if (it == index.end() || digests_[it->second] != entry.digest || results[it->second].done) continue;
    results[it->second] = from_value(entry.payload);
    kept.push_back(std::move(entry));
  }
  resumed_ = recorded_ = kept.size();
  journal_ = std::make_unique<Journal>(file, kept);
}

void ProgressRecord::add(std::size_t weight, const WeightResult& result) {
  const PlannedWeight& w = *assembly_.weights()[weight];
  pending_.push_back({w.key, digests_[weight], to_value(result)});
  pending_bytes_ += w.bytes();
  if (pending_bytes_ >= kFlushBytes || std::chrono::steady_clock::now() - last_flush_ >= kFlushInterval) flush();
}

void ProgressRecord::flush() {
  if (!pending_.empty()) {
    const auto& writer = assembly_.writer();
    writer.check(writer->sync(writer->self));
    journal_->append(pending_);
    recorded_ += pending_.size();
  }
  pending_.clear();
  pending_bytes_ = 0;
  last_flush_ = std::chrono::steady_clock::now();
}

}  // namespace d2c::host
