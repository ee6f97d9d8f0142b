/* The only binary contract between the dolphin2coreml host and a plugin: plain C11, no dependency but the standard headers.
 *
 * A plugin is a shared library that exports one data symbol, `d2c_plugin`. The host reads it, asks it for the
 * factories of the kinds it lists, creates objects with options from the recipe and calls them.
 *
 * Rules that hold everywhere
 *   - Every struct that can grow starts with `struct_size`, set by whoever fills it. Fields are only ever appended;
 *     a reader touches a field only if `struct_size` covers it. Structs without `struct_size` never change.
 *   - A pointer handed to a function is valid during that call, unless its comment says more. Who allocates frees.
 *   - Text is UTF-8 and NUL-terminated. Tensors are row-major, packed, little-endian; sub-byte elements form one
 *     bit stream, least significant bit first, rows not byte-aligned.
 *   - Functions that can fail return a d2c_code after telling the host why through `d2c_host.fail`. No C++ exception
 *     and no longjmp may cross this boundary.
 *   - [any-thread] functions may run concurrently on one object; all others are called by one thread at a time.
 *
 * Draft: the struct layouts freeze with the third-party conformance kit; until then the minor version may move.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define D2C_ABI_MAGIC 0x50433244u /* "D2CP" */
#define D2C_ABI_MAJOR 1
#define D2C_ABI_MINOR 0
#define D2C_SDK_VERSION "1.0.0"
#define D2C_MAX_RANK 8
#define D2C_MAX_PLANES 4

#if defined(_WIN32)
#define D2C_EXPORT __declspec(dllexport)
#else
#define D2C_EXPORT __attribute__((visibility("default")))
#endif

/* ---------------------------------------------------------------- results */

/* The values are the program's exit codes, so an error keeps its class all the way out. */
typedef int32_t d2c_code;
enum {
  D2C_OK = 0,
  D2C_CHECK_FAILED = 1, /* a verification did not hold */
  D2C_USAGE = 2,        /* command line, recipe or option */
  D2C_INPUT = 3,        /* bad, missing or unreadable input */
  D2C_NETWORK = 4,
  D2C_RESOURCE = 5, /* memory, disk, locks */
  D2C_PLUGIN = 6,   /* a plugin misbehaved or could not be loaded; internal errors too */
  D2C_INTERRUPTED = 130
};

/* ---------------------------------------------------------------- element types */

typedef int32_t d2c_dtype;
enum {
  D2C_DTYPE_NONE = 0,
  D2C_BOOL = 1,
  D2C_STRING = 2, /* constants only: one NUL-terminated string, rank 0 */
  D2C_F16 = 10,
  D2C_F32 = 11,
  D2C_F64 = 12,
  D2C_BF16 = 13,
  D2C_I8 = 21,
  D2C_I16 = 22,
  D2C_I32 = 23,
  D2C_I64 = 24,
  D2C_I4 = 25,
  D2C_U8 = 31,
  D2C_U16 = 32,
  D2C_U32 = 33,
  D2C_U64 = 34,
  D2C_U4 = 35,
  D2C_U2 = 36,
  D2C_U1 = 37,
  D2C_U6 = 38,
  D2C_U3 = 39
}; /* numbered as MIL numbers its DataType */

typedef struct d2c_type {
  d2c_dtype dtype;
  int32_t rank; /* 0..D2C_MAX_RANK; 0 is a scalar */
  int64_t dims[D2C_MAX_RANK];
} d2c_type;

typedef struct d2c_tensor {
  d2c_type type;
  const void* data;
  size_t size; /* bytes */
} d2c_tensor;

/* ---------------------------------------------------------------- option and config values */

typedef int32_t d2c_value_kind;
enum {
  D2C_VALUE_NULL = 0,
  D2C_VALUE_BOOL = 1,
  D2C_VALUE_INTEGER = 2,
  D2C_VALUE_REAL = 3,
  D2C_VALUE_TEXT = 4,
  D2C_VALUE_LIST = 5,
  D2C_VALUE_TABLE = 6
};

