/* Directory entries and what is known about them. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "keel.h"

static duk_ret_t do_mkdirat(duk_context *ctx) {
  return keel_result(ctx, mkdirat(keel_int(ctx, 0), keel_string(ctx, 1), keel_uint(ctx, 2)));
}

static duk_ret_t do_mknodat(duk_context *ctx) {
  dev_t device = makedev(keel_uint(ctx, 3), keel_uint(ctx, 4));
  return keel_result(ctx, mknodat(keel_int(ctx, 0), keel_string(ctx, 1), keel_uint(ctx, 2), device));
}

static duk_ret_t do_symlinkat(duk_context *ctx) {
  const char *target = keel_string(ctx, 0);
  return keel_result(ctx, symlinkat(target, keel_int(ctx, 1), keel_string(ctx, 2)));
}

static duk_ret_t do_linkat(duk_context *ctx) {
  const char *from = keel_string(ctx, 1);
  return keel_result(ctx, linkat(keel_int(ctx, 0), from, keel_int(ctx, 2), keel_string(ctx, 3), keel_int(ctx, 4)));
}

static duk_ret_t do_unlinkat(duk_context *ctx) {
  return keel_result(ctx, unlinkat(keel_int(ctx, 0), keel_string(ctx, 1), keel_int(ctx, 2)));
}

static duk_ret_t do_renameat(duk_context *ctx) {
  const char *from = keel_string(ctx, 1);
  return keel_result(ctx, renameat(keel_int(ctx, 0), from, keel_int(ctx, 2), keel_string(ctx, 3)));
}

static duk_ret_t do_fchownat(duk_context *ctx) {
  const char *path = keel_string(ctx, 1);
  return keel_result(ctx, fchownat(keel_int(ctx, 0), path, keel_uint(ctx, 2), keel_uint(ctx, 3), keel_int(ctx, 4)));
}

static duk_ret_t do_fchmod(duk_context *ctx) { return keel_result(ctx, fchmod(keel_int(ctx, 0), keel_uint(ctx, 1))); }

static duk_ret_t do_fchmodat(duk_context *ctx) {
  return keel_result(ctx, fchmodat(keel_int(ctx, 0), keel_string(ctx, 1), keel_uint(ctx, 2), 0));
}

static duk_ret_t do_utimensat(duk_context *ctx) {
  struct timespec times[2] = {
      {.tv_sec = keel_long(ctx, 2), .tv_nsec = keel_long(ctx, 3)},
      {.tv_sec = keel_long(ctx, 4), .tv_nsec = keel_long(ctx, 5)},
  };
  const char *path = keel_string(ctx, 1);
  /* utimensat(fd, NULL) is futimens: the empty path works with AT_EMPTY_PATH only since Linux 5.8 */
  return keel_result(ctx, syscall(SYS_utimensat, keel_int(ctx, 0), *path ? path : NULL, times, *path ? keel_int(ctx, 6) : 0));
}

static duk_ret_t do_fsetxattr(duk_context *ctx) {
  size_t size;
  const void *value = keel_data(ctx, 2, &size);
  return keel_result(ctx, fsetxattr(keel_int(ctx, 0), keel_string(ctx, 1), value, size, 0));
}

static duk_ret_t do_lsetxattr(duk_context *ctx) {
  size_t size;
  const void *value = keel_data(ctx, 2, &size);
  const char *path = keel_string(ctx, 0);
  return keel_result(ctx, lsetxattr(path, keel_string(ctx, 1), value, size, 0));
}

static duk_ret_t do_readlinkat(duk_context *ctx) {
  char target[PATH_MAX];
  long size = readlinkat(keel_int(ctx, 0), keel_string(ctx, 1), target, sizeof target);
  if (size < 0) return keel_result(ctx, size);
  duk_push_lstring(ctx, target, (size_t)size);
  return 1;
}

static void put_number(duk_context *ctx, const char *name, double value) {
  duk_push_number(ctx, value);
  duk_put_prop_string(ctx, -2, name);
}

static duk_ret_t push_stat(duk_context *ctx, const struct stat *stat) {
  duk_push_bare_object(ctx);
  put_number(ctx, "dev", (double)stat->st_dev);
  put_number(ctx, "ino", (double)stat->st_ino);
  put_number(ctx, "mode", stat->st_mode);
  put_number(ctx, "nlink", (double)stat->st_nlink);
  put_number(ctx, "uid", stat->st_uid);
  put_number(ctx, "gid", stat->st_gid);
  put_number(ctx, "rdevMajor", major(stat->st_rdev));
  put_number(ctx, "rdevMinor", minor(stat->st_rdev));
  put_number(ctx, "size", (double)stat->st_size);
  put_number(ctx, "mtimeSec", (double)stat->st_mtim.tv_sec);
  put_number(ctx, "mtimeNsec", (double)stat->st_mtim.tv_nsec);
  return 1;
}

