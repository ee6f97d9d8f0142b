/* A quantizer that dies while it works, in the way that its option asks for. */
#include <d2c/abi.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct quantizer {
  d2c_quantizer c;
  char how[16];
} quantizer;

static volatile int sink;
static volatile int* volatile nowhere = (volatile int*)8;

static int fall(int depth) { /* until the stack ends */
  volatile char room[4096];
  if (depth < 0) return 0;
  room[depth % 4096] = 1;
  return fall(depth + 1) + room[0];
}

static void die(const quantizer* q) {
  if (strcmp(q->how, "abort") == 0) abort();
  if (strcmp(q->how, "overflow") == 0) sink = fall(0);
  sink = *nowhere;
}

static d2c_code plan(void* self, const d2c_weight_desc* weight, d2c_layout* out) {
  (void)self;
  memset(out, 0, sizeof *out);
  out->struct_size = sizeof *out;
  out->scheme = D2C_SCHEME_DENSE;
  out->input_dtype = D2C_F32;
  out->padded_rows = weight->type.dims[0];
  out->tile_rows = 1;
  out->bits = 32;
  out->plane_count = 1;
  out->planes[0].role = D2C_PLANE_DENSE;
  out->planes[0].type = weight->type;
  out->planes[0].type.dtype = D2C_F32;
  out->planes[0].rows_per_slice = 1;
  snprintf(out->label, sizeof out->label, "none");
  return D2C_OK;
}

static d2c_code begin(void* self, const d2c_weight_desc* weight, void** job) {
  (void)self;
  (void)weight;
  *job = NULL;
  return D2C_OK;
}

static d2c_code process(void* self, void* job, const d2c_tile* tile, void* const* planes, d2c_tile_stats* stats) {
  (void)job;
  (void)tile;
  (void)planes;
  (void)stats;
  die(self);
  return D2C_OK;
}

static void end(void* self, void* job) {
  (void)self;
  (void)job;
}

static d2c_code create(const d2c_host* host, const d2c_value* options, void** out) {
  quantizer* q = calloc(1, sizeof *q);
  if (q == NULL) return host->fail(host->self, D2C_RESOURCE, "out of memory");
  for (size_t i = 0; i < options->count; ++i)
    if (strcmp(options->keys[i], "how") == 0) snprintf(q->how, sizeof q->how, "%s", options->items[i].text);
  q->c = (d2c_quantizer){sizeof q->c, q, free, plan, begin, NULL, process, end};
  *out = &q->c;
  return D2C_OK;
}

static const d2c_option_spec how = {
    sizeof(d2c_option_spec), "how", D2C_VALUE_TEXT, "\"segv\"", "[\"segv\", \"abort\", \"overflow\"]", "How it dies."};
static const d2c_option_spec* const options[] = {&how};
static const d2c_factory quantizers = {sizeof(d2c_factory), options, 1, create, NULL};
static const char* const kinds[] = {D2C_QUANTIZER, NULL};

static const d2c_factory* factory(const char* kind) { return strcmp(kind, D2C_QUANTIZER) == 0 ? &quantizers : NULL; }

D2C_EXPORT const d2c_plugin_entry d2c_plugin = {
    D2C_ABI_MAGIC,          D2C_ABI_MAJOR, D2C_ABI_MINOR, sizeof(d2c_plugin_entry), "quant_crash", "1.0.0",
    "Dies while it works.", kinds,         factory};