/* One node of a JSON-like tree. Only the member that `kind` names is meaningful. */
typedef struct d2c_value {
  d2c_value_kind kind;
  int32_t boolean;
  int64_t integer;
  double real;
  const char* text;
  size_t count;                  /* LIST, TABLE: number of items */
  const struct d2c_value* items; /* LIST, TABLE */
  const char* const* keys;       /* TABLE: keys[i] belongs to items[i], in file order */
} d2c_value;

/* Describes one option of a factory. The host checks recipes against it and generates the JSON Schema from it. */
typedef struct d2c_option_spec {
  size_t struct_size;
  const char* name;
  d2c_value_kind kind;
  const char* default_json; /* JSON text; NULL: required */
  const char* allowed_json; /* JSON list of the allowed values; NULL: any of `kind` */
  const char* help;         /* one sentence */
} d2c_option_spec;

/* ---------------------------------------------------------------- the host, as a plugin sees it */

typedef int32_t d2c_log_level;
enum { D2C_LOG_DEBUG = 0, D2C_LOG_INFO = 1, D2C_LOG_WARN = 2, D2C_LOG_ERROR = 3 };

/* Outlives every object of the plugin. */
typedef struct d2c_host {
  size_t struct_size;
  void* self;
  /* [any-thread] One line, no trailing newline. */
  void (*log)(void* self, d2c_log_level level, const char* text);
  /* [any-thread] Records the message of the failing call on the calling thread and returns `code`, so that a plugin
   * can write `return host->fail(host->self, D2C_INPUT, "...")`. Say what, where, and what to do. */
  d2c_code (*fail)(void* self, d2c_code code, const char* message);
  /* [any-thread] Non-zero once the user asked to stop; long calls return D2C_INTERRUPTED soon after. */
  int32_t (*cancelled)(void* self);
} d2c_host;

/* ---------------------------------------------------------------- weights */

typedef struct d2c_tensor_info {
  size_t struct_size;
  const char* name; /* Hugging Face name, e.g. "model.layers.0.self_attn.q_proj.weight" */
  d2c_type type;    /* dtype is what views deliver: F16, BF16 or F32 for weights */
  uint32_t file;    /* index into the source's files */
} d2c_tensor_info;

/* Bytes lent by a plugin until `release` is called (exactly once, from any thread). */
typedef struct d2c_view {
  const void* data;
  size_t size;
  void* token;
  void (*release)(struct d2c_view* view);
} d2c_view;

typedef struct d2c_asset {
  size_t struct_size;
  const char* name; /* file name without a folder: "tokenizer.json" */
  const void* data; /* valid as long as the source */
  size_t size;
} d2c_asset;

/* Interface "d2c.weight_source/1". Created with {"path": text, ...options}. */
typedef struct d2c_weight_source {
  size_t struct_size;
  void* self;
  void (*destroy)(void* self);
  /* The model's config.json (or its equivalent), a TABLE valid as long as the source. */
  const d2c_value* (*config)(void* self);
  size_t (*tensor_count)(void* self);
  d2c_code (*tensor)(void* self, size_t index, d2c_tensor_info* out);
  /* [any-thread] Rows [first, first+count) of axis 0 (a scalar has one row). Resident memory grows by the view only. */
  d2c_code (*view)(void* self, size_t index, int64_t first, int64_t count, d2c_view* out);
  /* Files this source reads, for identity and provenance; absolute paths, valid as long as the source. */
  size_t (*file_count)(void* self);
  const char* (*file)(void* self, size_t index);
  /* Tokenizer and generation files to ship with the package. */
  size_t (*asset_count)(void* self);
  d2c_code (*asset)(void* self, size_t index, d2c_asset* out);
} d2c_weight_source;

/* ---------------------------------------------------------------- adapters */

enum {
  D2C_TARGET_PREPARE = 1,     /* needs `observe` over the whole tensor before `process` */
  D2C_TARGET_LOW_RANK = 2,    /* `factor` can express the whole change as B*A */
  D2C_TARGET_HEAD_FOLLOWS = 4 /* the embedding of a tied model: its head becomes the same and is no target of its own */
};

