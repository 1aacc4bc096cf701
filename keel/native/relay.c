/* Hot loops: copying between descriptors, the Kubernetes CRI log, output frames of the monitor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "keel.h"

#define CHUNK 65536
#define LINE_LIMIT 16384
#define LOGS 8
#define PARTS 512

struct log {
  int fd;
  int used;
  const char *stream;
  /* begin of a line whose end has not come yet; kept only then */
  char *rest;
  size_t rest_size;
};

static struct log logs[LOGS];
static char chunk[CHUNK];

/* Writes all parts, over short writes; -1 with errno. */
static int write_parts(int fd, struct iovec *parts, int count) {
  while (count > 0) {
    long written = writev(fd, parts, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -1;
    while (count > 0 && (size_t)written >= parts->iov_len) {
      written -= (long)parts->iov_len;
      parts++;
      count--;
    }
    if (count > 0) {
      parts->iov_base = (char *)parts->iov_base + written;
      parts->iov_len -= (size_t)written;
    }
  }
  return 0;
}

/* Same as sys.copyFd: what is there now, at most max bytes. */
static duk_ret_t copy_fd(duk_context *ctx) {
  int from = keel_int(ctx, 0);
  int to = keel_int(ctx, 1);
  int64_t max = keel_long(ctx, 2);
  long count = read(from, chunk, max < CHUNK ? (size_t)max : CHUNK);
  if (count <= 0) return keel_result(ctx, count);
  struct iovec part = {chunk, (size_t)count};
  return keel_result(ctx, write_parts(to, &part, 1) < 0 ? -1 : count);
}

/* In the kernel, which shares the blocks where the file system can. -EXDEV, -EINVAL, -ENOSYS, -EOPNOTSUPP: not these two. */
static duk_ret_t copy_range(duk_context *ctx) {
  return keel_result(ctx, syscall(SYS_copy_file_range, keel_int(ctx, 0), NULL, keel_int(ctx, 1), NULL, (size_t)keel_long(ctx, 2), 0));
}

/* `<RFC 3339 nano> <stream> <tag> `; returns its size. */
static size_t header_of(char *out, size_t capacity, const char *stream, char tag) {
  struct timespec now;
  struct tm date;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &date);
  size_t used = strftime(out, capacity, "%Y-%m-%dT%H:%M:%S", &date);
  return used + (size_t)snprintf(out + used, capacity - used, ".%09ldZ %s %c ", now.tv_nsec, stream, tag);
}

struct batch {
  struct iovec parts[PARTS];
  int count;
  int fd;
};

static void flush(struct batch *batch) {
  /* a log that cannot be written must not stop the container: its clients still get everything */
  if (batch->count > 0 && write_parts(batch->fd, batch->parts, batch->count) < 0) errno = 0;
  batch->count = 0;
}

static void add(struct batch *batch, const void *data, size_t size) {
  if (size == 0) return;
  batch->parts[batch->count++] = (struct iovec){(void *)data, size};
}

/* One line, or a piece of one with tag P, made of what was kept and of `text`. */
static void add_line(struct batch *batch, struct log *log, const char *header, size_t header_size, const char *text, size_t size, int full) {
  if (batch->count > PARTS - 4) flush(batch);
  add(batch, header, header_size);
  add(batch, log->rest, log->rest_size);
  add(batch, text, size);
  if (!full) add(batch, "\n", 1);
  /* the kept text is overwritten by the next one */
  if (log->rest_size > 0) flush(batch);
  log->rest_size = 0;
}

static void keep(struct log *log, const char *text, size_t size) {
  if (size == 0) return;
  if (!log->rest) log->rest = malloc(LINE_LIMIT);
  if (!log->rest) return;
  memcpy(log->rest + log->rest_size, text, size);
  log->rest_size += size;
}

