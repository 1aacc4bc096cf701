/*
 * The unpacker's hot loop: entries of one layer become files. Names and attributes never pass through the engine, whose
 * strings cannot hold every byte and whose calls would cost more than the kernel's; where an entry goes is decided by the
 * caller, who gives the directory.
 */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "keel.h"
#include "stream.h"

#define MAX_REFUSED 4

static struct {
  struct archive *archive;
  struct archive_entry *entry;
  char path[PATH_MAX + 1]; /* of the present entry: absolute and clean */
  const char *base;        /* its last component */
  bool waiting;            /* layerRun read the present entry and left it for layerNext */
  bool ended;              /* the archive has no more; the library must not be asked again */
  uint64_t entries, max_entries;
  char *refused[MAX_REFUSED + 1]; /* beginnings of xattr names that no layer may set */
} layer;

/* Makes "/a/b" of what a tar calls "./a//x/../b"; ".." ends at the root. */
static int clean(const char *raw, char out[PATH_MAX + 1]) {
  size_t used = 0;
  while (*raw) {
    size_t n = strcspn(raw, "/");
    if (n == 2 && raw[0] == '.' && raw[1] == '.') {
      while (used > 0 && out[--used] != '/') {}
    } else if (n > 0 && !(n == 1 && raw[0] == '.')) {
      if (used + 1 + n > PATH_MAX) return -ENAMETOOLONG;
      out[used++] = '/';
      memcpy(out + used, raw, n);
      used += n;
    }
    raw += n + (raw[n] == '/');
  }
  if (used == 0) out[used++] = '/';
  out[used] = '\0';
  /* the engine's strings cannot tell half a surrogate pair's bytes from half a character: better no file than another */
  for (const unsigned char *p = (unsigned char *)out; (p = (unsigned char *)strchr((char *)p, 0xed)); p++)
    if (p[1] >= 0xa0) return -EILSEQ;
  return 0;
}

static ssize_t read_piece(struct archive *archive, void *unused, const void **piece) {
  ssize_t got = stream_read(piece);
  if (got < 0) archive_set_error(archive, EIO, "no more data");
  return got;
}

/* Pushes why reading failed: -errno, or the library's text. */
static duk_ret_t read_failure(duk_context *ctx) {
  int errnum;
  const char *text = stream_error(&errnum);
  if (errnum) {
    errno = errnum;
    return keel_result(ctx, -1);
  }
  if (!text) text = archive_error_string(layer.archive);
  duk_push_string(ctx, text ? text : "damaged tar data");
  return 1;
}

/* 1: there is an entry, 0: the end, -1: read_failure, less: -errno - 1 of a name that cannot be. */
static int next_entry(void) {
  if (layer.waiting) {
    layer.waiting = false;
    return 1;
  }
  int result = layer.ended ? ARCHIVE_EOF : archive_read_next_header(layer.archive, &layer.entry);
  layer.ended = result == ARCHIVE_EOF;
  if (layer.ended) return 0;
  /* a warning is about names that are not the locale's text, of which there is none */
  if (result < ARCHIVE_WARN) return -1;
  if (++layer.entries > layer.max_entries) {
    archive_set_error(layer.archive, E2BIG, "it has more entries than are allowed");
    return -1;
  }
  const char *raw = archive_entry_pathname(layer.entry);
  int error = clean(raw ? raw : "", layer.path);
  if (error) return error - 1;
  layer.base = strrchr(layer.path, '/') + 1;
  return 1;
}

static const char *kind_of(struct archive_entry *entry) {
  if (archive_entry_hardlink(entry)) return "hardlink";
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG: return "file";
    case AE_IFDIR: return "dir";
    case AE_IFLNK: return "symlink";
    case AE_IFCHR: return "char";
    case AE_IFBLK: return "block";
    case AE_IFIFO: return "fifo";
    default: return "other";
  }
}

static bool refused(const char *name) {
  for (char **prefix = layer.refused; *prefix; prefix++)
    if (strncmp(name, *prefix, strlen(*prefix)) == 0) return true;
  return false;
}