typedef struct d2c_adapter_target {
  size_t struct_size;
  const char* tensor; /* the base tensor that changes */
  int32_t rank;       /* of the low-rank parts of the change together; 0 without any */
  int32_t flags;      /* D2C_TARGET_* */
  int64_t rows;       /* of the merged tensor where a vocabulary grew, 0 for as many as the base has; `observe` and
                         `process` see zeros in place of the rows that the base lacks */
  size_t job_bytes;   /* memory a job takes */
} d2c_adapter_target;

typedef struct d2c_base_model {
  size_t struct_size;
  const d2c_value* config;
  const d2c_tensor_info* tensors;
  size_t tensor_count;
  int32_t
      tied; /* lm_head.weight is absent and embed_tokens serves as the head; then "lm_head.weight" is listed as well */
} d2c_base_model;

typedef int32_t d2c_factor_side;
enum { D2C_FACTOR_A = 0, D2C_FACTOR_B = 1 }; /* change = B*A, B [out, rank] with every scale folded in, A [rank, in] */

/* Interface "d2c.adapter_merger/1": one ordered stack of adapters over one base model.
 * Created with {"adapters": [{"path": text, "weight": real}...], "combination": text, ...options}. */
typedef struct d2c_adapter_merger {
  size_t struct_size;
  void* self;
  void (*destroy)(void* self);
  /* Called once, before anything below. An adapter tensor or target that matches nothing in `base` is an error. */
  d2c_code (*bind)(void* self, const d2c_base_model* base);
  size_t (*target_count)(void* self);
  d2c_code (*target)(void* self, size_t index, d2c_adapter_target* out);
  /* [any-thread] One job per tensor being merged. Tiles are whole rows, fp32, rows x columns. */
  d2c_code (*begin)(void* self, const char* tensor, void** job);
  /* Base tiles in row order, each once; only for D2C_TARGET_PREPARE. */
  d2c_code (*observe)(void* self, void* job, int64_t first_row, int64_t rows, const float* weights);
  /* [any-thread] Turns the base tile into the merged tile in place. */
  d2c_code (*process)(void* self, void* job, int64_t first_row, int64_t rows, float* weights);
  void (*end)(void* self, void* job);
  /* [any-thread] D2C_TARGET_LOW_RANK only. Fills `type`; fills `out` too unless it is NULL (type's element count floats). */
  d2c_code (*factor)(void* self, const char* tensor, d2c_factor_side side, d2c_type* type, float* out);
  size_t (*file_count)(void* self);
  const char* (*file)(void* self, size_t index);
  /* One line about the stack for reports, e.g. "chat-lora (r=16, 224 tensors)"; valid as long as the merger. */
  const char* (*summary)(void* self);
} d2c_adapter_merger;

/* ---------------------------------------------------------------- quantizers */

typedef int32_t d2c_scheme;
enum {
  D2C_SCHEME_DENSE = 0,
  D2C_SCHEME_PALETTE = 1,  /* planes INDICES [dims], LUT [dims / group..., 2^bits, vector] */
  D2C_SCHEME_BLOCKWISE = 2 /* planes DATA [dims], SCALE [dims / block], optional OFFSET: scale * (data - offset) */
};

typedef int32_t d2c_plane_role;
enum {
  D2C_PLANE_DENSE = 0,
  D2C_PLANE_INDICES = 1,
  D2C_PLANE_LUT = 2,
  D2C_PLANE_DATA = 3,
  D2C_PLANE_SCALE = 4,
  D2C_PLANE_OFFSET = 5
};

typedef struct d2c_plane {
  d2c_plane_role role;
  int32_t reserved;
  d2c_type type;
  int64_t
      rows_per_slice; /* weight rows covered by one step of the plane's axis 0; 0: written whole by the tile at row 0 */
} d2c_plane;

