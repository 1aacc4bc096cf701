/*
 * Shared by keel's C files. Each file binds one theme and hands its functions to `sys` through keel_register_*;
 * the contract of every function is keel/src/sys.d.ts. A binding checks types, calls, and returns the result or
 * -errno; it decides nothing, and every descriptor it makes is close-on-exec.
 */
#ifndef KEEL_H
#define KEEL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "duktape.h"

/* One entry of a file's table; nargs < 0 means any number of arguments. */
struct keel_function {
  const char *name;
  duk_c_function call;
  int nargs;
};

#define KEEL_VARARGS (-1)

/* Puts the functions on the object at the top of the stack. The table ends with a null name. */
void keel_register(duk_context *ctx, const struct keel_function *table);

void keel_register_text(duk_context *ctx);
void keel_register_process(duk_context *ctx);
/* The program's read-only pages leave the memory of this process. */
void keel_drop_pages(void);
void keel_register_signals(duk_context *ctx);
void keel_register_files(duk_context *ctx);
void keel_register_paths(duk_context *ctx);
void keel_register_mounts(duk_context *ctx);
void keel_register_network(duk_context *ctx);
void keel_register_sockets(duk_context *ctx);
void keel_register_terminals(duk_context *ctx);
void keel_register_relay(duk_context *ctx);
void keel_register_seccomp(duk_context *ctx);
/* layer.c: the unpacker's part. */
void keel_register_layer(duk_context *ctx);

/* A module's byte code, made at build time by the same engine (keel/build/modules.c). */
struct keel_module {
  const char *name;
  const unsigned char *code;
  size_t size;
  /* Size of what `code` inflates to (zlib), or 0: it is as it is. */
  size_t inflated;
  /* A process may begin with it, in a heap of its own. */
  bool alone;
};
extern const struct keel_module keel_modules[];

/* The engine's allocator (heap.c). */
void *keel_alloc(void *data, size_t size);
void *keel_realloc(void *data, void *pointer, size_t size);
void keel_free(void *data, void *pointer);

/* Pushes `result`, or -errno when it is negative; returns 1 as a Duktape function does. */
duk_ret_t keel_result(duk_context *ctx, long result);

/* Arguments. Integers are exact up to 2^53; keel_u64 takes decimal strings too ("-1" is all ones). */
int keel_int(duk_context *ctx, duk_idx_t index);
unsigned int keel_uint(duk_context *ctx, duk_idx_t index);
int64_t keel_long(duk_context *ctx, duk_idx_t index);
uint64_t keel_u64(duk_context *ctx, duk_idx_t index);
/* UTF-8 text; what Duktape keeps as surrogate pairs (CESU-8) is converted. Valid while the argument is. */
const char *keel_string(duk_context *ctx, duk_idx_t index);
/* String or buffer as bytes. */
const void *keel_data(duk_context *ctx, duk_idx_t index, size_t *size);
/* Length of an array argument. */
size_t keel_length(duk_context *ctx, duk_idx_t index);
/* Array of integers into `out`; throws a RangeError when there are more than `max`. */
size_t keel_ints(duk_context *ctx, duk_idx_t index, int *out, size_t max);
/* Null-terminated array of strings in a buffer that stays on the stack: valid until the binding returns. */
char **keel_strings(duk_context *ctx, duk_idx_t index);

#endif
