/*
 * The hostile side of the race tests. usage:
 *   attacker swap A B [A B…]    swaps names for ever
 *   attacker watch TEXT OUT     writes a line to OUT for every process that lets itself be looked at and runs no TEXT
 *   attacker status             prints its /proc/self/status
 *   attacker mounts TEXT OUT    writes to OUT if there is a mount whose mount point begins with TEXT (as a hook)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXCHANGE 2

/* A pseudo-random pause of up to 40 µs, so that no phase of the victim is always met in the same state. */
static void pause_a_little(void) {
  static unsigned int seed = 1;
  seed = seed * 1103515245u + 12345u;
  for (volatile unsigned int i = (seed >> 16) % 20000; i > 0; i--) {
  }
}

static int swap(char **names) {
  for (;;) {
    for (char **pair = names; pair[0] && pair[1]; pair += 2) {
      if (syscall(SYS_renameat2, AT_FDCWD, pair[0], AT_FDCWD, pair[1], EXCHANGE) < 0) return 1;
    }
    pause_a_little();
  }
}

static int mounts(const char *text, const char *out) {
  FILE *table = fopen("/proc/self/mountinfo", "r");
  char line[8192], point[4096];
  while (table && fgets(line, sizeof line, table)) {
    if (sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1 || strncmp(point, text, strlen(text)) != 0) continue;
    int file = open(out, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (write(file, line, strlen(line)) < 0) return 1;
  }
  return 0;
}

static int watch(const char *text, const char *out) {
  int file = open(out, O_WRONLY | O_CREAT | O_APPEND, 0644);
  for (;;) {
    for (int pid = 2; pid < 4000; pid++) {
      char path[64], target[4096];
      snprintf(path, sizeof path, "/proc/%d/exe", pid);
      long size = readlink(path, target, sizeof target - 2);
      if (size <= 0) {
        /* numbers are given in order: behind a gap there is nothing for a while */
        if (pid > 300 && pid % 64 == 0) break;
        continue;
      }
      target[size] = '\0';
      if (strstr(target, text)) continue;
      target[size] = '\n';
      if (write(file, target, (size_t)size + 1) < 0) return 1;
    }
  }
}

static int status(void) {
  char text[8192];
  long size = read(open("/proc/self/status", O_RDONLY), text, sizeof text);
  return size > 0 && write(1, text, (size_t)size) == size ? 0 : 1;
}

int main(int argc, char **argv) {
  if (argc >= 4 && strcmp(argv[1], "swap") == 0) return swap(argv + 2);
  if (argc == 4 && strcmp(argv[1], "mounts") == 0) return mounts(argv[2], argv[3]);
  if (argc == 4 && strcmp(argv[1], "watch") == 0) return watch(argv[2], argv[3]);
  if (argc == 2 && strcmp(argv[1], "status") == 0) return status();
  return 2;
}
