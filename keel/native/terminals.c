/* Terminals. */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "keel.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

static duk_ret_t is_a_tty(duk_context *ctx) {
  duk_push_boolean(ctx, isatty(keel_int(ctx, 0)) == 1);
  return 1;
}

/* The slave by its master, never by a path (CVE-2025-52565); negative with errno. */
static int open_peer(int master) {
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) < 0) return -1;
  return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static duk_ret_t pty_peer(duk_context *ctx) { return keel_result(ctx, open_peer(keel_int(ctx, 0))); }

static duk_ret_t open_pty(duk_context *ctx) {
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return keel_result(ctx, -1);
  int slave = open_peer(master);
  if (slave < 0) {
    int saved = errno;
    close(master);
    errno = saved;
    return keel_result(ctx, -1);
  }
  duk_push_array(ctx);
  duk_push_int(ctx, master);
  duk_put_prop_index(ctx, -2, 0);
  duk_push_int(ctx, slave);
  duk_put_prop_index(ctx, -2, 1);
  return 1;
}

/* EPERM: not a session leader, or the terminal controls another session. */
static duk_ret_t set_controlling_tty(duk_context *ctx) { return keel_result(ctx, ioctl(keel_int(ctx, 0), TIOCSCTTY, 0)); }

static duk_ret_t get_winsize(duk_context *ctx) {
  struct winsize size;
  if (ioctl(keel_int(ctx, 0), TIOCGWINSZ, &size) < 0) return keel_result(ctx, -1);
  duk_push_array(ctx);
  duk_push_uint(ctx, size.ws_row);
  duk_put_prop_index(ctx, -2, 0);
  duk_push_uint(ctx, size.ws_col);
  duk_put_prop_index(ctx, -2, 1);
  return 1;
}

static duk_ret_t set_winsize(duk_context *ctx) {
  struct winsize size = {.ws_row = (unsigned short)keel_uint(ctx, 1), .ws_col = (unsigned short)keel_uint(ctx, 2)};
  return keel_result(ctx, ioctl(keel_int(ctx, 0), TIOCSWINSZ, &size));
}

static duk_ret_t set_raw(duk_context *ctx) {
  struct termios saved;
  int fd = keel_int(ctx, 0);
  if (tcgetattr(fd, &saved) < 0) return keel_result(ctx, -1);
  struct termios raw = saved;
  cfmakeraw(&raw);
  raw.c_oflag |= OPOST; /* what is copied here ends its lines with a newline alone */
  if (tcsetattr(fd, TCSANOW, &raw) < 0) return keel_result(ctx, -1);
  memcpy(duk_push_fixed_buffer(ctx, sizeof saved), &saved, sizeof saved);
  return 1;
}

static duk_ret_t restore_term(duk_context *ctx) {
  struct termios saved;
  size_t size;
  const void *data = duk_require_buffer_data(ctx, 1, &size);
  if (size != sizeof saved) return duk_error(ctx, DUK_ERR_TYPE_ERROR, "no terminal settings");
  memcpy(&saved, data, sizeof saved);
  return keel_result(ctx, tcsetattr(keel_int(ctx, 0), TCSANOW, &saved));
}

void keel_register_terminals(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"isatty", is_a_tty, 1},
      {"openPty", open_pty, 0},
      {"ptyPeer", pty_peer, 1},
      {"setControllingTty", set_controlling_tty, 1},
      {"getWinsize", get_winsize, 1},
      {"setWinsize", set_winsize, 3},
      {"setRaw", set_raw, 1},
      {"restoreTerm", restore_term, 2},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
