/* Mounts: mount(2) and the descriptor-based calls of Linux 5.2 to 5.12. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keel.h"

/* Their numbers are the same on every architecture; old headers lack some. */
#define NR_OPEN_TREE 428
#define NR_MOVE_MOUNT 429
#define NR_FSOPEN 430
#define NR_FSCONFIG 431
#define NR_FSMOUNT 432
#define NR_MOUNT_SETATTR 442
#define TREE_CLOEXEC O_CLOEXEC
#define FS_CLOEXEC 1

struct attributes {
  uint64_t set, clear, propagation, userns_fd;
};

#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

static const char *or_null(const char *text) { return *text ? text : NULL; }

/* EPERM in a user namespace also for clearing a locked flag; EINVAL for options that the filesystem refuses. */
static duk_ret_t do_mount(duk_context *ctx) {
  const char *source = keel_string(ctx, 0);
  const char *target = keel_string(ctx, 1);
  const char *fstype = keel_string(ctx, 2);
  const char *data = keel_string(ctx, 4);
  return keel_result(ctx, mount(or_null(source), target, or_null(fstype), (unsigned long)keel_long(ctx, 3), or_null(data)));
}

static duk_ret_t do_umount2(duk_context *ctx) { return keel_result(ctx, umount2(keel_string(ctx, 0), keel_int(ctx, 1))); }

static duk_ret_t pivot_root(duk_context *ctx) {
  const char *root = keel_string(ctx, 0);
  return keel_result(ctx, syscall(SYS_pivot_root, root, keel_string(ctx, 1)));
}

/* A clone is detached: it goes when the caller closes the descriptor, unless it was moved into place before. */
static duk_ret_t open_tree_at(duk_context *ctx) {
  const char *path = keel_string(ctx, 1);
  return keel_result(ctx, syscall(NR_OPEN_TREE, keel_int(ctx, 0), path, keel_uint(ctx, 2) | TREE_CLOEXEC));
}

static duk_ret_t do_move_mount(duk_context *ctx) {
  const char *from = keel_string(ctx, 1);
  const char *to = keel_string(ctx, 3);
  return keel_result(ctx, syscall(NR_MOVE_MOUNT, keel_int(ctx, 0), from, keel_int(ctx, 2), to, keel_uint(ctx, 4)));
}

static duk_ret_t do_mount_setattr(duk_context *ctx) {
  int userns = keel_int(ctx, 6);
  struct attributes attributes = {
      .set = (uint64_t)keel_long(ctx, 3),
      .clear = (uint64_t)keel_long(ctx, 4),
      .propagation = (uint64_t)keel_long(ctx, 5),
  };
  if (userns >= 0) {
    attributes.set |= MOUNT_ATTR_IDMAP;
    attributes.userns_fd = (uint64_t)userns;
  }
  const char *path = keel_string(ctx, 1);
  return keel_result(ctx, syscall(NR_MOUNT_SETATTR, keel_int(ctx, 0), path, keel_uint(ctx, 2), &attributes, sizeof attributes));
}

static duk_ret_t do_fsopen(duk_context *ctx) {
  return keel_result(ctx, syscall(NR_FSOPEN, keel_string(ctx, 0), keel_uint(ctx, 1) | FS_CLOEXEC));
}

static duk_ret_t do_fsconfig(duk_context *ctx) {
  const char *key = keel_string(ctx, 2);
  const char *value = keel_string(ctx, 3);
  return keel_result(ctx, syscall(NR_FSCONFIG, keel_int(ctx, 0), keel_uint(ctx, 1), or_null(key), or_null(value), 0));
}

static duk_ret_t do_fsmount(duk_context *ctx) {
  return keel_result(ctx, syscall(NR_FSMOUNT, keel_int(ctx, 0), keel_uint(ctx, 1) | FS_CLOEXEC, keel_uint(ctx, 2)));
}

void keel_register_mounts(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"mount", do_mount, 5},
      {"umount2", do_umount2, 2},
      {"pivotRoot", pivot_root, 2},
      {"openTree", open_tree_at, 3},
      {"moveMount", do_move_mount, 5},
      {"mountSetattr", do_mount_setattr, 7},
      {"fsopen", do_fsopen, 2},
      {"fsconfig", do_fsconfig, 4},
      {"fsmount", do_fsmount, 3},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
