#include "plugins/quant_linear/linear.hpp"

#include <d2c/plugin.hpp>

D2C_PLUGIN("quant_linear", "1.0.0", "Integers of 4 or 8 bits with a scale, and maybe an offset, per block.",
           d2c::quantizer<d2c::linear::Linear>);
