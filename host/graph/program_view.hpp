// A finished program in the C form that package writers read.
#pragma once

#include "host/graph/program.hpp"

#include <d2c/abi.h>

#include <deque>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

/// Owns the program and every array of the C form, so `c()` stays valid, at one address, as long as the view.
class ProgramView {
 public:
  /// `weights` is the weight table that the WeightCatalogue's indices point into; the entries are copied, the names,
  /// keys and layouts they point at must outlive the view. Error(plugin) where `default_function` is none of the
  /// program's functions or a node's weight index lies outside the table.
  ProgramView(Program program, std::span<const d2c_weight> weights, std::string default_function,
              std::string deployment);
  ProgramView(const ProgramView&) = delete;
  ProgramView& operator=(const ProgramView&) = delete;

  [[nodiscard]] const d2c_program& c() const noexcept { return c_; }
  [[nodiscard]] const Program& program() const noexcept { return program_; }

 private:
  d2c_function export_function(const GraphFunction& function);

  Program program_;
  std::string default_function_;
  std::string deployment_;
  std::vector<d2c_weight> weights_;
  std::vector<d2c_tensor> constants_;
  std::vector<d2c_function> functions_;
  // Deques: the arrays in them never move, so the pointers of the C form stay good.
  std::deque<std::vector<d2c_node>> nodes_;
  std::deque<std::vector<d2c_op>> ops_;
  std::deque<std::vector<d2c_argument>> arguments_;
  d2c_program c_{};
};

}  // namespace d2c::host
