#include "plugins/quant_palettize4/palettize4.hpp"

#include <d2c/plugin.hpp>

D2C_PLUGIN("quant_palettize4", "1.0.0", "Palettes of 1 to 8 bits, every group solved to the proven optimum.",
           d2c::quantizer<d2c::palettize4::Palettize4>);
