/* Arguments and results of bindings. */
#include <stdlib.h>
#include <string.h>

#include "keel.h"

duk_ret_t keel_result(duk_context *ctx, long result) {
  duk_push_number(ctx, result < 0 ? -(double)errno : (double)result);
  return 1;
}

int64_t keel_long(duk_context *ctx, duk_idx_t index) {
  double value = duk_require_number(ctx, index);
  if (!(value >= -9007199254740992.0 && value <= 18446744073709549568.0)) {
    return (int64_t)duk_error(ctx, DUK_ERR_RANGE_ERROR, "argument %ld is no 64-bit integer", (long)index);
  }
  /* above 2^63 only as the pattern of bits of an unsigned number */
  return value < 9223372036854775808.0 ? (int64_t)value : (int64_t)(uint64_t)value;
}

int keel_int(duk_context *ctx, duk_idx_t index) { return (int)keel_long(ctx, index); }

unsigned int keel_uint(duk_context *ctx, duk_idx_t index) { return (unsigned int)keel_long(ctx, index); }

uint64_t keel_u64(duk_context *ctx, duk_idx_t index) {
  if (!duk_is_string(ctx, index)) return (uint64_t)keel_long(ctx, index);
  const char *text = duk_get_string(ctx, index);
  char *end;
  errno = 0;
  uint64_t value = strtoull(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0') {
    return (uint64_t)duk_error(ctx, DUK_ERR_RANGE_ERROR, "argument %ld is no 64-bit integer: %s", (long)index, text);
  }
  return value;
}

/* Bytes of a surrogate pair in CESU-8: ED A0-AF xx ED B0-BF xx. */
static int is_pair(const unsigned char *p, const unsigned char *end) {
  return end - p >= 6 && p[0] == 0xed && (p[1] & 0xf0) == 0xa0 && p[3] == 0xed && (p[4] & 0xf0) == 0xb0;
}

/* Copies with every surrogate pair turned into the four bytes of UTF-8; returns the new size. */
static size_t join_pairs(const unsigned char *from, size_t size, unsigned char *to) {
  const unsigned char *end = from + size;
  unsigned char *at = to;
  while (from < end) {
    if (!is_pair(from, end)) {
      *at++ = *from++;
      continue;
    }
    unsigned int high = ((from[1] & 0x0fu) << 6) | (from[2] & 0x3fu);
    unsigned int low = ((from[4] & 0x0fu) << 6) | (from[5] & 0x3fu);
    unsigned int code = 0x10000u + (high << 10) + low;
    *at++ = (unsigned char)(0xf0 | (code >> 18));
    *at++ = (unsigned char)(0x80 | ((code >> 12) & 0x3f));
    *at++ = (unsigned char)(0x80 | ((code >> 6) & 0x3f));
    *at++ = (unsigned char)(0x80 | (code & 0x3f));
    from += 6;
  }
  return (size_t)(at - to);
}

/* The string at an absolute index as UTF-8; a converted copy replaces it on the stack, so that it lives as long. */
static const char *utf8(duk_context *ctx, duk_idx_t index, size_t *size) {
  const char *text = duk_require_lstring(ctx, index, size);
  if (!memchr(text, 0xed, *size)) return text;
  const unsigned char *bytes = (const unsigned char *)text;
  size_t i = 0;
  while (i < *size && !is_pair(bytes + i, bytes + *size)) i++;
  if (i == *size) return text;
  unsigned char *copy = duk_push_fixed_buffer(ctx, *size + 1);
  *size = join_pairs(bytes, *size, copy);
  duk_push_lstring(ctx, (const char *)copy, *size);
  duk_replace(ctx, index);
  duk_pop(ctx);
  return duk_require_lstring(ctx, index, size);
}

const char *keel_string(duk_context *ctx, duk_idx_t index) {
  size_t size;
  const char *text = utf8(ctx, duk_require_normalize_index(ctx, index), &size);
  /* a path that ends early would name another file than the one that was checked */
  if (memchr(text, 0, size)) return (const char *)(intptr_t)duk_error(ctx, DUK_ERR_TYPE_ERROR, "NUL in argument %ld", (long)index);
  return text;
}

const void *keel_data(duk_context *ctx, duk_idx_t index, size_t *size) {
  if (duk_is_string(ctx, index)) return utf8(ctx, duk_require_normalize_index(ctx, index), size);
  return duk_require_buffer_data(ctx, index, size);
}

size_t keel_length(duk_context *ctx, duk_idx_t index) {
  duk_require_object(ctx, index);
  return duk_get_length(ctx, index);
}

size_t keel_ints(duk_context *ctx, duk_idx_t index, int *out, size_t max) {
  size_t count = keel_length(ctx, index);
  if (count > max) return (size_t)duk_error(ctx, DUK_ERR_RANGE_ERROR, "more than %lu values", (unsigned long)max);
  for (size_t i = 0; i < count; i++) {
    duk_get_prop_index(ctx, index, (duk_uarridx_t)i);
    out[i] = keel_int(ctx, -1);
    duk_pop(ctx);
  }
  return count;
}

char **keel_strings(duk_context *ctx, duk_idx_t index) {
  index = duk_require_normalize_index(ctx, index);
  size_t count = keel_length(ctx, index);
  char **out = duk_push_fixed_buffer(ctx, (count + 1) * sizeof(char *));
  duk_require_stack(ctx, (duk_idx_t)count + 8);
  for (size_t i = 0; i < count; i++) {
    /* each string stays on the stack: a converted one is referenced from nowhere else */
    duk_get_prop_index(ctx, index, (duk_uarridx_t)i);
    out[i] = (char *)keel_string(ctx, -1);
  }
  out[count] = NULL;
  return out;
}