/* How one weight is stored: everything the plan needs, from the shape alone. */
typedef struct d2c_layout {
  size_t struct_size;
  d2c_scheme scheme;
  d2c_dtype input_dtype; /* what tiles hold: D2C_F16 or D2C_F32 */
  int64_t padded_rows;   /* >= rows; the host appends zero rows and reports them */
  int64_t tile_rows;     /* tiles start at multiples of this; every plane is then byte-aligned at tile edges */
  int32_t needs_observe; /* `observe` must see the whole tensor first */
  int32_t bits;          /* per element, for reports; 16 and 32 for dense */
  size_t scratch_bytes;  /* memory the plugin itself takes per concurrent `process` */
  size_t job_bytes;      /* memory the plugin itself takes per job */
  uint32_t plane_count;
  uint32_t reserved;
  d2c_plane planes[D2C_MAX_PLANES];
  char label[48]; /* for people, e.g. "palette 4-bit, groups of 16" */
} d2c_layout;

typedef struct d2c_weight_desc {
  size_t struct_size;
  const char* name;
  const char* role; /* "attention", "mlp", "embedding", "lm_head", "norm", "bias", "lora" */
  d2c_type type;    /* logical shape before padding; rank >= 2 */
} d2c_weight_desc;

typedef struct d2c_tile {
  int64_t first_row;
  int64_t rows;     /* a multiple of tile_rows, except for the last tile */
  const void* data; /* rows x (product of the other dims), of layout.input_dtype */
} d2c_tile;

/* Over the elements of one tile, padding rows left out. */
typedef struct d2c_tile_stats {
  size_t struct_size;
  double squared_error; /* against the tile as given */
  double squared_sum;   /* of the tile as given */
  double max_error;
  int64_t groups;           /* groups solved */
  int64_t groups_certified; /* groups proved optimal */
  int64_t distinct_values;  /* summed over groups */
  double excess_bound;      /* squared_error lies at most this much above what exact solving would reach */
} d2c_tile_stats;

/* Interface "d2c.quantizer/1". Created with its options. */
typedef struct d2c_quantizer {
  size_t struct_size;
  void* self;
  void (*destroy)(void* self);
  /* [any-thread] Fails with D2C_USAGE where the options cannot serve this shape. */
  d2c_code (*plan)(void* self, const d2c_weight_desc* weight, d2c_layout* out);
  d2c_code (*begin)(void* self, const d2c_weight_desc* weight, void** job);
  /* Tiles in row order, each once; only with layout.needs_observe. */
  d2c_code (*observe)(void* self, void* job, const d2c_tile* tile);
  /* [any-thread] planes[i] receives the bytes of plane i for this tile; NULL for a whole plane unless first_row is 0. */
  d2c_code (*process)(void* self, void* job, const d2c_tile* tile, void* const* planes, d2c_tile_stats* stats);
  void (*end)(void* self, void* job);
} d2c_quantizer;

/* ---------------------------------------------------------------- graphs */

typedef uint32_t d2c_value_id;

typedef int32_t d2c_weight_part;
enum { D2C_PART_FULL = 0, D2C_PART_LORA_A = 1, D2C_PART_LORA_B = 2 };

/* Names a weight without touching it. Equal references are one blob. */
typedef struct d2c_weight_ref {
  size_t struct_size;
  uint32_t source;    /* as in the emit request */
  const char* tensor; /* base tensor name */
  const char* stack;  /* adapter stack, "" for none */
  d2c_weight_part part;
  const char* role; /* see d2c_weight_desc */
  d2c_type type;    /* the logical shape expected; dtype ignored. Parts of an adapter: rank 0, the host knows */
} d2c_weight_ref;

typedef struct d2c_argument {
  const char* name;           /* MIL parameter name */
  const d2c_value_id* values; /* several only where MIL is variadic (`values` of concat and stack) */
  size_t count;
} d2c_argument;

/* Builds one MIL function. Every op is shape-checked as it is added, so a wrong graph fails with the op's name.
 * Names are hints made unique and legal by the host. */
