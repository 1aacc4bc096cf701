/* Texts, numbers, clocks, digests. */
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "keel.h"

static duk_ret_t errno_name(duk_context *ctx) {
  static const struct {
    int number;
    const char *name;
  } names[] = {
#define NAME(e) {e, #e}
      NAME(EPERM),       NAME(ENOENT),       NAME(ESRCH),        NAME(EINTR),       NAME(EIO),          NAME(ENXIO),
      NAME(E2BIG),       NAME(ENOEXEC),      NAME(EBADF),        NAME(ECHILD),      NAME(EAGAIN),       NAME(ENOMEM),
      NAME(EACCES),      NAME(EFAULT),       NAME(ENOTBLK),      NAME(EBUSY),       NAME(EEXIST),       NAME(EXDEV),
      NAME(ENODEV),      NAME(ENOTDIR),      NAME(EISDIR),       NAME(EINVAL),      NAME(ENFILE),       NAME(EMFILE),
      NAME(ENOTTY),      NAME(ETXTBSY),      NAME(EFBIG),        NAME(ENOSPC),      NAME(ESPIPE),       NAME(EROFS),
      NAME(EMLINK),      NAME(EPIPE),        NAME(ERANGE),       NAME(EDEADLK),     NAME(ENAMETOOLONG), NAME(ENOLCK),
      NAME(ENOSYS),      NAME(ENOTEMPTY),    NAME(ELOOP),        NAME(ENODATA),     NAME(EOVERFLOW),    NAME(EILSEQ),
      NAME(EUSERS),      NAME(ENOTSOCK),     NAME(EMSGSIZE),     NAME(EPROTO),      NAME(EOPNOTSUPP),   NAME(EADDRINUSE),
      NAME(ENETDOWN),    NAME(ECONNABORTED), NAME(ECONNRESET),   NAME(ENOBUFS),     NAME(ENOTCONN),     NAME(ETIMEDOUT),
      NAME(ECONNREFUSED), NAME(EALREADY),    NAME(EINPROGRESS),  NAME(ESTALE),      NAME(EDQUOT),       NAME(ECANCELED),
      NAME(ENOKEY),      NAME(EKEYREJECTED), NAME(EOWNERDEAD),
#undef NAME
  };
  int number = keel_int(ctx, 0);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (names[i].number == number) {
      duk_push_string(ctx, names[i].name);
      return 1;
    }
  }
  duk_push_sprintf(ctx, "errno %d", number);
  return 1;
}

static duk_ret_t errno_text(duk_context *ctx) {
  int number = keel_int(ctx, 0);
  /* callers of runtimes match Go's texts, which are the C library's with a small first letter, but for these */
  if (number == ENOEXEC) duk_push_string(ctx, "exec format error");
  else if (number == EBUSY) duk_push_string(ctx, "device or resource busy");
  else {
    char text[128];
    snprintf(text, sizeof text, "%s", strerror(number));
    if (text[0] >= 'A' && text[0] <= 'Z' && !(text[1] >= 'A' && text[1] <= 'Z') && text[1] != '/') text[0] = (char)(text[0] + 32);
    duk_push_string(ctx, text);
  }
  return 1;
}

