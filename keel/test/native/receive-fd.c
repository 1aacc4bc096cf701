/* Listens at argv[1], takes one message with one descriptor, and prints the message and what the descriptor is. */
#include <fcntl.h>

#include "receive.h"

int main(int argc, char **argv) {
  char text[256];
  if (argc != 2) return 2;
  int fd = receive(argv[1], text, sizeof text);
  if (fd < 0) return 1;
  puts(text);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  int info = open(path, O_RDONLY);
  ssize_t got;
  while ((got = read(info, text, sizeof text)) > 0) fwrite(text, 1, (size_t)got, stdout);
  return 0;
}
