/* Listens at argv[1], takes one message with one descriptor, and prints the message and what the descriptor is. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
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
  char text[256];
  char control[CMSG_SPACE(sizeof(int))];
  struct iovec part = {text, sizeof text - 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(connection, &message, 0);
  struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
  if (!header) return 1;
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  text[got] = '\0';
  puts(text);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  int info = open(path, O_RDONLY);
  while ((got = read(info, text, sizeof text)) > 0) fwrite(text, 1, (size_t)got, stdout);
  return 0;
}