typedef struct d2c_graph_builder {
  size_t struct_size;
  void* self;
  d2c_code (*input)(void* self, const char* name, const d2c_type* type, d2c_value_id* out);
  d2c_code (*state)(void* self, const char* name, const d2c_type* type, d2c_value_id* out);
  /* Copied; equal constants are one value. */
  d2c_code (*constant)(void* self, const char* name, const d2c_tensor* value, d2c_value_id* out);
  /* The value may have more rows than the reference asked for: rows padded for the quantizer. Slice them off. */
  d2c_code (*weight)(void* self, const d2c_weight_ref* ref, d2c_value_id* out);
  d2c_code (*op)(void* self, const char* type, const char* name, const d2c_argument* arguments, size_t argument_count,
                 d2c_value_id* results, size_t result_count);
  d2c_code (*output)(void* self, d2c_value_id value, const char* name);
  d2c_code (*type_of)(void* self, d2c_value_id value, d2c_type* out);
  /* Does the source hold this tensor (a tied head counts as "lm_head.weight")? */
  int32_t (*has_tensor)(void* self, uint32_t source, const char* tensor);
  /* Rank of the stack's low-rank change of a tensor; 0 where the stack leaves it alone. */
  int32_t (*adapter_rank)(void* self, const char* stack, const char* tensor);
  /* A metadata entry of the package: key "d2c.*", value JSON text. Set twice with different text: an error. */
  d2c_code (*metadata)(void* self, const char* key, const char* json);
} d2c_graph_builder;

typedef struct d2c_delta {
  const char* stack;
  double sign; /* +1 or -1 */
} d2c_delta;

typedef struct d2c_emit_request {
  size_t struct_size;
  const char* function; /* name of the function to build */
  uint32_t source;      /* where full weights come from */
  uint32_t delta_count;
  const char* stack;         /* stack merged into full weights */
  const d2c_delta* deltas;   /* low-rank changes to add as unmerged matmuls */
  const d2c_value* config;   /* config.json of `source` */
  const d2c_value* settings; /* resolved recipe tables: {"graph": {...}, "encoder": {...}} */
} d2c_emit_request;

/* Interface "d2c.function_emitter/1". Created with its options. */
typedef struct d2c_function_emitter {
  size_t struct_size;
  void* self;
  void (*destroy)(void* self);
  d2c_code (*emit)(void* self, const d2c_emit_request* request, const d2c_graph_builder* builder);
} d2c_function_emitter;

/* ---------------------------------------------------------------- finished programs, as writers see them */

typedef int32_t d2c_node_kind;
enum { D2C_NODE_INPUT = 0, D2C_NODE_STATE = 1, D2C_NODE_CONSTANT = 2, D2C_NODE_WEIGHT = 3, D2C_NODE_RESULT = 4 };

typedef struct d2c_node {
  const char* name; /* unique in its function, a legal MIL identifier */
  d2c_node_kind kind;
  uint32_t index; /* CONSTANT, WEIGHT: into the program's tables */
  d2c_type type;
} d2c_node;

typedef struct d2c_op {
  const char* type;
  const char* name;
  const d2c_argument* arguments; /* ids index the function's nodes */
  size_t argument_count;
  const d2c_value_id* results;
  size_t result_count;
} d2c_op;

typedef struct d2c_function {
  size_t struct_size;
  const char* name;
  const d2c_node* nodes;
  size_t node_count;
  const d2c_op* ops; /* topological order */
  size_t op_count;
  const d2c_value_id* outputs; /* node names are the feature names */
  size_t output_count;
} d2c_function;

typedef struct d2c_weight {
  size_t struct_size;
  const char* name; /* legal MIL identifier, unique among weights */
  const char* key;  /* canonical reference, for reports */
  d2c_type type;    /* of the expanded weight, padded rows included */
  const d2c_layout* layout;
} d2c_weight;

typedef struct d2c_entry {
  const char* key;
  const char* value;
} d2c_entry;

typedef struct d2c_program {
  size_t struct_size;
  const d2c_function* functions; /* arrays here and below: the stride is the first element's struct_size */
  size_t function_count;
  const char* default_function;
  const d2c_tensor* constants;
  size_t constant_count;
  const d2c_weight* weights;
  size_t weight_count;
  const char* deployment; /* "iOS18" */
} d2c_program;

