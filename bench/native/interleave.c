/*
 * Times command lines against each other: `interleave ROUNDS WARMUP REST_MS FILE`, one contender per line of FILE, its
 * commands separated by the word ";;" and run one after the other, words separated by tabs; what stands before "::" is
 * run first and not timed. Each round runs every contender once, so that noise of the machine meets all alike, and each
 * in another order: the kernel clears away what the one before has left, so none may always come after the same one.
 * REST_MS pass before each, untimed. Prints a JSON array: for each contender its wall times (microseconds) and peak
 * resident sizes (KiB, of the largest process of its tree). In C because a runtime's start is shorter than Node's spawn.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONTENDERS 16
#define MAX_WORDS 256
#define MAX_ROUNDS 10000

extern char **environ;

static char *words[MAX_CONTENDERS][MAX_WORDS];
static long wall_us[MAX_CONTENDERS][MAX_ROUNDS];
static long peak_kib[MAX_CONTENDERS][MAX_ROUNDS];

static long now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void run_one(char **argv, posix_spawn_file_actions_t *quiet, long *peak) {
  pid_t pid;
  int status;
  struct rusage usage;
  int error = posix_spawnp(&pid, argv[0], quiet, NULL, argv, environ);
  if (error != 0) {
    fprintf(stderr, "%s: %s\n", argv[0], strerror(error));
    exit(2);
  }
  if (wait4(pid, &status, 0, &usage) < 0 || status != 0) {
    fprintf(stderr, "%s ... ended with status 0x%x\n", argv[0], status);
    exit(2);
  }
  if (usage.ru_maxrss > *peak) *peak = usage.ru_maxrss;
}

static void run_contender(char **line, posix_spawn_file_actions_t *quiet, long *wall, long *peak) {
  char *argv[MAX_WORDS];
  int n = 0;
  long began = now_us();
  *peak = 0;
  for (char **word = line;; word++) {
    bool prepared = *word != NULL && strcmp(*word, "::") == 0;
    if (*word != NULL && strcmp(*word, ";;") != 0 && !prepared) {
      argv[n++] = *word;
      continue;
    }
    argv[n] = NULL;
    if (n > 0) run_one(argv, quiet, peak);
    n = 0;
    if (prepared) {
      began = now_us();
      *peak = 0;
    }
    if (*word == NULL) break;
  }
  *wall = now_us() - began;
}

static int read_contenders(const char *path) {
  FILE *file = fopen(path, "re");
  char *line = NULL;
  size_t size = 0;
  int count = 0;
  if (file == NULL) {
    perror(path);
    exit(2);
  }
  while (count < MAX_CONTENDERS && getline(&line, &size, file) > 0) {
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *word = strtok(line, "\t"); word != NULL && n < MAX_WORDS - 1; word = strtok(NULL, "\t")) {
      words[count][n++] = strdup(word);
    }
    words[count][n] = NULL;
    if (n > 0) count++;
  }
  free(line);
  fclose(file);
  return count;
}

static void print_list(const char *name, const long *values, int rounds, const char *end) {
  printf("\"%s\":[", name);
  for (int i = 0; i < rounds; i++) printf(i > 0 ? ",%ld" : "%ld", values[i]);
  printf("]%s", end);
}

/* The next order of lexicographic ones; after the last the first comes again. */
static void next_order(int *order, int count) {
  int head = count - 2;
  while (head >= 0 && order[head] > order[head + 1]) head--;
  if (head >= 0) {
    int tail = count - 1;
    while (order[tail] < order[head]) tail--;
    int held = order[head];
    order[head] = order[tail];
    order[tail] = held;
  }
  for (int from = head + 1, to = count - 1; from < to; from++, to--) {
    int held = order[from];
    order[from] = order[to];
    order[to] = held;
  }
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: interleave ROUNDS WARMUP REST_MS FILE\n");
    return 2;
  }
  int rounds = atoi(argv[1]);
  int warmup = atoi(argv[2]);
  useconds_t rest_us = 1000 * (useconds_t)atoi(argv[3]);
  int count = read_contenders(argv[4]);
  if (rounds < 1 || rounds > MAX_ROUNDS) {
    fprintf(stderr, "rounds: 1 to %d\n", MAX_ROUNDS);
    return 2;
  }
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
  int order[MAX_CONTENDERS];
  for (int i = 0; i < count; i++) order[i] = i;
  for (int round = -warmup; round < rounds; round++) {
    for (int i = 0; i < count; i++) {
      int at = round < 0 ? 0 : round, who = order[i];
      if (rest_us > 0) usleep(rest_us);
      run_contender(words[who], &quiet, &wall_us[who][at], &peak_kib[who][at]);
    }
    next_order(order, count);
  }
  printf("[");
  for (int i = 0; i < count; i++) {
    printf(i > 0 ? ",{" : "{");
    print_list("wallUs", wall_us[i], rounds, ",");
    print_list("peakKib", peak_kib[i], rounds, "}");
  }
  printf("]\n");
  return 0;
}
