#include "plugins/source_hf_hub/hub_fetcher.hpp"

D2C_PLUGIN("source_hf_hub", D2C_SDK_VERSION,
           "Brings models and adapters from the Hugging Face Hub into its shared cache.",
           d2c::fetcher<d2c::hub::HubFetcher>);
