/* Processes, identities, namespaces. */
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keel.h"

/* As struct clone_args up to `cgroup` (Linux 5.7); the library's headers may be older than the kernel. */
struct clone3_args {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

#define CLONE3_INTO_CGROUP 0x200000000ULL

/* EPERM without the right to make a namespace, ENOSPC past user.max_*_namespaces, EBUSY or EOPNOTSUPP of the cgroup. */
static duk_ret_t do_clone(duk_context *ctx) {
  int cgroup = keel_int(ctx, 1);
  struct clone3_args args = {.flags = (uint64_t)keel_long(ctx, 0)};
  /* a sibling takes its maker's signal, and clone3 refuses another one beside CLONE_PARENT */
  args.exit_signal = args.flags & CLONE_PARENT ? 0 : SIGCHLD;
  if (cgroup >= 0) {
    args.flags |= CLONE3_INTO_CGROUP;
    args.cgroup = (uint64_t)cgroup;
  }
  long pid = syscall(SYS_clone3, &args, sizeof args);
  /* inside a container: a seccomp filter cannot look into clone3's arguments, docker's answers it with ENOSYS */
  if (pid < 0 && errno == ENOSYS && cgroup < 0) pid = syscall(SYS_clone, (unsigned long)args.flags | SIGCHLD, 0, 0, 0, 0);
  return keel_result(ctx, pid);
}

static duk_ret_t do_unshare(duk_context *ctx) { return keel_result(ctx, syscall(SYS_unshare, (unsigned long)keel_long(ctx, 0))); }

static duk_ret_t do_setns(duk_context *ctx) { return keel_result(ctx, syscall(SYS_setns, keel_int(ctx, 0), keel_int(ctx, 1))); }

static duk_ret_t do_waitpid(duk_context *ctx) {
  int status = 0;
  int pid = waitpid(keel_int(ctx, 0), &status, keel_int(ctx, 1));
  if (pid > 0) {
    duk_push_int(ctx, status);
    duk_put_prop_index(ctx, 2, 0);
  }
  return keel_result(ctx, pid);
}

static duk_ret_t do_kill(duk_context *ctx) { return keel_result(ctx, kill(keel_int(ctx, 0), keel_int(ctx, 1))); }

/* ESRCH: gone, or reaped. The caller closes it. */
static duk_ret_t pidfd_open(duk_context *ctx) { return keel_result(ctx, syscall(SYS_pidfd_open, keel_int(ctx, 0), keel_int(ctx, 1))); }

static duk_ret_t pidfd_send_signal(duk_context *ctx) {
  return keel_result(ctx, syscall(SYS_pidfd_send_signal, keel_int(ctx, 0), keel_int(ctx, 1), NULL, 0));
}

/* EBADF: the process has no such descriptor. EPERM without the right to trace it. */
static duk_ret_t pidfd_getfd(duk_context *ctx) {
  return keel_result(ctx, syscall(SYS_pidfd_getfd, keel_int(ctx, 0), keel_int(ctx, 1), 0));
}

static duk_ret_t do_getpid(duk_context *ctx) { return keel_result(ctx, getpid()); }
static duk_ret_t do_getppid(duk_context *ctx) { return keel_result(ctx, getppid()); }
static duk_ret_t do_getuid(duk_context *ctx) { return keel_result(ctx, (long)getuid()); }
static duk_ret_t do_geteuid(duk_context *ctx) { return keel_result(ctx, (long)geteuid()); }
static duk_ret_t do_getgid(duk_context *ctx) { return keel_result(ctx, (long)getgid()); }
static duk_ret_t do_getpgrp(duk_context *ctx) { return keel_result(ctx, getpgrp()); }

/* Returns only on failure: ENOENT, EACCES, ENOEXEC, E2BIG, ETXTBSY … */
static duk_ret_t do_execve(duk_context *ctx) {
  const char *path = keel_string(ctx, 0);
  char **argv = keel_strings(ctx, 1);
  char **envp = keel_strings(ctx, 2);
  return keel_result(ctx, execve(path, argv, envp));
}

static duk_ret_t do_fexecve(duk_context *ctx) {
  int fd = keel_int(ctx, 0);
  char **argv = keel_strings(ctx, 1);
  char **envp = keel_strings(ctx, 2);
  return keel_result(ctx, syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH));
}

static duk_ret_t do_prctl(duk_context *ctx) {
  unsigned long args[4];
  for (int i = 0; i < 4; i++) args[i] = (unsigned long)keel_long(ctx, i + 1);
  return keel_result(ctx, prctl(keel_int(ctx, 0), args[0], args[1], args[2], args[3]));
}

static duk_ret_t do_setsid(duk_context *ctx) { return keel_result(ctx, setsid()); }
static duk_ret_t do_setpgid(duk_context *ctx) { return keel_result(ctx, setpgid(keel_int(ctx, 0), keel_int(ctx, 1))); }

/* Raw calls: the library's wrappers signal every thread, and there is one. */
static duk_ret_t do_setresuid(duk_context *ctx) {
  return keel_result(ctx, syscall(SYS_setresuid, keel_uint(ctx, 0), keel_uint(ctx, 1), keel_uint(ctx, 2)));
}
static duk_ret_t do_setresgid(duk_context *ctx) {
  return keel_result(ctx, syscall(SYS_setresgid, keel_uint(ctx, 0), keel_uint(ctx, 1), keel_uint(ctx, 2)));
}

