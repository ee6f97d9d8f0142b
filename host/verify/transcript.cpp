#include "host/verify/transcript.hpp"

#include "host/executor/stopwatch.hpp"
#include "host/inference/sampler.hpp"

namespace d2c::host {
namespace {

/// Logits after the last token; adds the milliseconds it took.
std::span<const float> feed(Session& session, std::span<const std::int32_t> tokens, double& ms) {
  double seconds = 0;
  std::span<const float> logits;
  {
    const Stopwatch watch(seconds);
    logits = session.feed(tokens);
  }
  ms += seconds * 1e3;
  return logits;
}

}  // namespace

Transcript follow(Session& session, std::span<const std::int32_t> prompt, std::span<const std::int32_t> answer,
                  const OnRow& on_row) {
  Transcript t;
  session.rewind(0);
  auto logits = feed(session, prompt, t.init_ms);
  on_row(0, logits);
  for (std::size_t i = 0; i < answer.size(); ++i) {
    if (t.common == i && t.tokens.size() == i) {
      t.tokens.push_back(argmax(logits));
      if (t.tokens.back() == answer[i]) ++t.common;
    }
    logits = feed(session, answer.subspan(i, 1), t.decode_ms.emplace_back());
    on_row(i + 1, logits);
  }
  t.kv = session.kv_usage();
  if (t.common == answer.size()) return t;
  session.rewind(static_cast<std::int64_t>(prompt.size() + t.common));
  while (t.tokens.size() < answer.size()) t.tokens.push_back(argmax(session.feed({&t.tokens.back(), 1})));
  return t;
}

}  // namespace d2c::host
