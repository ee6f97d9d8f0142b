/* Runs Core ML language-model packages (.mlpackage) on the CPU: a C interface to the runner of dolphin2coreml.
 *
 *     d2c_rt_package* package = NULL;
 *     d2c_rt_state* state = NULL;
 *     if (d2c_rt_open("Model.mlpackage", D2C_RT_FP32, 0, &package) != D2C_RT_OK ||
 *         d2c_rt_state_make(package, &state) != D2C_RT_OK)
 *       fprintf(stderr, "%s\n", d2c_rt_last_error());
 *     const char* names[] = {"input_ids", "position"};
 *     const void* data[] = {&token, &position};
 *     const size_t sizes[] = {sizeof token, sizeof position};
 *     d2c_rt_call(package, "decode", state, 2, names, data, sizes, 1, outputs, buffers, buffer_sizes);
 *
 * Rules
 *   - Handles are opaque. Functions that can fail return a code; d2c_rt_last_error() then says why, for the calling thread.
 *   - Tensors are row-major and packed, little-endian; fp16 is IEEE half precision; booleans take one byte.
 *   - Text is UTF-8. Text and dimensions that a function returns belong to the package and live until d2c_rt_close().
 *   - [any-thread]: every function may be called from any thread, also at the same time, except that one state serves one
 *     call at a time (a second one is refused) and that d2c_rt_close() and d2c_rt_state_free() end the use of their handle.
 *     Calls on one package take turns; each uses all of the package's threads.
 */
#ifndef DOLPHIN2COREML_RUNTIME_H
#define DOLPHIN2COREML_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define D2C_RT_EXPORT __declspec(dllexport)
#else
#define D2C_RT_EXPORT __attribute__((visibility("default")))
#endif

/* Grows when functions are added; what exists never changes. */
#define D2C_RT_VERSION 1

typedef struct d2c_rt_package d2c_rt_package;
typedef struct d2c_rt_state d2c_rt_state;

typedef int32_t d2c_rt_code;
enum {
  D2C_RT_OK = 0,
  D2C_RT_USAGE = 2,    /* an argument: no such function, a buffer of the wrong size, a state in use */
  D2C_RT_INPUT = 3,    /* the package is damaged or uses what this runner does not know; a token id outside the table */
  D2C_RT_RESOURCE = 5, /* not enough memory */
  D2C_RT_INTERNAL = 6
};

typedef int32_t d2c_rt_precision;
enum {
  D2C_RT_FP32 = 0, /* computes in fp32: the reference */
  D2C_RT_FP16 = 1, /* rounds the result of every fp16 operation */
  D2C_RT_FAST = 2  /* 8-bit activations against 8-bit palettes: approximate */
};

typedef int32_t d2c_rt_kind;
enum { D2C_RT_INPUTS = 0, D2C_RT_STATES = 1, D2C_RT_OUTPUTS = 2 };

/* Element types, with Core ML's numbers. */
typedef int32_t d2c_rt_dtype;
enum {
  D2C_RT_BOOL = 1,
  D2C_RT_FLOAT16 = 10,
  D2C_RT_FLOAT32 = 11,
  D2C_RT_INT8 = 21,
  D2C_RT_INT16 = 22,
  D2C_RT_INT32 = 23,
  D2C_RT_UINT8 = 31,
  D2C_RT_UINT16 = 32
};

/* D2C_RT_VERSION of the library that is loaded. */
D2C_RT_EXPORT uint32_t d2c_rt_version(void);

/* Why the last function that failed on this thread did; "" before any did. Valid until the next failure on this thread. */
D2C_RT_EXPORT const char* d2c_rt_last_error(void);

/* Opens and checks a package. `threads` 0: one for each core. On success *out is to be closed with d2c_rt_close(). */
D2C_RT_EXPORT d2c_rt_code d2c_rt_open(const char* path, d2c_rt_precision precision, uint32_t threads,
                                      d2c_rt_package** out);
/* NULL does nothing. States of the package may be freed before or after. */
D2C_RT_EXPORT void d2c_rt_close(d2c_rt_package* package);

/* The package's functions, the default one first; NULL for an index that is too large. */
D2C_RT_EXPORT size_t d2c_rt_function_count(const d2c_rt_package* package);
D2C_RT_EXPORT const char* d2c_rt_function_name(const d2c_rt_package* package, size_t index);

/* Inputs, states or outputs of a function; 0 where there is no such function. */
D2C_RT_EXPORT size_t d2c_rt_feature_count(const d2c_rt_package* package, const char* function, d2c_rt_kind kind);
/* Any of the last four may be NULL. */
D2C_RT_EXPORT d2c_rt_code d2c_rt_feature(const d2c_rt_package* package, const char* function, d2c_rt_kind kind,
                                         size_t index, const char** name, d2c_rt_dtype* dtype, size_t* rank,
                                         const int64_t** dimensions);

/* The package's user-defined metadata, sorted by key; NULL where there is none. */
D2C_RT_EXPORT size_t d2c_rt_metadata_count(const d2c_rt_package* package);
D2C_RT_EXPORT const char* d2c_rt_metadata_key(const d2c_rt_package* package, size_t index);
D2C_RT_EXPORT const char* d2c_rt_metadata(const d2c_rt_package* package, const char* key);

/* Bytes of the weight files (mapped, not copied), of one session's states, and of a function's working memory. */
D2C_RT_EXPORT uint64_t d2c_rt_weight_bytes(const d2c_rt_package* package);
D2C_RT_EXPORT uint64_t d2c_rt_state_bytes(const d2c_rt_package* package);
D2C_RT_EXPORT uint64_t d2c_rt_scratch_bytes(const d2c_rt_package* package, const char* function);

/* The states of one session, zero-filled and shared by name between functions. Free with d2c_rt_state_free(). */
D2C_RT_EXPORT d2c_rt_code d2c_rt_state_make(d2c_rt_package* package, d2c_rt_state** out);
D2C_RT_EXPORT void d2c_rt_state_free(d2c_rt_state* state);
/* The bytes of one state in place, to be read or written between calls; valid until d2c_rt_state_free(). */
D2C_RT_EXPORT d2c_rt_code d2c_rt_state_buffer(d2c_rt_state* state, const char* name, void** data, size_t* size);

/* Runs a function. Every input must be given, in any order, with exactly its bytes; outputs as wanted. `state` may be NULL
 * for a function without states. All pointers are used during the call only. */
D2C_RT_EXPORT d2c_rt_code d2c_rt_call(d2c_rt_package* package, const char* function, d2c_rt_state* state,
                                      size_t input_count, const char* const* input_names, const void* const* input_data,
                                      const size_t* input_sizes, size_t output_count, const char* const* output_names,
                                      void* const* output_data, const size_t* output_sizes);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif
