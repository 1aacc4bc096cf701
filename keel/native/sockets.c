/* Unix sockets, descriptor passing, polling, network interfaces. */
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "keel.h"

#define MAX_FDS 16
#define MAX_POLL 256

/*
 * Fills the address for a path of any length: one that does not fit sun_path goes through a descriptor of its
 * directory, which the caller closes. Returns that descriptor, -1 for none, or -2 with errno.
 */
static int fill_address(const char *path, struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(path) < sizeof address->sun_path) {
    strcpy(address->sun_path, path);
    return -1;
  }
  const char *slash = strrchr(path, '/');
  char directory[4096];
  if (!slash || (size_t)(slash - path) >= sizeof directory) {
    errno = ENAMETOOLONG;
    return -2;
  }
  memcpy(directory, path, (size_t)(slash - path));
  directory[slash - path] = '\0';
  int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -2;
  int size = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d%s", fd, slash);
  if (size < 0 || (size_t)size >= sizeof address->sun_path) {
    close(fd);
    errno = ENAMETOOLONG;
    return -2;
  }
  return fd;
}

/* Closes both, keeps errno, returns -1. */
static long fail_closing(int fd, int directory) {
  int saved = errno;
  if (fd >= 0) close(fd);
  if (directory >= 0) close(directory);
  errno = saved;
  return -1;
}

/* Listens with a backlog of 0 or more; a datagram socket (-1) is only bound. */
static duk_ret_t unix_listen(duk_context *ctx) {
  struct sockaddr_un address;
  int directory = fill_address(keel_string(ctx, 0), &address);
  if (directory == -2) return keel_result(ctx, -1);
  int fd = socket(AF_UNIX, keel_int(ctx, 1) | SOCK_CLOEXEC, 0);
  /* the mode of the unbound socket is that of the file bind makes (unix(7)) */
  if (fd < 0 || fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
      (keel_int(ctx, 2) >= 0 && listen(fd, keel_int(ctx, 2)) < 0)) {
    return keel_result(ctx, fail_closing(fd, directory));
  }
  if (directory >= 0) close(directory);
  return keel_result(ctx, fd);
}

/* A path that begins with @ is an abstract address. ECONNREFUSED: nobody listens any more. */
static duk_ret_t unix_connect(duk_context *ctx) {
  struct sockaddr_un address;
  socklen_t size = sizeof address;
  int directory = fill_address(keel_string(ctx, 0), &address);
  if (directory == -2) return keel_result(ctx, -1);
  if (address.sun_path[0] == '@') {
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address.sun_path));
    address.sun_path[0] = '\0';
  }
  int fd = socket(AF_UNIX, keel_int(ctx, 1) | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) < 0) return keel_result(ctx, fail_closing(fd, directory));
  if (directory >= 0) close(directory);
  return keel_result(ctx, fd);
}

static duk_ret_t do_accept(duk_context *ctx) { return keel_result(ctx, accept4(keel_int(ctx, 0), NULL, NULL, SOCK_CLOEXEC)); }

static duk_ret_t do_socketpair(duk_context *ctx) {
  int fds[2];
  if (socketpair(AF_UNIX, keel_int(ctx, 0) | SOCK_CLOEXEC, 0, fds) < 0) return keel_result(ctx, -1);
  duk_push_array(ctx);
  for (duk_uarridx_t i = 0; i < 2; i++) {
    duk_push_int(ctx, fds[i]);
    duk_put_prop_index(ctx, -2, i);
  }
  return 1;
}

static duk_ret_t send_fds(duk_context *ctx) {
  int fds[MAX_FDS];
  size_t size;
  const void *data = keel_data(ctx, 1, &size);
  size_t count = keel_ints(ctx, 2, fds, MAX_FDS);
  struct iovec part = {.iov_base = (void *)data, .iov_len = size};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fds)];
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    memset(control, 0, sizeof control);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof *fds);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof *fds);
    memcpy(CMSG_DATA(header), fds, count * sizeof *fds);
  }
  return keel_result(ctx, sendmsg(keel_int(ctx, 0), &message, MSG_NOSIGNAL));
}

static duk_ret_t recv_fds(duk_context *ctx) {
  int64_t max = keel_long(ctx, 1);
  if (max < 0 || max > 1 << 20) return duk_error(ctx, DUK_ERR_RANGE_ERROR, "no such size");
  char *data = duk_push_fixed_buffer(ctx, (size_t)max);
  struct iovec part = {.iov_base = data, .iov_len = (size_t)max};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(MAX_FDS * sizeof(int))];
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  long size = recvmsg(keel_int(ctx, 0), &message, MSG_CMSG_CLOEXEC);
  if (size < 0) return keel_result(ctx, size);
  duk_push_object(ctx);
  duk_push_lstring(ctx, data, (size_t)size);
  duk_put_prop_string(ctx, -2, "data");
  duk_push_array(ctx);
  duk_uarridx_t count = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < fds; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      duk_push_int(ctx, fd);
      duk_put_prop_index(ctx, -2, count++);
    }
  }
  duk_put_prop_string(ctx, -2, "fds");
  return 1;
}

static duk_ret_t poll_with(duk_context *ctx, int timeout, duk_idx_t out, bool rest) {
  int values[2 * MAX_POLL];
  struct pollfd fds[MAX_POLL];
  size_t count = keel_ints(ctx, 0, values, 2 * MAX_POLL) / 2;
  for (size_t i = 0; i < count; i++) fds[i] = (struct pollfd){.fd = values[2 * i], .events = (short)values[2 * i + 1]};
  if (rest) keel_drop_pages();
  int ready = poll(fds, count, timeout);
  if (ready < 0) return keel_result(ctx, ready);
  for (size_t i = 0; i < count; i++) {
    duk_push_int(ctx, fds[i].revents);
    duk_put_prop_index(ctx, out, (duk_uarridx_t)i);
  }
  return keel_result(ctx, ready);
}

static duk_ret_t do_poll(duk_context *ctx) {
  return poll_with(ctx, keel_int(ctx, 1), 2, false);
}

static duk_ret_t poll_at_rest(duk_context *ctx) {
  return poll_with(ctx, -1, 1, true);
}

static duk_ret_t interface_up(duk_context *ctx) {
  const char *name = keel_string(ctx, 0);
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  /* any socket takes interface ioctls; AF_UNIX is there on every kernel */
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return keel_result(ctx, -1);
  if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) return keel_result(ctx, fail_closing(fd, -1));
  request.ifr_flags |= IFF_UP;
  if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) return keel_result(ctx, fail_closing(fd, -1));
  close(fd);
  return keel_result(ctx, 0);
}

void keel_register_sockets(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"unixListen", unix_listen, 3},
      {"unixConnect", unix_connect, 2},
      {"accept", do_accept, 1},
      {"socketpair", do_socketpair, 1},
      {"sendFds", send_fds, 3},
      {"recvFds", recv_fds, 2},
      {"poll", do_poll, 3},
      {"pollAtRest", poll_at_rest, 2},
      {"interfaceUp", interface_up, 1},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
