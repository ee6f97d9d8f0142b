// Palettizes a matrix of raw fp16 numbers for benchmarks/conversion.py, which compares time and error with others.
//
//     palettize_matrix IN ROWS COLUMNS MODE REPEATS OUT
//
// Writes the packed 4-bit indices and the palettes to OUT, and prints the CPU seconds of each repeat as a JSON list.
#include "plugins/quant_palettize4/palettize4.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace {

struct Request {
  std::string in;
  std::int64_t rows, columns;
  std::string mode;
  int repeats;
  std::string out;
};

std::vector<std::uint16_t> read_matrix(const Request& request) {
  std::vector<std::uint16_t> values(static_cast<std::size_t>(request.rows * request.columns));
  std::ifstream file(request.in, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * 2)))
    d2c::fail_input(request.in + ": does not hold that many numbers");
  return values;
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void palettize(const Request& request) {
  const std::vector<std::uint16_t> values = read_matrix(request);
  d2c::Value options = d2c::Value::table();
  options.set("mode", request.mode);
  d2c::palettize4::Palettize4 quantizer{d2c::Config(options)};
  const d2c::WeightDesc desc{"weight", "mlp", {request.rows, request.columns}};
  const d2c::Layout layout = quantizer.plan(desc);
  const auto job = quantizer.begin(desc);
  std::vector<char> indices(static_cast<std::size_t>(layout.planes[0].type.bytes()));
  std::vector<char> palettes(static_cast<std::size_t>(layout.planes[1].type.bytes()));
  void* const planes[] = {indices.data(), palettes.data()};
  std::string times;
  for (int i = 0; i < request.repeats; ++i) {
    const double start = cpu_seconds();
    d2c_tile_stats stats{};
    job->process({0, request.rows, values.data()}, planes, stats);
    times += (i == 0 ? "" : ", ") + std::to_string(cpu_seconds() - start);
  }
  std::ofstream out(request.out, std::ios::binary);
  out.write(indices.data(), static_cast<std::streamsize>(indices.size()));
  out.write(palettes.data(), static_cast<std::streamsize>(palettes.size()));
  std::printf("[%s]\n", times.c_str());
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 7) {
    std::fputs("usage: palettize_matrix IN ROWS COLUMNS MODE REPEATS OUT\n", stderr);
    return 2;
  }
  palettize({argv[1], std::atoll(argv[2]), std::atoll(argv[3]), argv[4], std::atoi(argv[5]), argv[6]});
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "palettize_matrix: %s\n", e.what());
  return 1;
}
