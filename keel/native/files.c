/* Descriptors: opening, reading, writing. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keel.h"

#define FILE_LIMIT (16u << 20)

/* As struct open_how (Linux 5.6). */
struct how {
  uint64_t flags, mode, resolve;
};

static duk_ret_t do_open(duk_context *ctx) {
  /* musl follows open(O_CLOEXEC) with a fcntl for kernels before 2.6.23; openat it calls plainly */
  return keel_result(ctx, openat(AT_FDCWD, keel_string(ctx, 0), keel_int(ctx, 1) | O_CLOEXEC, keel_uint(ctx, 2)));
}

static duk_ret_t do_openat(duk_context *ctx) {
  return keel_result(ctx, openat(keel_int(ctx, 0), keel_string(ctx, 1), keel_int(ctx, 2) | O_CLOEXEC, keel_uint(ctx, 3)));
}

/* ELOOP: a forbidden symlink; EXDEV: left the root or crossed a mount; EAGAIN: a rename raced, try again. */
static duk_ret_t do_openat2(duk_context *ctx) {
  struct how how = {
      .flags = (uint64_t)keel_long(ctx, 2) | O_CLOEXEC,
      .mode = (uint64_t)keel_long(ctx, 3),
      .resolve = (uint64_t)keel_long(ctx, 4),
  };
  int dir = keel_int(ctx, 0);
  const char *path = keel_string(ctx, 1);
  long fd;
  do fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
  while (fd < 0 && errno == EAGAIN);
  return keel_result(ctx, fd);
}

static duk_ret_t do_close(duk_context *ctx) { return keel_result(ctx, close(keel_int(ctx, 0))); }

static duk_ret_t do_close_range(duk_context *ctx) {
  return keel_result(ctx, syscall(SYS_close_range, keel_uint(ctx, 0), keel_uint(ctx, 1), keel_uint(ctx, 2)));
}

/* Reads into a stack buffer when it is small: most reads are lines of /proc or words of a protocol. */
static duk_ret_t read_into(duk_context *ctx, int as_string) {
  char small[4096];
  int fd = keel_int(ctx, 0);
  int64_t max = keel_long(ctx, 1);
  if (max < 0 || max > (int64_t)FILE_LIMIT) return duk_error(ctx, DUK_ERR_RANGE_ERROR, "no such size");
  size_t size = (size_t)max;
  char *buffer = size <= sizeof small ? small : malloc(size);
  if (!buffer) {
    errno = ENOMEM;
    return keel_result(ctx, -1);
  }
  long count = read(fd, buffer, size);
  if (count < 0) {
    int saved = errno;
    if (buffer != small) free(buffer);
    errno = saved;
    return keel_result(ctx, count);
  }
  if (as_string) duk_push_lstring(ctx, buffer, (size_t)count);
  else if (count == 0) duk_push_fixed_buffer(ctx, 0);
  else memcpy(duk_push_fixed_buffer(ctx, (size_t)count), buffer, (size_t)count);
  if (buffer != small) free(buffer);
  return 1;
}

static duk_ret_t read_string(duk_context *ctx) { return read_into(ctx, 1); }
static duk_ret_t read_bytes(duk_context *ctx) { return read_into(ctx, 0); }

/* Pushes the text of a whole file and closes it. */
static duk_ret_t read_whole(duk_context *ctx, int fd) {
  char small[8192];
  if (fd < 0) return keel_result(ctx, fd);
  char *buffer = small;
  size_t capacity = sizeof small;
  size_t used = 0;
  long count;
  for (;;) {
    count = read(fd, buffer + used, capacity - used);
    if (count <= 0) break;
    used += (size_t)count;
    if (used < capacity) continue;
    char *bigger = capacity >= FILE_LIMIT ? NULL : realloc(buffer == small ? NULL : buffer, capacity * 4);
    if (!bigger) {
      count = -1;
      errno = capacity >= FILE_LIMIT ? EFBIG : ENOMEM;
      break;
    }
    if (buffer == small) memcpy(bigger, small, used);
    buffer = bigger;
    capacity *= 4;
  }
  int saved = errno;
  close(fd);
  errno = saved;
  if (count < 0) keel_result(ctx, -1);
  else duk_push_lstring(ctx, buffer, used);
  if (buffer != small) free(buffer);
  return 1;
}

static duk_ret_t read_file(duk_context *ctx) { return read_whole(ctx, openat(AT_FDCWD, keel_string(ctx, 0), O_RDONLY | O_CLOEXEC)); }

