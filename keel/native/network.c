/*
 * A network namespace that is made beside the engine: it takes the kernel longer than all others together. The process
 * that makes it shares our memory and our descriptors, so it may do system calls and nothing else.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "call.h"
#include "keel.h"

enum { WAITING, WORKING, TOO_LATE };
/* On a busy machine the process may not have had its turn when its result is wanted: then it is not waited for. */
static int progress;
/* The descriptor, or -errno; read when the process has ended. */
static volatile long made;
static char stack[16384] __attribute__((aligned(16)));

__attribute__((no_sanitize("address", "undefined"))) BARE static int make(void *unused) {
  (void)unused;
  int expected = WAITING;
  if (!__atomic_compare_exchange_n(&progress, &expected, WORKING, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    call(SYS_exit, 0, 0, 0, 0, 0);
  }
  struct ifreq loopback = {.ifr_name = "lo"};
  long result = call(SYS_unshare, CLONE_NEWNET, 0, 0, 0, 0);
  if (result == 0) {
    long fd = call(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0);
    result = fd < 0 ? fd : call(SYS_ioctl, fd, SIOCGIFFLAGS, (long)&loopback, 0, 0);
    loopback.ifr_flags |= IFF_UP;
    if (result == 0) result = call(SYS_ioctl, fd, SIOCSIFFLAGS, (long)&loopback, 0, 0);
    if (fd >= 0) call(SYS_close, fd, 0, 0, 0, 0);
  }
  if (result == 0) result = call(SYS_openat, AT_FDCWD, (long)"/proc/self/ns/net", O_RDONLY | O_CLOEXEC, 0, 0);
  made = result;
  call(SYS_exit, 0, 0, 0, 0, 0);
  return 0;
}

/* The pid of the process that makes it. Its end is told by no signal. */
static duk_ret_t begin_network(duk_context *ctx) {
  return keel_result(ctx, clone(make, stack + sizeof stack, CLONE_VM | CLONE_FILES, NULL));
}

/* EAGAIN: not begun. EPERM, ENOSPC past user.max_net_namespaces, and what was refused of the loopback interface. */
static duk_ret_t end_network(duk_context *ctx) {
  pid_t pid = keel_int(ctx, 0);
  int expected = WAITING;
  bool late = __atomic_compare_exchange_n(&progress, &expected, TOO_LATE, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  if (late) made = -EAGAIN;
  if (!late || duk_require_boolean(ctx, 1)) {
    while (waitpid(pid, NULL, __WCLONE) < 0) {
      if (errno != EINTR) return keel_result(ctx, -1);
    }
  }
  if (made < 0) errno = (int)-made;
  return keel_result(ctx, made < 0 ? -1 : made);
}

void keel_register_network(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"beginNetwork", begin_network, 0},
      {"endNetwork", end_network, 2},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
