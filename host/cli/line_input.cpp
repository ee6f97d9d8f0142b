#include "host/cli/line_input.hpp"

#include "host/cli/output.hpp"
#include "host/platform/terminal.hpp"
#include "host/stop/stop.hpp"

#include <histedit.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <iterator>

namespace d2c::host::cli {
namespace {

constexpr int kRemembered = 500;

}  // namespace

std::string read_stdin() { return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()}; }

struct LineInput::Editor {
  explicit Editor(std::string text) : prompt(std::move(text)), line(el_init("dolphin2coreml", stdin, stdout, stderr)) {
    std::setlocale(LC_CTYPE, "");  // characters of several bytes are one to the cursor
    HistEvent event;
    history(past, &event, H_SETSIZE, kRemembered);
    el_set(line, EL_CLIENTDATA, this);
    el_set(line, EL_PROMPT, &Editor::show_prompt);
    el_set(line, EL_EDITOR, "emacs");
    el_set(line, EL_HIST, history, past);
  }
  ~Editor() {
    el_end(line);
    history_end(past);
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  static char* show_prompt(EditLine* line) {
    void* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    return static_cast<Editor*>(self)->prompt.data();
  }

  std::string prompt;
  History* past = history_init();
  EditLine* line;
};

LineInput::LineInput(const std::string& prompt) : prompt_(prompt), interactive_(is_terminal(STDIN_FILENO)) {
  if (is_live_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO)) editor_ = std::make_unique<Editor>(prompt);
}

LineInput::~LineInput() = default;

bool LineInput::interactive() const noexcept { return interactive_; }

std::optional<std::string> LineInput::next() { return editor_ ? edited() : plain(); }

std::optional<std::string> LineInput::edited() {
  int count = 0;
  const char* text = el_gets(editor_->line, &count);
  if (stop::signal_number() == SIGINT) {
    stop::acknowledge();
    el_reset(editor_->line);
    print("\n");
    return "";
  }
  stop::throw_if_requested();
  if (text == nullptr || count <= 0) return std::nullopt;
  std::string line(text, static_cast<std::size_t>(count));
  HistEvent event;
  history(editor_->past, &event, H_ENTER, line.c_str());
  if (line.ends_with('\n')) line.pop_back();
  return line;
}

std::optional<std::string> LineInput::plain() {
  if (interactive_) print(prompt_);
  std::string line;
  const bool got = static_cast<bool>(std::getline(std::cin, line));
  stop::throw_if_requested();
  if (!got) return std::nullopt;
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

}  // namespace d2c::host::cli
