// What comes in on stdin: all of it, or the lines that a person types or a script sends.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace d2c::host::cli {

/// All of stdin.
[[nodiscard]] std::string read_stdin();

/// One at a time: it owns stdin. In a live terminal lines can be edited and earlier ones recalled.
class LineInput {
 public:
  /// `prompt` is shown in a terminal only.
  explicit LineInput(const std::string& prompt);
  ~LineInput();
  LineInput(const LineInput&) = delete;
  LineInput& operator=(const LineInput&) = delete;

  /// Whether a person sits at the other end.
  [[nodiscard]] bool interactive() const noexcept;
  /// The next line without its end; nothing at the end of input. In a live terminal Ctrl-C gives an empty line.
  /// Error(interrupted) for any other request to stop.
  [[nodiscard]] std::optional<std::string> next();

 private:
  struct Editor;
  std::optional<std::string> edited();
  std::optional<std::string> plain();

  std::string prompt_;
  bool interactive_;
  std::unique_ptr<Editor> editor_;
};

}  // namespace d2c::host::cli