/* Where the bytes of one plane of one weight will lie. */
typedef struct d2c_blob {
  size_t struct_size;
  const char* file; /* relative to the package; valid as long as the writer */
  uint64_t offset;
  uint64_t size;
} d2c_blob;

typedef struct d2c_attachment {
  const char* name; /* file name; the writer chooses the folder */
  const void* data;
  size_t size;
} d2c_attachment;

typedef struct d2c_package_info {
  size_t struct_size;
  const char* description;
  const char* author;
  const char* license;
  const char* version;
  const d2c_entry* metadata; /* sorted by key */
  size_t metadata_count;
  const d2c_attachment* attachments;
  size_t attachment_count;
} d2c_package_info;

/* Interface "d2c.package_writer/1". Created with its options. One package per object, in the order of the functions. */
typedef struct d2c_package_writer {
  size_t struct_size;
  void* self;
  void (*destroy)(void* self);
  /* Lays every blob out. `program` stays valid until destroy(). `file_bytes`: exact size of all weight files. */
  d2c_code (*plan)(void* self, const d2c_program* program, uint64_t* file_bytes);
  d2c_code (*blob)(void* self, size_t weight, size_t plane, d2c_blob* out);
  /* `directory` exists; it may hold an interrupted earlier attempt of the same plan, whose blobs must be kept. */
  d2c_code (*begin)(void* self, const char* directory);
  /* [any-thread] Writes bytes of a plane at `offset` inside it. */
  d2c_code (*write)(void* self, size_t weight, size_t plane, uint64_t offset, const void* data, size_t size);
  /* [any-thread] Makes durable what was written before the call. */
  d2c_code (*sync)(void* self);
  /* Completes the package in `directory` and makes every file durable. The host renames it into place. */
  d2c_code (*finish)(void* self, const d2c_package_info* info);
} d2c_package_writer;

/* ---------------------------------------------------------------- runners */

typedef struct d2c_feature {
  const char* name;
  d2c_type type;
} d2c_feature;

typedef struct d2c_signature {
  size_t struct_size;
  const char* function;
  const d2c_feature* inputs;
  size_t input_count;
  const d2c_feature* states;
  size_t state_count;
  const d2c_feature* outputs;
  size_t output_count;
} d2c_signature;

typedef struct d2c_buffer {
  const char* name;
  void* data;
  size_t size; /* must equal the feature's bytes */
} d2c_buffer;

/* Interface "d2c.runner/1". Created with {"path": package, ...options}. */
typedef struct d2c_runner {
  size_t struct_size;
  void* self;
  void (*destroy)(void* self);
  size_t (*function_count)(void* self);
  d2c_code (*signature)(void* self, size_t index, d2c_signature* out);
  /* Zero-filled states of a session, shared by name between functions. */
  d2c_code (*make_state)(void* self, void** state);
  void (*free_state)(void* self, void* state);
  /* [any-thread] with one call per state at a time. `state` may be NULL for a function without states. */
  d2c_code (*call)(void* self, const char* function, void* state, const d2c_buffer* inputs, size_t input_count,
                   const d2c_buffer* outputs, size_t output_count);
  /* A TABLE valid as long as the runner: "metadata" {key: text}, "weight_bytes" (as stored, mapped), "state_bytes" of one
   * session, "scratch_bytes" {function: working memory}. */
  d2c_code (*describe)(void* self, const d2c_value** out);
  /* The bytes of one named state, in place, valid until free_state(). Not while a call uses the state. */
  d2c_code (*state_buffer)(void* self, void* state, const char* name, d2c_buffer* out);
} d2c_runner;

/* ---------------------------------------------------------------- finished packages, read back */

