/* The CPU runner's functions, found in its shared library when the program runs: building needs the header only. */
#ifndef C_DOLPHIN_RUNTIME_H
#define C_DOLPHIN_RUNTIME_H

#include "../../../../libs/mil_cpu/include/dolphin2coreml/runtime.h"

typedef struct dolphin_cpu_api {
  uint32_t (*version)(void);
  const char* (*last_error)(void);
  d2c_rt_code (*open)(const char*, d2c_rt_precision, uint32_t, d2c_rt_package**);
  void (*close)(d2c_rt_package*);
  size_t (*function_count)(const d2c_rt_package*);
  const char* (*function_name)(const d2c_rt_package*, size_t);
  size_t (*feature_count)(const d2c_rt_package*, const char*, d2c_rt_kind);
  d2c_rt_code (*feature)(const d2c_rt_package*, const char*, d2c_rt_kind, size_t, const char**, d2c_rt_dtype*, size_t*,
                         const int64_t**);
  size_t (*metadata_count)(const d2c_rt_package*);
  const char* (*metadata_key)(const d2c_rt_package*, size_t);
  const char* (*metadata)(const d2c_rt_package*, const char*);
  d2c_rt_code (*state_make)(d2c_rt_package*, d2c_rt_state**);
  void (*state_free)(d2c_rt_state*);
  d2c_rt_code (*call)(d2c_rt_package*, const char*, d2c_rt_state*, size_t, const char* const*, const void* const*,
                      const size_t*, size_t, const char* const*, void* const*, const size_t*);
} dolphin_cpu_api;

/* Loads the library for the life of the process. NULL, or why it cannot be used; the text belongs to the caller. */
char* dolphin_cpu_load(const char* library, dolphin_cpu_api* api);

#endif
