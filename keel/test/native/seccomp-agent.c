/*
 * A seccomp agent for tests: listens at argv[1], takes one listener, prints the message that came with it, and answers
 * every call it is asked about: mkdir and mkdirat with ENOANO, all others by letting the kernel go on.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "receive.h"

int main(int argc, char **argv) {
  char text[8192];
  if (argc != 2) return 2;
  int listener = receive(argv[1], text, sizeof text);
  if (listener < 0) return 1;
  puts(text);
  fflush(stdout);
  for (;;) {
    struct seccomp_notif request;
    memset(&request, 0, sizeof request);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0) {
      if (errno == EINTR) continue;
      return 0;
    }
    struct seccomp_notif_resp response = {.id = request.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    int number = request.data.nr;
    if (number == SYS_mkdirat
#ifdef SYS_mkdir
        || number == SYS_mkdir
#endif
    ) {
      response.flags = 0;
      response.error = -ENOANO;
    }
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
  }
}
