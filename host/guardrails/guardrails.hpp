// What Core ML and its compute units are known to refuse or to run badly, checked before any work and on finished packages.
//
// None of it can be tried here: every rule says where it is from and how far to trust it.
#pragma once

#include "host/guardrails/facts.hpp"

#include <d2c/value.hpp>

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

enum class Severity { advice, warning, error };

enum class Confidence {
  documented,  ///< by Apple, in documentation or in the sources of coremltools
  reported,    ///< by users or other projects, on devices
  estimated,   ///< worked out from figures that are documented
};

/// What a rule is about. Rules of a unit that the package is not meant for are left out.
enum class Unit { any, neural_engine, gpu, phone };

struct Guardrail {
  const char* id;
  Severity severity;  ///< a rule of the Neural Engine is no more than a warning where Core ML may choose another unit
  Unit unit;
  Confidence confidence;
  const char* what;    ///< one sentence
  const char* why;     ///< one sentence
  const char* source;  ///< where it is known from
  const char* key;     ///< the recipe key that resolves it, with what to set
  /// Where the package goes against it; nothing where it does not.
  std::optional<std::string> (*find)(const PackageFacts&);
};

[[nodiscard]] std::span<const Guardrail> guardrails();

struct Finding {
  const Guardrail* rule;
  Severity severity;
  std::string where;
  bool accepted = false;  ///< named by target.accept

  /// "weight-ceiling: 4.02 GB of weights in one package. Set ...".
  [[nodiscard]] std::string text() const;
};

[[nodiscard]] const char* name_of(Severity severity);

/// Every rule that the package goes against, errors first. `accepted`: ids of rules that are gone against knowingly; one
/// that does not exist is Error(usage), told with `origin`.
[[nodiscard]] std::vector<Finding> check_guardrails(const PackageFacts& facts, std::span<const std::string> accepted,
                                                    const std::string& origin);

/// [{rule, severity, confidence, where, what, why, source, resolve, accepted}].
[[nodiscard]] Value to_value(std::span<const Finding> findings);

/// The first error that is not accepted; null where there is none.
[[nodiscard]] const Finding* first_error(std::span<const Finding> findings);

/// docs/guardrails.md.
[[nodiscard]] std::string guardrail_reference();

}  // namespace d2c::host
