/* Signals. Masks go to the kernel directly: the library hides two real-time signals from its own. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keel.h"

#define SIGNALS 64

static uint64_t mask_of(duk_context *ctx, duk_idx_t index) {
  int signals[SIGNALS];
  size_t count = keel_ints(ctx, index, signals, SIGNALS);
  uint64_t mask = 0;
  for (size_t i = 0; i < count; i++) {
    if (signals[i] < 1 || signals[i] > SIGNALS) return (uint64_t)duk_error(ctx, DUK_ERR_RANGE_ERROR, "no signal %d", signals[i]);
    mask |= 1ULL << (signals[i] - 1);
  }
  return mask;
}

static duk_ret_t do_sigprocmask(duk_context *ctx) {
  uint64_t mask = mask_of(ctx, 1);
  return keel_result(ctx, syscall(SYS_rt_sigprocmask, keel_int(ctx, 0), &mask, NULL, sizeof mask));
}

static duk_ret_t reset_signals(duk_context *ctx) {
  /* the kernel's structure starts with the handler: all zero is SIG_DFL without flags */
  unsigned char action[64];
  memset(action, 0, sizeof action);
  uint64_t changed = duk_is_undefined(ctx, 0) ? UINT64_MAX : mask_of(ctx, 0);
  for (int i = 1; i <= SIGNALS; i++)
    if (changed >> (i - 1) & 1) syscall(SYS_rt_sigaction, i, action, NULL, sizeof(uint64_t));
  uint64_t none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
  return 0;
}

static duk_ret_t ignore_signal(duk_context *ctx) { return keel_result(ctx, signal(keel_int(ctx, 0), SIG_IGN) == SIG_ERR ? -1 : 0); }

static duk_ret_t do_signalfd(duk_context *ctx) {
  uint64_t mask = mask_of(ctx, 0);
  return keel_result(ctx, syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC | SFD_NONBLOCK));
}

static duk_ret_t read_signalfd(duk_context *ctx) {
  struct signalfd_siginfo info;
  long count = read(keel_int(ctx, 0), &info, sizeof info);
  if (count < 0) return keel_result(ctx, count);
  double values[4] = {info.ssi_signo, info.ssi_pid, info.ssi_uid, info.ssi_status};
  duk_push_array(ctx);
  for (duk_uarridx_t i = 0; i < 4; i++) {
    duk_push_number(ctx, values[i]);
    duk_put_prop_index(ctx, -2, i);
  }
  return 1;
}

void keel_register_signals(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"sigprocmask", do_sigprocmask, 2},
      {"resetSignals", reset_signals, 1},
      {"ignoreSignal", ignore_signal, 1},
      {"signalfd", do_signalfd, 1},
      {"readSignalfd", read_signalfd, 1},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
