// A crash ends in a sentence, too: which file could not be read any more, or which plugin was running.
#pragma once

namespace d2c::host::crash {

/// From now on a crash writes one line to stderr. Where a mapped file cannot be read any more (it was cut short, its disk
/// failed) the process exits with Code::input, where a plugin was running with Code::plugin; otherwise it dies of the
/// signal. A workspace stays as it is, and the next run continues in it. Signals that somebody handles already, a
/// sanitizer say, are left to them.
void install_handlers();

/// While it lives, the calling thread is inside a function of a plugin. Both names must outlive it.
class PluginCall {
 public:
  PluginCall(const char* plugin, const char* function) noexcept;
  ~PluginCall();
  PluginCall(const PluginCall&) = delete;
  PluginCall& operator=(const PluginCall&) = delete;

 private:
  const char* outer_plugin_;
  const char* outer_function_;
};

}  // namespace d2c::host::crash