static duk_ret_t read_file_at(duk_context *ctx) {
  return read_whole(ctx, openat(keel_int(ctx, 0), keel_string(ctx, 1), O_RDONLY | O_CLOEXEC));
}

static duk_ret_t do_write(duk_context *ctx) {
  size_t size;
  const void *data = keel_data(ctx, 1, &size);
  return keel_result(ctx, write(keel_int(ctx, 0), data, size));
}

static duk_ret_t write_all(duk_context *ctx) {
  size_t size;
  const char *data = keel_data(ctx, 1, &size);
  int fd = keel_int(ctx, 0);
  while (size > 0) {
    long count = write(fd, data, size);
    if (count < 0 && errno != EINTR) return keel_result(ctx, count);
    if (count > 0) {
      data += count;
      size -= (size_t)count;
    }
  }
  return keel_result(ctx, 0);
}

/* A short write counts as ENOSPC: the callers write kernel files and small state files. */
static duk_ret_t write_file_at(duk_context *ctx) {
  size_t size;
  const void *data = keel_data(ctx, 2, &size);
  int fd = openat(keel_int(ctx, 0), keel_string(ctx, 1), keel_int(ctx, 3) | O_CLOEXEC, keel_uint(ctx, 4));
  if (fd < 0) return keel_result(ctx, fd);
  long count = write(fd, data, size);
  int saved = count < 0 ? errno : ENOSPC;
  close(fd);
  errno = saved;
  return keel_result(ctx, count == (long)size ? 0 : -1);
}

static duk_ret_t do_fsync(duk_context *ctx) { return keel_result(ctx, fsync(keel_int(ctx, 0))); }
static duk_ret_t do_lseek(duk_context *ctx) {
  return keel_result(ctx, lseek(keel_int(ctx, 0), keel_long(ctx, 1), keel_int(ctx, 2)));
}
static duk_ret_t do_ftruncate(duk_context *ctx) { return keel_result(ctx, ftruncate(keel_int(ctx, 0), keel_long(ctx, 1))); }

static duk_ret_t dup_min(duk_context *ctx) {
  return keel_result(ctx, fcntl(keel_int(ctx, 0), F_DUPFD_CLOEXEC, keel_int(ctx, 1)));
}
static duk_ret_t do_dup2(duk_context *ctx) { return keel_result(ctx, dup2(keel_int(ctx, 0), keel_int(ctx, 1))); }

static duk_ret_t set_cloexec(duk_context *ctx) {
  return keel_result(ctx, fcntl(keel_int(ctx, 0), F_SETFD, duk_require_boolean(ctx, 1) ? FD_CLOEXEC : 0));
}

static duk_ret_t set_nonblock(duk_context *ctx) {
  int fd = keel_int(ctx, 0);
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return keel_result(ctx, flags);
  flags = duk_require_boolean(ctx, 1) ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return keel_result(ctx, fcntl(fd, F_SETFL, flags));
}

static duk_ret_t do_pipe(duk_context *ctx) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return keel_result(ctx, -1);
  duk_push_array(ctx);
  for (duk_uarridx_t i = 0; i < 2; i++) {
    duk_push_int(ctx, fds[i]);
    duk_put_prop_index(ctx, -2, i);
  }
  return 1;
}

static duk_ret_t do_memfd_create(duk_context *ctx) {
  return keel_result(ctx, syscall(SYS_memfd_create, keel_string(ctx, 0), keel_uint(ctx, 1) | MFD_CLOEXEC));
}

static duk_ret_t add_seals(duk_context *ctx) { return keel_result(ctx, fcntl(keel_int(ctx, 0), F_ADD_SEALS, keel_int(ctx, 1))); }

void keel_register_files(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"open", do_open, 3},
      {"openat", do_openat, 4},
      {"openat2", do_openat2, 5},
      {"close", do_close, 1},
      {"closeRange", do_close_range, 3},
      {"read", read_string, 2},
      {"readBytes", read_bytes, 2},
      {"readFile", read_file, 1},
      {"readFileAt", read_file_at, 2},
      {"write", do_write, 2},
      {"writeAll", write_all, 2},
      {"writeFileAt", write_file_at, 5},
      {"fsync", do_fsync, 1},
      {"lseek", do_lseek, 3},
      {"ftruncate", do_ftruncate, 2},
      {"dupMin", dup_min, 2},
      {"dup2", do_dup2, 2},
      {"setCloexec", set_cloexec, 2},
      {"setNonblock", set_nonblock, 2},
      {"pipe", do_pipe, 0},
      {"memfdCreate", do_memfd_create, 2},
      {"fcntlAddSeals", add_seals, 2},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
