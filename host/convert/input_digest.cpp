#include "host/convert/input_digest.hpp"

#include "host/executor/stopwatch.hpp"
#include "host/stop/stop.hpp"

#include <algorithm>
#include <vector>

namespace d2c::host {
namespace {

constexpr std::uint64_t kStep = std::uint64_t{16} << 20;
constexpr std::uint64_t kBlock = std::uint64_t{1} << 20;
constexpr std::uint64_t kAhead = 4 * kStep;
/// Weights are read at the same pace as they are hashed, but not in the very same order.
constexpr std::uint64_t kBehind = std::uint64_t{1} << 30;

}  // namespace

std::size_t InputDigest::steps() const noexcept {
  return static_cast<std::size_t>(std::max<std::uint64_t>(1, (size_ + kStep - 1) / kStep));
}

void InputDigest::step(StageTimes& times) {
  if (!file_) file_ = std::make_unique<PositionedFile>(path_, PositionedFile::Access::read);
  const std::uint64_t end = std::min(size_, position_ + kStep);
  file_->will_need(end, kAhead);
  std::vector<std::byte> block(std::min(kBlock, size_));
  while (position_ < end) {
    stop::throw_if_requested();
    const auto bytes = std::span(block).first(std::min(kBlock, end - position_));
    {
      const Stopwatch reading(times.read);
      file_->read(position_, bytes);
    }
    const Stopwatch hashing(times.hash);
    hash_.update(bytes);
    position_ += bytes.size();
  }
  if (drop_behind_ && position_ > kBehind) file_->done_with(0, position_ - kBehind);
  if (position_ < size_) return;
  sha256_ = hash_.finish();
  file_.reset();
}

}  // namespace d2c::host