/* EPERM also when the user namespace denies setgroups. */
static duk_ret_t do_setgroups(duk_context *ctx) {
  size_t count = keel_length(ctx, 0);
  gid_t *gids = duk_push_fixed_buffer(ctx, (count + 1) * sizeof *gids);
  for (size_t i = 0; i < count; i++) {
    duk_get_prop_index(ctx, 0, (duk_uarridx_t)i);
    gids[i] = keel_uint(ctx, -1);
    duk_pop(ctx);
  }
  return keel_result(ctx, syscall(SYS_setgroups, count, gids));
}

static duk_ret_t do_umask(duk_context *ctx) { return keel_result(ctx, (long)umask(keel_uint(ctx, 0))); }

struct cap_header {
  uint32_t version;
  int pid;
};
struct cap_data {
  uint32_t effective, permitted, inheritable;
};
#define CAP_VERSION_3 0x20080522u

static duk_ret_t do_capset(duk_context *ctx) {
  struct cap_header header = {CAP_VERSION_3, 0};
  struct cap_data data[2] = {
      {keel_uint(ctx, 0), keel_uint(ctx, 2), keel_uint(ctx, 4)},
      {keel_uint(ctx, 1), keel_uint(ctx, 3), keel_uint(ctx, 5)},
  };
  return keel_result(ctx, syscall(SYS_capset, &header, data));
}

static duk_ret_t do_capget(duk_context *ctx) {
  struct cap_header header = {CAP_VERSION_3, 0};
  struct cap_data data[2] = {{0, 0, 0}, {0, 0, 0}};
  syscall(SYS_capget, &header, data);
  uint32_t values[6] = {data[0].effective,   data[1].effective,   data[0].permitted,
                        data[1].permitted,   data[0].inheritable, data[1].inheritable};
  duk_push_array(ctx);
  for (duk_uarridx_t i = 0; i < 6; i++) {
    duk_push_uint(ctx, values[i]);
    duk_put_prop_index(ctx, -2, i);
  }
  return 1;
}

static duk_ret_t do_prlimit(duk_context *ctx) {
  uint64_t limit[2] = {keel_u64(ctx, 2), keel_u64(ctx, 3)};
#ifdef __SANITIZE_ADDRESS__
  /* what the sanitizer maps for itself would count */
  if (keel_int(ctx, 0) == 0 && (keel_int(ctx, 1) == RLIMIT_DATA || keel_int(ctx, 1) == RLIMIT_AS)) return keel_result(ctx, 0);
#endif
  return keel_result(ctx, syscall(SYS_prlimit64, keel_int(ctx, 0), keel_int(ctx, 1), limit, NULL));
}

static duk_ret_t do_setpriority(duk_context *ctx) {
  return keel_result(ctx, setpriority(keel_int(ctx, 0), keel_uint(ctx, 1), keel_int(ctx, 2)));
}

static duk_ret_t do_sethostname(duk_context *ctx) {
  const char *name = keel_string(ctx, 0);
  return keel_result(ctx, sethostname(name, strlen(name)));
}

static duk_ret_t do_setdomainname(duk_context *ctx) {
  const char *name = keel_string(ctx, 0);
  return keel_result(ctx, setdomainname(name, strlen(name)));
}

static duk_ret_t any_syscall(duk_context *ctx) {
  unsigned long args[6] = {0};
  duk_idx_t count = duk_get_top(ctx);
  if (count > 7) return duk_error(ctx, DUK_ERR_RANGE_ERROR, "a system call has at most 6 arguments");
  for (duk_idx_t i = 1; i < count; i++) {
    size_t size;
    if (duk_is_number(ctx, i)) args[i - 1] = (unsigned long)keel_long(ctx, i);
    else if (duk_is_string(ctx, i)) args[i - 1] = (unsigned long)keel_string(ctx, i);
    else args[i - 1] = (unsigned long)duk_require_buffer_data(ctx, i, &size);
  }
  return keel_result(ctx, syscall(keel_long(ctx, 0), args[0], args[1], args[2], args[3], args[4], args[5]));
}

void keel_register_process(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"clone", do_clone, 2},
      {"unshare", do_unshare, 1},
      {"setns", do_setns, 2},
      {"waitpid", do_waitpid, 3},
      {"kill", do_kill, 2},
      {"pidfdOpen", pidfd_open, 2},
      {"pidfdSendSignal", pidfd_send_signal, 2},
      {"pidfdGetfd", pidfd_getfd, 2},
      {"getpid", do_getpid, 0},
      {"getppid", do_getppid, 0},
      {"getuid", do_getuid, 0},
      {"geteuid", do_geteuid, 0},
      {"getgid", do_getgid, 0},
      {"getpgrp", do_getpgrp, 0},
      {"execve", do_execve, 3},
      {"fexecve", do_fexecve, 3},
      {"prctl", do_prctl, 5},
      {"setsid", do_setsid, 0},
      {"setpgid", do_setpgid, 2},
      {"setresuid", do_setresuid, 3},
      {"setresgid", do_setresgid, 3},
      {"setgroups", do_setgroups, 1},
      {"umask", do_umask, 1},
      {"capset", do_capset, 6},
      {"capget", do_capget, 0},
      {"prlimit", do_prlimit, 4},
      {"setpriority", do_setpriority, 3},
      {"sethostname", do_sethostname, 1},
      {"setdomainname", do_setdomainname, 1},
      {"syscall", any_syscall, KEEL_VARARGS},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