/* Interface "d2c.package_reader/1". Created with {"path": package, ...options}. */
typedef struct d2c_package_reader {
  size_t struct_size;
  void* self;
  void (*destroy)(void* self);
  /* A TABLE valid as long as the reader: "format", "functions" [{name, inputs, states, outputs, ops}],
   * "weights" [{name, shape, scheme, bits, bytes, functions}], "weight_bytes", "metadata". */
  d2c_code (*describe)(void* self, const d2c_value** out);
  /* [any-thread] Rows [first, first + count) of axis 0 of the weight at `index` of "weights", as numbers whatever their
   * storage. `out` holds count x (product of the other dims). */
  d2c_code (*rows)(void* self, size_t index, int64_t first, int64_t count, float* out);
} d2c_package_reader;

/* ---------------------------------------------------------------- models that are not on this machine yet */

typedef int32_t d2c_fetch_purpose;
enum { D2C_FETCH_MODEL = 0, D2C_FETCH_ADAPTER = 1 };

typedef struct d2c_fetch_request {
  size_t struct_size;
  const char* id;       /* as the recipe writes it */
  const char* revision; /* "": what the id says, or the default one */
  d2c_fetch_purpose purpose;
  int32_t reserved;
  void* listener;
  /* How much has to be brought, before the first byte of it; not called where everything is here already. */
  void (*begin)(void* listener, uint64_t bytes, uint64_t files);
  /* `bytes` more are here; `file_done` where a file is complete with them. */
  void (*advance)(void* listener, uint64_t bytes, int32_t file_done);
} d2c_fetch_request;

/* Text valid until the fetcher's next call. */
typedef struct d2c_fetched {
  size_t struct_size;
  const char* folder;   /* absolute; the files under their own names, complete and checked */
  const char* name;     /* the id without a revision */
  const char* revision; /* what the request's revision stands for now, as something that never changes */
} d2c_fetched;

/* Interface "d2c.fetcher/1". Created with its options. Its probe scores ids by their form alone. */
typedef struct d2c_fetcher {
  size_t struct_size;
  void* self;
  void (*destroy)(void* self);
  /* Brings a model or an adapter to this machine. Listeners are called on the calling thread. */
  d2c_code (*fetch)(void* self, const d2c_fetch_request* request, d2c_fetched* out);
} d2c_fetcher;

/* ---------------------------------------------------------------- the plugin */

#define D2C_WEIGHT_SOURCE "d2c.weight_source/1"
#define D2C_ADAPTER_MERGER "d2c.adapter_merger/1"
#define D2C_QUANTIZER "d2c.quantizer/1"
#define D2C_FUNCTION_EMITTER "d2c.function_emitter/1"
#define D2C_PACKAGE_WRITER "d2c.package_writer/1"
#define D2C_PACKAGE_READER "d2c.package_reader/1"
#define D2C_RUNNER "d2c.runner/1"
#define D2C_FETCHER "d2c.fetcher/1"

/* Makes objects of one kind. Static data of the plugin. */
typedef struct d2c_factory {
  size_t struct_size;
  const d2c_option_spec* const* options; /* what `create` understands beside the arguments of its kind */
  size_t option_count;
  /* `options` is a TABLE, checked against the specs, with defaults filled in. *out: pointer to the kind's struct. */
  d2c_code (*create)(const d2c_host* host, const d2c_value* options, void** out);
  /* [any-thread] Weight sources, readers, runners and fetchers: 0 "not mine" .. 100 "certainly mine". NULL elsewhere. Reads names and magic bytes only. */
  int32_t (*probe)(const char* path);
} d2c_factory;

typedef struct d2c_plugin_entry {
  uint32_t magic; /* D2C_ABI_MAGIC */
  uint16_t abi_major;
  uint16_t abi_minor;
  size_t struct_size;
  const char* name;         /* [a-z0-9_]+, the library's file name without prefix and suffix */
  const char* version;      /* of the plugin, semver */
  const char* summary;      /* one sentence */
  const char* const* kinds; /* NULL-terminated list of interface ids */
  /* The factory of a listed kind, NULL for any other id. */
  const d2c_factory* (*factory)(const char* kind);
} d2c_plugin_entry;

/* The one exported symbol. */
extern D2C_EXPORT const d2c_plugin_entry d2c_plugin;

#ifdef __cplusplus
} /* extern "C" */
#endif