static duk_ret_t do_fstat(duk_context *ctx) {
  struct stat stat;
  if (fstat(keel_int(ctx, 0), &stat) < 0) return keel_result(ctx, -1);
  return push_stat(ctx, &stat);
}

static duk_ret_t do_fstatat(duk_context *ctx) {
  struct stat stat;
  if (fstatat(keel_int(ctx, 0), keel_string(ctx, 1), &stat, keel_int(ctx, 2)) < 0) return keel_result(ctx, -1);
  return push_stat(ctx, &stat);
}

static duk_ret_t fstatfs_type(duk_context *ctx) {
  struct statfs fs;
  if (fstatfs(keel_int(ctx, 0), &fs) < 0) return keel_result(ctx, -1);
  return keel_result(ctx, (long)(unsigned int)fs.f_type);
}

static duk_ret_t do_faccessat(duk_context *ctx) {
  const char *path = keel_string(ctx, 1);
  int flags = keel_int(ctx, 3);
  /* faccessat2 (Linux 5.8) is the one with flags; the library's emulation reads /etc of whoever it runs in */
  if (flags == 0) return keel_result(ctx, syscall(SYS_faccessat, keel_int(ctx, 0), path, keel_int(ctx, 2)));
  return keel_result(ctx, syscall(SYS_faccessat2, keel_int(ctx, 0), path, keel_int(ctx, 2), flags));
}

/* The caller keeps the descriptor; its offset moves. A name may begin with a byte that makes it a symbol to the engine: hence "./". */
static duk_ret_t do_readdir(duk_context *ctx) {
  struct entry {
    uint64_t ino;
    int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
  };
  _Alignas(struct entry) char buffer[16384];
  int fd = keel_int(ctx, 0);
  const char *before = duk_is_string(ctx, 1) ? keel_string(ctx, 1) : "";
  duk_uarridx_t count = 0;
  duk_push_array(ctx);
  for (;;) {
    long got = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    if (got < 0) return keel_result(ctx, got);
    if (got == 0) return 1;
    for (long at = 0; at < got;) {
      const struct entry *entry = (const struct entry *)(buffer + at);
      at += entry->size;
      if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0) continue;
      duk_push_sprintf(ctx, "%s%s", before, entry->name);
      duk_put_prop_index(ctx, -2, count++);
    }
  }
}

static duk_ret_t do_chdir(duk_context *ctx) { return keel_result(ctx, chdir(keel_string(ctx, 0))); }
static duk_ret_t do_fchdir(duk_context *ctx) { return keel_result(ctx, fchdir(keel_int(ctx, 0))); }
static duk_ret_t do_chroot(duk_context *ctx) { return keel_result(ctx, chroot(keel_string(ctx, 0))); }

/* The system call itself: outside of the root its answer begins with "(unreachable)", which the library hides. */
static duk_ret_t do_getcwd(duk_context *ctx) {
  char path[PATH_MAX];
  if (syscall(SYS_getcwd, path, sizeof path) < 0) return keel_result(ctx, -1);
  duk_push_string(ctx, path);
  return 1;
}

void keel_register_paths(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"mkdirat", do_mkdirat, 3},
      {"mknodat", do_mknodat, 5},
      {"symlinkat", do_symlinkat, 3},
      {"linkat", do_linkat, 5},
      {"unlinkat", do_unlinkat, 3},
      {"renameat", do_renameat, 4},
      {"fchownat", do_fchownat, 5},
      {"fchmod", do_fchmod, 2},
      {"fchmodat", do_fchmodat, 3},
      {"utimensat", do_utimensat, 7},
      {"fsetxattr", do_fsetxattr, 3},
      {"lsetxattr", do_lsetxattr, 3},
      {"readlinkat", do_readlinkat, 2},
      {"fstat", do_fstat, 1},
      {"fstatat", do_fstatat, 3},
      {"fstatfsType", fstatfs_type, 1},
      {"faccessat", do_faccessat, 4},
      {"readdir", do_readdir, 2},
      {"chdir", do_chdir, 1},
      {"fchdir", do_fchdir, 1},
      {"chroot", do_chroot, 1},
      {"getcwd", do_getcwd, 0},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