/* On fd, or on base below dir when fd < 0. A filesystem without such attributes loses them, as with other unpackers. */
static int set_xattrs(int fd, int dir) {
  struct archive_entry *entry = layer.entry;
  if (archive_entry_xattr_reset(entry) == 0) return 0;
  if (fd < 0 && fchdir(dir) < 0) return -errno;
  const char *name;
  const void *value;
  size_t size;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (refused(name)) continue;
    int result = fd < 0 ? lsetxattr(layer.base, name, value, size, 0) : fsetxattr(fd, name, value, size, 0);
    if (result < 0 && errno != EOPNOTSUPP) return -errno;
  }
  return 0;
}

static int owner_of(uid_t *uid, gid_t *gid) {
  int64_t u = archive_entry_uid(layer.entry), g = archive_entry_gid(layer.entry);
  if (u < 0 || g < 0 || u >= UINT32_MAX || g >= UINT32_MAX) return -EOVERFLOW;
  *uid = (uid_t)u;
  *gid = (gid_t)g;
  return 0;
}

static void times_of(struct timespec times[2]) {
  times[1].tv_sec = archive_entry_mtime(layer.entry);
  times[1].tv_nsec = archive_entry_mtime_nsec(layer.entry);
  if (times[1].tv_nsec < 0 || times[1].tv_nsec > 999999999) times[1].tv_nsec = 0;
  times[0] = times[1];
}

static bool write_at(int fd, const char *data, size_t size, off_t offset) {
  while (size > 0) {
    ssize_t n = pwrite(fd, data, size, offset);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) data += n, offset += n, size -= (size_t)n;
  }
  return true;
}

/* From this size on a file's way to the disk begins at once: the syncfs(2) that waits for the whole layer finds less to do. */
#define EARLY_BYTES (256 * 1024)

