// An object of a plugin whose every call leaves a note of plugin and function, for the case that it crashes.
#pragma once

#include <d2c/abi.h>

namespace d2c::host {

/// Stands for `object` and owns it: `destroy` ends both. `plugin` must outlive it.
template <class CStruct>
[[nodiscard]] CStruct* guarded(CStruct* object, const char* plugin);

extern template d2c_weight_source* guarded(d2c_weight_source*, const char*);
extern template d2c_adapter_merger* guarded(d2c_adapter_merger*, const char*);
extern template d2c_quantizer* guarded(d2c_quantizer*, const char*);
extern template d2c_function_emitter* guarded(d2c_function_emitter*, const char*);
extern template d2c_package_writer* guarded(d2c_package_writer*, const char*);
extern template d2c_package_reader* guarded(d2c_package_reader*, const char*);
extern template d2c_runner* guarded(d2c_runner*, const char*);
extern template d2c_fetcher* guarded(d2c_fetcher*, const char*);

}  // namespace d2c::host
