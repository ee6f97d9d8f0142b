#include "CDolphinRuntime.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static char* copy(const char* text) {
  const size_t size = strlen(text) + 1;
  char* out = malloc(size);
  if (out != NULL) memcpy(out, text, size);
  return out;
}

char* dolphin_cpu_load(const char* library, dolphin_cpu_api* api) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) return copy(dlerror());
  const struct {
    const char* name;
    void* place;
  } symbols[] = {
      {"d2c_rt_version", &api->version},
      {"d2c_rt_last_error", &api->last_error},
      {"d2c_rt_open", &api->open},
      {"d2c_rt_close", &api->close},
      {"d2c_rt_function_count", &api->function_count},
      {"d2c_rt_function_name", &api->function_name},
      {"d2c_rt_feature_count", &api->feature_count},
      {"d2c_rt_feature", &api->feature},
      {"d2c_rt_metadata_count", &api->metadata_count},
      {"d2c_rt_metadata_key", &api->metadata_key},
      {"d2c_rt_metadata", &api->metadata},
      {"d2c_rt_state_make", &api->state_make},
      {"d2c_rt_state_free", &api->state_free},
      {"d2c_rt_call", &api->call},
  };
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; ++i) {
    void* symbol = dlsym(handle, symbols[i].name);
    if (symbol == NULL) {
      dlclose(handle);
      return copy(symbols[i].name);
    }
    memcpy(symbols[i].place, &symbol, sizeof symbol);
  }
  return NULL;
}