/* The present entry's data; holes stay holes. Returns 0, -errno of writing, or 1: read_failure. */
static int write_data(int fd) {
  const void *data;
  size_t size;
  int64_t offset, end = 0;
  for (;;) {
    int result = archive_read_data_block(layer.archive, &data, &size, &offset);
    if (result == ARCHIVE_EOF) break;
    if (result < ARCHIVE_WARN) return 1;
    if (!write_at(fd, data, size, offset)) return -errno;
    end = offset + (int64_t)size;
  }
  if (end < archive_entry_size(layer.entry) && ftruncate(fd, archive_entry_size(layer.entry)) < 0) return -errno;
  /* a hint, which some file systems do not take */
  if (end >= EARLY_BYTES) (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  return 0;
}

/* Owner before mode and capabilities, which a change of owner clears; times last. */
static int set_attributes(int fd, bool owner, bool mode) {
  uid_t uid;
  gid_t gid;
  int error = owner_of(&uid, &gid);
  if (error) return error;
  if ((owner || uid || gid) && fchown(fd, uid, gid) < 0) return -errno;
  if (mode && fchmod(fd, archive_entry_perm(layer.entry)) < 0) return -errno;
  error = set_xattrs(fd, -1);
  if (error) return error;
  struct timespec times[2];
  times_of(times);
  return futimens(fd, times) < 0 ? -errno : 0;
}

/* `made` tells whether the name exists now. */
static int make_file(int dir, bool inherits, bool *made) {
  mode_t mode = archive_entry_perm(layer.entry);
  int fd = openat(dir, layer.base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0777);
  if (fd < 0) return -errno;
  *made = true;
  int error = archive_entry_size(layer.entry) > 0 ? write_data(fd) : 0;
  if (!error) error = set_attributes(fd, inherits, mode & 07000);
  if (close(fd) < 0 && !error) error = -errno;
  return error;
}

/* Everything that has no data, by its name: a device must not be opened. */
static int make_node(int dir, bool inherits, bool *made) {
  mode_t type = archive_entry_filetype(layer.entry), mode = archive_entry_perm(layer.entry);
  uid_t uid;
  gid_t gid;
  int error = owner_of(&uid, &gid);
  if (error) return error;
  const char *target = archive_entry_symlink(layer.entry);
  dev_t device = makedev(archive_entry_rdevmajor(layer.entry), archive_entry_rdevminor(layer.entry));
  int result = type == AE_IFLNK ? symlinkat(target ? target : "", dir, layer.base)
             : type == AE_IFDIR ? mkdirat(dir, layer.base, mode)
                                : mknodat(dir, layer.base, type | (mode & 0777), type == AE_IFIFO ? 0 : device);
  if (result < 0) return -errno;
  *made = true;
  if ((inherits || uid || gid) && fchownat(dir, layer.base, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
  if (type != AE_IFLNK && (inherits || (mode & 07000)) && fchmodat(dir, layer.base, mode, 0) < 0) return -errno;
  error = set_xattrs(-1, dir);
  if (error) return error;
  struct timespec times[2];
  times_of(times);
  return utimensat(dir, layer.base, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int make(int dir, bool inherits, bool *made) {
  *made = false;
  return archive_entry_filetype(layer.entry) == AE_IFREG ? make_file(dir, inherits, made) : make_node(dir, inherits, made);
}

static duk_ret_t result_of(duk_context *ctx, int result) {
  if (result > 0) return read_failure(ctx);
  duk_push_int(ctx, result);
  return 1;
}

static void refuse(duk_context *ctx, duk_idx_t index) {
  for (duk_uarridx_t i = 0; i < MAX_REFUSED && i < keel_length(ctx, index); i++) {
    duk_get_prop_index(ctx, index, i);
    layer.refused[i] = strdup(keel_string(ctx, -1));
    duk_pop(ctx);
  }
}

static duk_ret_t refuse_xattrs(duk_context *ctx) {
  refuse(ctx, 0);
  return 0;
}

static duk_ret_t layer_open(duk_context *ctx) {
  refuse(ctx, 5);
  layer.max_entries = keel_u64(ctx, 1);
  struct stream_limits limits = {keel_u64(ctx, 2), keel_u64(ctx, 3), keel_u64(ctx, 4)};
  int error = stream_open(keel_int(ctx, 0), keel_int(ctx, 6), limits);
  layer.archive = error ? NULL : archive_read_new();
  if (!layer.archive) return result_of(ctx, error ? error : -ENOMEM);
  archive_read_support_format_tar(layer.archive);
  archive_read_support_format_empty(layer.archive);
  if (archive_read_open(layer.archive, NULL, NULL, read_piece, NULL) == ARCHIVE_OK) return result_of(ctx, 0);
  return read_failure(ctx);
}

static duk_ret_t layer_next(duk_context *ctx) {
  int result = next_entry();
  if (result == 0) return 0;
  if (result == -1) return read_failure(ctx);
  if (result < -1) return result_of(ctx, result + 1);
  char link[PATH_MAX + 1] = "";
  const char *hardlink = archive_entry_hardlink(layer.entry);
  if (hardlink && (result = clean(hardlink, link)) < 0) return result_of(ctx, result);
  duk_push_bare_object(ctx);
  duk_push_string(ctx, layer.path);
  duk_put_prop_literal(ctx, -2, "path");
  duk_push_string(ctx, kind_of(layer.entry));
  duk_put_prop_literal(ctx, -2, "kind");
  duk_push_string(ctx, link);
  duk_put_prop_literal(ctx, -2, "link");
  duk_push_number(ctx, (double)archive_entry_mtime(layer.entry));
  duk_put_prop_literal(ctx, -2, "mtimeSec");
  duk_push_number(ctx, (double)archive_entry_mtime_nsec(layer.entry));
  duk_put_prop_literal(ctx, -2, "mtimeNsec");
  return 1;
}

static duk_ret_t layer_make(duk_context *ctx) {
  bool made;
  return result_of(ctx, make(keel_int(ctx, 0), duk_require_boolean(ctx, 1), &made));
}

static duk_ret_t layer_run(duk_context *ctx) {
  int dir = keel_int(ctx, 0);
  const char *path = keel_string(ctx, 1), *stop = keel_string(ctx, 3);
  bool inherits = duk_require_boolean(ctx, 2);
  size_t length = strlen(path), stop_length = strlen(stop);
  int count = 0;
  for (;; count++) {
    int result = next_entry();
    if (result == 0) break;
    if (result == -1) return read_failure(ctx);
    if (result < -1) return result_of(ctx, result + 1);
    mode_t type = archive_entry_filetype(layer.entry);
    bool made = false, mine = (type == AE_IFREG || type == AE_IFLNK) && !archive_entry_hardlink(layer.entry) &&
                              *layer.base && (size_t)(layer.base - layer.path) == length &&
                              memcmp(layer.path, path, length) == 0 && strncmp(layer.base, stop, stop_length) != 0;
    if (mine) result = make(dir, inherits, &made);
    if (made && result) return result_of(ctx, result);
    if (!made) {
      layer.waiting = true;
      break;
    }
  }
  duk_push_int(ctx, count);
  return 1;
}

static duk_ret_t layer_attributes(duk_context *ctx) { return result_of(ctx, set_attributes(keel_int(ctx, 0), true, true)); }

static duk_ret_t layer_whiteout(duk_context *ctx) {
  size_t skip = keel_uint(ctx, 1);
  const char *name = strlen(layer.base) > skip ? layer.base + skip : "";
  return keel_result(ctx, mknodat(keel_int(ctx, 0), name, S_IFCHR, 0));
}

static void put_digest(duk_context *ctx, const char *name, const uint8_t digest[32]) {
  char text[7 + 64 + 1] = "sha256:";
  for (int i = 0; i < 32; i++) {
    text[7 + 2 * i] = "0123456789abcdef"[digest[i] >> 4];
    text[8 + 2 * i] = "0123456789abcdef"[digest[i] & 15];
  }
  duk_push_string(ctx, text);
  duk_put_prop_string(ctx, -2, name);
}

static duk_ret_t layer_finish(duk_context *ctx) {
  struct stream_result result;
  if (stream_finish(&result) < 0) return read_failure(ctx);
  duk_push_object(ctx);
  put_digest(ctx, "diffId", result.diff_id);
  if (result.digested) put_digest(ctx, "digest", result.digest);
  duk_push_number(ctx, (double)result.read_bytes);
  duk_put_prop_literal(ctx, -2, "compressedBytes");
  duk_push_number(ctx, (double)result.tar_bytes);
  duk_put_prop_literal(ctx, -2, "tarBytes");
  duk_push_number(ctx, (double)layer.entries);
  duk_put_prop_literal(ctx, -2, "entries");
  return 1;
}

/* ENODATA: there is none. Values over 255 bytes: ERANGE. */
static duk_ret_t do_fgetxattr(duk_context *ctx) {
  char value[255];
  ssize_t size = fgetxattr(keel_int(ctx, 0), keel_string(ctx, 1), value, sizeof value);
  if (size < 0) return keel_result(ctx, -1);
  duk_push_lstring(ctx, value, (size_t)size);
  return 1;
}

static duk_ret_t copy_xattrs(duk_context *ctx) {
  int from = keel_int(ctx, 0), to = keel_int(ctx, 1);
  char *names = duk_push_fixed_buffer(ctx, XATTR_LIST_MAX), *value = duk_push_fixed_buffer(ctx, XATTR_SIZE_MAX);
  ssize_t all = flistxattr(from, names, XATTR_LIST_MAX);
  if (all < 0) return keel_result(ctx, errno == EOPNOTSUPP ? 0 : -1);
  for (char *name = names; name < names + all; name += strlen(name) + 1) {
    if (refused(name)) continue;
    ssize_t size = fgetxattr(from, name, value, XATTR_SIZE_MAX);
    if (size < 0 || (fsetxattr(to, name, value, (size_t)size, 0) < 0 && errno != EOPNOTSUPP)) return keel_result(ctx, -1);
  }
  return keel_result(ctx, 0);
}

void keel_register_layer(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"refuseXattrs", refuse_xattrs, 1},
      {"layerOpen", layer_open, 7},
      {"layerNext", layer_next, 0},
      {"layerMake", layer_make, 2},
      {"layerRun", layer_run, 4},
      {"layerAttributes", layer_attributes, 1},
      {"layerWhiteout", layer_whiteout, 2},
      {"layerFinish", layer_finish, 0},
      {"fgetxattr", do_fgetxattr, 2},
      {"copyXattrs", copy_xattrs, 2},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
