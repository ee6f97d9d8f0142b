#include "plugins/mil_cpu/mil_cpu.hpp"

D2C_PLUGIN("mil_cpu", D2C_SDK_VERSION, "Runs Core ML language-model packages on the CPU.",
           d2c::runner<d2c::mil_cpu::MilCpu>);
