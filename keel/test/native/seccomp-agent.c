/*
 * A seccomp agent for tests: listens at argv[1], takes one listener, prints the message that came with it, and answers
 * every call it is asked about: mkdir and mkdirat with ENOANO, all others by letting the kernel go on.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc != 2) return 2;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&address, sizeof address) < 0 || listen(server, 1) < 0) return 1;
  puts("listening");
  fflush(stdout);
  int connection = accept(server, NULL, NULL);
  close(server);
  char text[8192];
  char control[CMSG_SPACE(sizeof(int))];
  struct iovec part = {text, sizeof text - 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(connection, &message, 0);
  struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
  if (!header) return 1;
  int listener;
  memcpy(&listener, CMSG_DATA(header), sizeof listener);
  text[got] = '\0';
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
