#include "plugins/source_synthetic/synthetic_source.hpp"

D2C_PLUGIN("source_synthetic", D2C_SDK_VERSION,
           "Makes up weights of any Llama shape, for tests at full scale without a download.",
           d2c::weight_source<d2c::source_synthetic::SyntheticSource>);
