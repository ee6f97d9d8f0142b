// The runner plugin: libs/mil_cpu behind the SDK's interface.
#pragma once

#include <d2c/plugin.hpp>

#include <memory>

namespace d2c::mil_cpu {

class MilCpu final : public Runner {
 public:
  static constexpr OptionSpec kOptions[] = {
      {"precision", D2C_VALUE_TEXT, "\"fp32\"", "[\"fp32\", \"fp16\", \"fast\"]",
       "fp32 computes in fp32, fp16 rounds as stored, fast is approximate"},
      {"threads", D2C_VALUE_INTEGER, "0", nullptr, "threads of a call; 0: one for each core"},
  };
  static int probe(const char* path);

  explicit MilCpu(const Config& options);

  [[nodiscard]] const std::vector<Signature>& signatures() const override { return runner_->signatures(); }
  [[nodiscard]] std::unique_ptr<RunnerState> make_state() override { return runner_->make_state(); }
  void call(const std::string& function, RunnerState* state, std::span<const Buffer> inputs,
            std::span<const Buffer> outputs) override {
    runner_->call(function, state, inputs, outputs);
  }
  [[nodiscard]] const Value& describe() const override { return runner_->describe(); }

 private:
  std::unique_ptr<Runner> runner_;
};

}  // namespace d2c::mil_cpu
