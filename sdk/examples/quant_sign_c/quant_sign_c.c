/* One bit per weight, in plain C11: its sign, times the mean magnitude of its output row.
 *
 * Stored as palettes of two entries, [-m, +m] for every row. Nobody's language model stands that; it shows all that a
 * quantizer has to do at the C boundary. */
#include <d2c/abi.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct quantizer {
  d2c_quantizer c;
  const d2c_host* host;
} quantizer;

typedef struct job {
  int64_t columns;
} job;

static d2c_code refuse(const quantizer* q, d2c_code code, const char* tensor, const char* why) {
  char message[320];
  snprintf(message, sizeof message, "%s: %s", tensor, why);
  return q->host->fail(q->host->self, code, message);
}

/* The nearest fp16, ties to even; what lies beyond fp16 becomes its largest number. `value` is not negative. */
static uint16_t to_half(double value) {
  if (value >= 65504) return 0x7bff;
  if (value < 0x1p-14) return (uint16_t)lrint(value * 0x1p24); /* subnormal */
  int exponent;
  const double fraction = frexp(value, &exponent); /* in [0.5, 1) */
  return (uint16_t)(((exponent + 13) << 10) + lrint(fraction * 2048));
}

static double from_half(uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  return exponent == 0 ? mantissa * 0x1p-24 : ldexp(1024 + mantissa, exponent - 25);
}

static int64_t columns_of(const d2c_type* type) {
  int64_t columns = 1;
  for (int32_t axis = 1; axis < type->rank; ++axis) columns *= type->dims[axis];
  return columns;
}

static d2c_code plan(void* self, const d2c_weight_desc* weight, d2c_layout* out) {
  const quantizer* q = self;
  const d2c_type* type = &weight->type;
  if (type->rank != 2 || type->dims[0] < 1 || type->dims[1] < 1 || type->dims[1] > INT32_MAX)
    return refuse(q, D2C_USAGE, weight->name, "only matrices can be stored by their signs; leave this one dense");
  memset(out, 0, sizeof *out);
  out->struct_size = sizeof *out;
  out->scheme = D2C_SCHEME_PALETTE;
  out->input_dtype = D2C_F32;
  out->padded_rows = type->dims[0];
  out->tile_rows = 8; /* eight rows of bits are whole bytes, whatever the width */
  out->bits = 1;
  out->job_bytes = sizeof(job);
  out->plane_count = 2;
  out->planes[0] = (d2c_plane){D2C_PLANE_INDICES, 0, *type, 1};
  out->planes[0].type.dtype = D2C_U1;
  out->planes[1] = (d2c_plane){D2C_PLANE_LUT, 0, {D2C_F16, 4, {type->dims[0], 1, 2, 1}}, 1};
  snprintf(out->label, sizeof out->label, "signs, 1 bit");
  return D2C_OK;
}

static d2c_code begin(void* self, const d2c_weight_desc* weight, void** out) {
  job* j = malloc(sizeof *j);
  if (j == NULL) return refuse(self, D2C_RESOURCE, weight->name, "out of memory");
  j->columns = columns_of(&weight->type);
  *out = j;
  return D2C_OK;
}

static d2c_code process(void* self, void* opaque, const d2c_tile* tile, void* const* planes, d2c_tile_stats* stats) {
  const job* j = opaque;
  const float* weights = tile->data;
  uint8_t* bits = planes[0];
  uint16_t* lut = planes[1];
  memset(bits, 0, (size_t)((tile->rows * j->columns + 7) / 8));
  for (int64_t row = 0; row < tile->rows; ++row) {
    const int64_t first = row * j->columns;
    double sum = 0;
    for (int64_t c = 0; c < j->columns; ++c) sum += fabs((double)weights[first + c]);
    if (!isfinite(sum))
      return refuse(self, D2C_INPUT, "a weight", "holds an infinity or NaN, which has no sign to store");
    const uint16_t mean = to_half(sum / (double)j->columns);
    lut[2 * row] = mean | 0x8000;
    lut[2 * row + 1] = mean;
    for (int64_t i = first; i < first + j->columns; ++i) {
      const int positive = weights[i] > 0;
      bits[i / 8] |= (uint8_t)(positive << i % 8);
      const double error = fabs(weights[i] - (positive ? from_half(mean) : -from_half(mean)));
      stats->squared_error += error * error;
      stats->squared_sum += (double)weights[i] * weights[i];
      if (error > stats->max_error) stats->max_error = error;
    }
    stats->groups += 1;
  }
  return D2C_OK;
}

static void end(void* self, void* opaque) {
  (void)self;
  free(opaque);
}

static d2c_code create(const d2c_host* host, const d2c_value* options, void** out) {
  (void)options; /* there are none, and the host refuses any */
  quantizer* q = calloc(1, sizeof *q);
  if (q == NULL) return host->fail(host->self, D2C_RESOURCE, "out of memory");
  q->c = (d2c_quantizer){.struct_size = sizeof q->c,
                         .self = q,
                         .destroy = free,
                         .plan = plan,
                         .begin = begin,
                         .process = process,
                         .end = end};
  q->host = host;
  *out = &q->c;
  return D2C_OK;
}

static const d2c_factory quantizers = {sizeof(d2c_factory), NULL, 0, create, NULL};
static const char* const kinds[] = {D2C_QUANTIZER, NULL};

static const d2c_factory* factory(const char* kind) { return strcmp(kind, D2C_QUANTIZER) == 0 ? &quantizers : NULL; }

D2C_EXPORT const d2c_plugin_entry d2c_plugin = {D2C_ABI_MAGIC,
                                                D2C_ABI_MAJOR,
                                                D2C_ABI_MINOR,
                                                sizeof(d2c_plugin_entry),
                                                "quant_sign_c",
                                                "1.0.0",
                                                "Signs of weights, written in C.",
                                                kinds,
                                                factory};
