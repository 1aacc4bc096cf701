/* For test programs: one message with one descriptor over a socket that is listened to at a path. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Says "listening" on stdout when it does; puts the message into `text`, ended by NUL. Returns the descriptor, or -1. */
static int receive(const char *path, char *text, size_t size) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&address, sizeof address) < 0 || listen(server, 1) < 0) return -1;
  puts("listening");
  fflush(stdout);
  int connection = accept(server, NULL, NULL);
  close(server);
  char control[CMSG_SPACE(sizeof(int))];
  struct iovec part = {text, size - 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(connection, &message, 0);
  struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
  if (!header) return -1;
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  text[got] = '\0';
  return fd;
}