/* Doubles hold 15 digits exactly: a longer integer literal becomes a string. Fractions and exponents stay numbers. */
static duk_ret_t quote_long_integers(duk_context *ctx) {
  size_t size;
  const char *text = duk_require_lstring(ctx, 0, &size);
  char *out = NULL;
  size_t used = 0;
  size_t copied = 0;
  for (size_t i = 0; i < size;) {
    char c = text[i];
    if (c == '"') {
      for (i++; i < size && text[i] != '"'; i++) {
        if (text[i] == '\\') i++;
      }
      i++;
      continue;
    }
    if (c < '0' || c > '9') {
      i++;
      continue;
    }
    size_t first = i > 0 && text[i - 1] == '-' ? i - 1 : i;
    size_t digits = i;
    while (i < size && text[i] >= '0' && text[i] <= '9') i++;
    int integer = i >= size || (text[i] != '.' && text[i] != 'e' && text[i] != 'E');
    if (!integer) {
      while (i < size && ((text[i] >= '0' && text[i] <= '9') || memchr(".eE+-", text[i], 5))) i++;
      continue;
    }
    if (i - digits <= 15) continue;
    /* at least 16 bytes give two quotes, so 9/8 of the size is always enough */
    if (!out) out = duk_push_fixed_buffer(ctx, size + size / 8 + 4);
    memcpy(out + used, text + copied, first - copied);
    used += first - copied;
    out[used++] = '"';
    memcpy(out + used, text + first, i - first);
    used += i - first;
    out[used++] = '"';
    copied = i;
  }
  if (!out) {
    duk_dup(ctx, 0);
    return 1;
  }
  memcpy(out + used, text + copied, size - copied);
  duk_push_lstring(ctx, out, used + size - copied);
  return 1;
}

static duk_ret_t clock_realtime(duk_context *ctx) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  duk_push_array(ctx);
  duk_push_number(ctx, (double)now.tv_sec);
  duk_put_prop_index(ctx, -2, 0);
  duk_push_number(ctx, (double)now.tv_nsec);
  duk_put_prop_index(ctx, -2, 1);
  return 1;
}

static duk_ret_t clock_monotonic_us(duk_context *ctx) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  duk_push_number(ctx, (double)now.tv_sec * 1e6 + (double)(now.tv_nsec / 1000));
  return 1;
}

static duk_ret_t rfc3339_nano(duk_context *ctx) {
  struct timespec now;
  struct tm date;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &date);
  /* not strftime: the library's reads the time zone's file for it */
  char text[96];
  snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", date.tm_year + 1900, date.tm_mon + 1, date.tm_mday,
           date.tm_hour, date.tm_min, date.tm_sec, now.tv_nsec);
  duk_push_string(ctx, text);
  return 1;
}

static duk_ret_t sha256(duk_context *ctx) {
  size_t size;
  const void *data = keel_data(ctx, 0, &size);
  struct sha256_ctx hash;
  uint8_t digest[SHA256_DIGEST_SIZE];
  char hex[2 * SHA256_DIGEST_SIZE + 1];
  sha256_init(&hash);
  sha256_update(&hash, size, data);
  sha256_digest(&hash, sizeof digest, digest);
  for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
  duk_push_string(ctx, hex);
  return 1;
}

static duk_ret_t strlen_utf8(duk_context *ctx) {
  size_t size;
  keel_data(ctx, 0, &size);
  duk_push_number(ctx, (double)size);
  return 1;
}

static duk_ret_t bytes_from_string(duk_context *ctx) {
  size_t size;
  const void *data = keel_data(ctx, 0, &size);
  memcpy(duk_push_fixed_buffer(ctx, size), data, size);
  return 1;
}

static duk_ret_t string_from_bytes(duk_context *ctx) {
  size_t size;
  const char *data = duk_require_buffer_data(ctx, 0, &size);
  int64_t start = keel_long(ctx, 1);
  int64_t end = keel_long(ctx, 2);
  if (end > (int64_t)size) end = (int64_t)size;
  if (start < 0 || start > end) return duk_error(ctx, DUK_ERR_RANGE_ERROR, "no such range of bytes");
  duk_push_lstring(ctx, data + start, (size_t)(end - start));
  return 1;
}

void keel_register_text(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"errnoName", errno_name, 1},
      {"errnoText", errno_text, 1},
      {"quoteLongIntegers", quote_long_integers, 1},
      {"clockRealtime", clock_realtime, 0},
      {"clockMonotonicUs", clock_monotonic_us, 0},
      {"rfc3339Nano", rfc3339_nano, 0},
      {"sha256", sha256, 1},
      {"strlenUtf8", strlen_utf8, 1},
      {"bytesFromString", bytes_from_string, 1},
      {"stringFromBytes", string_from_bytes, 3},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