static void write_log(struct log *log, const char *text, size_t size) {
  char full[64];
  char partial[64];
  size_t full_size = header_of(full, sizeof full, log->stream, 'F');
  memcpy(partial, full, full_size);
  partial[full_size - 2] = 'P';
  struct batch batch = {.count = 0, .fd = log->fd};
  while (size > 0) {
    size_t room = LINE_LIMIT - log->rest_size;
    const char *newline = memchr(text, '\n', size < room + 1 ? size : room + 1);
    if (newline) {
      size_t line = (size_t)(newline - text) + 1;
      add_line(&batch, log, full, full_size, text, line, 1);
      text += line;
      size -= line;
    } else if (size > room) {
      add_line(&batch, log, partial, full_size, text, room, 0);
      text += room;
      size -= room;
    } else {
      flush(&batch);
      keep(log, text, size);
      size = 0;
    }
  }
  flush(&batch);
}

static struct log *log_of(duk_context *ctx, duk_idx_t index) {
  int handle = keel_int(ctx, index);
  if (handle < 0 || handle >= LOGS || !logs[handle].used) {
    (void)duk_error(ctx, DUK_ERR_RANGE_ERROR, "no log %d", handle);
  }
  return &logs[handle];
}

static duk_ret_t log_open(duk_context *ctx) {
  const char *stream = duk_require_string(ctx, 1);
  for (int i = 0; i < LOGS; i++) {
    if (logs[i].used) continue;
    logs[i] = (struct log){.fd = keel_int(ctx, 0), .used = 1, .stream = strcmp(stream, "stderr") == 0 ? "stderr" : "stdout"};
    return keel_result(ctx, i);
  }
  errno = EMFILE;
  return keel_result(ctx, -1);
}

static duk_ret_t log_set_fd(duk_context *ctx) {
  log_of(ctx, 0)->fd = keel_int(ctx, 1);
  return keel_result(ctx, 0);
}

static duk_ret_t log_close(duk_context *ctx) {
  struct log *log = log_of(ctx, 0);
  if (log->rest_size > 0) {
    char header[64];
    size_t size = header_of(header, sizeof header, log->stream, 'P');
    struct batch batch = {.count = 0, .fd = log->fd};
    add_line(&batch, log, header, size, NULL, 0, 0);
    flush(&batch);
  }
  free(log->rest);
  *log = (struct log){.used = 0};
  return keel_result(ctx, 0);
}

static duk_ret_t do_relay(duk_context *ctx) {
  int from = keel_int(ctx, 0);
  struct log *log = keel_int(ctx, 1) < 0 ? NULL : log_of(ctx, 1);
  int type = keel_int(ctx, 2);
  size_t clients = keel_length(ctx, 3);
  long count = read(from, chunk, CHUNK);
  if (count <= 0) return keel_result(ctx, count);
  if (log) write_log(log, chunk, (size_t)count);
  unsigned char header[5] = {
      (unsigned char)type, (unsigned char)(count >> 24), (unsigned char)(count >> 16), (unsigned char)(count >> 8), (unsigned char)count,
  };
  duk_uarridx_t failed = 0;
  for (size_t i = 0; i < clients; i++) {
    duk_get_prop_index(ctx, 3, (duk_uarridx_t)i);
    int client = keel_int(ctx, -1);
    duk_pop(ctx);
    struct iovec parts[2] = {{header, sizeof header}, {chunk, (size_t)count}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    long sent;
    do sent = sendmsg(client, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    /* half a frame would garble all that follows */
    if (sent == count + (long)sizeof header) continue;
    duk_push_int(ctx, client);
    duk_put_prop_index(ctx, 4, failed++);
  }
  return keel_result(ctx, count);
}

void keel_register_relay(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"copyFd", copy_fd, 3},
      {"copyRange", copy_range, 3},
      {"logOpen", log_open, 2},
      {"logSetFd", log_set_fd, 2},
      {"logClose", log_close, 1},
      {"relay", do_relay, 5},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
