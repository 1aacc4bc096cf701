/*
 * Compares keel's decoder of DEFLATE with zlib's, for sound streams and for damaged ones, with the edges of buffers anywhere.
 * Buffers are no larger than they must be, so that the address sanitizer sees a byte too much. usage: inflate-fuzz SEED ROUNDS
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "inflate.h"

#define MOST_OUT (1 << 22)
#define MOST_PLAIN 150000
#define MOST_PACKED (2 * MOST_PLAIN)

static uint64_t state;

static unsigned below(unsigned limit) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (unsigned)(state >> 11) % limit;
}

static const uint8_t *rest;
static size_t rest_size;
static unsigned chunk;
static uint8_t *input;
static uint8_t *output;
static uint8_t all[MOST_OUT];
static size_t all_size;

static bool more_input(struct inflater *z) {
  if (rest_size == 0) return false;
  size_t size = 1 + below(chunk);
  if (size > rest_size) size = rest_size;
  free(input);
  input = malloc(size);
  memcpy(input, rest, size);
  rest += size;
  rest_size -= size;
  z->next_in = input;
  z->end_in = input + size;
  return true;
}

/* A place for output of its own, behind a copy of the window. */
static void new_output(struct inflater *z) {
  size_t room = 300 + below(70000), window = all_size < INFLATE_WINDOW ? all_size : INFLATE_WINDOW;
  uint8_t *place = malloc(INFLATE_WINDOW + room);
  memcpy(place + INFLATE_WINDOW - window, all + all_size - window, window);
  free(output);
  output = place;
  z->next_out = place + INFLATE_WINDOW;
  z->end_out = z->next_out + room;
}

static bool keep_output(struct inflater *z) {
  size_t size = (size_t)(z->next_out - output) - INFLATE_WINDOW;
  if (all_size + size > MOST_OUT) return false;
  memcpy(all + all_size, output + INFLATE_WINDOW, size);
  all_size += size;
  return true;
}

static bool more_output(struct inflater *z) {
  if (!keep_output(z)) return false;
  new_output(z);
  return true;
}

/* Noise, few symbols, long runs, or matches at all distances. */
static void fill(uint8_t *plain, size_t size) {
  unsigned kind = below(4);
  for (size_t i = 0; i < size; i++) {
    if (kind == 1) plain[i] = (uint8_t)below(4);
    else if (kind == 2) plain[i] = below(300) < 299 ? 'a' : (uint8_t)below(256);
    else if (kind == 3 && i > 40 && below(4)) plain[i] = plain[i - 1 - below(i < INFLATE_WINDOW ? (unsigned)i : INFLATE_WINDOW)];
    else plain[i] = (uint8_t)below(256);
  }
}

static size_t pack(uint8_t *plain, size_t size, uint8_t *packed) {
  z_stream z = {0};
  deflateInit2(&z, (int)below(10), Z_DEFLATED, -(9 + (int)below(7)), 1 + (int)below(9), (int)below(5));
  z.next_in = plain;
  z.avail_in = (uInt)size;
  z.next_out = packed;
  z.avail_out = MOST_PACKED;
  deflate(&z, Z_FINISH);
  deflateEnd(&z);
  return z.total_out;
}

static size_t damage(uint8_t *packed, size_t size) {
  for (unsigned times = below(3) ? 1 + below(4) : 0; times > 0; times--) {
    // the code lengths are at the beginning
    unsigned at = below(below(2) && size > 100 ? 100 : (unsigned)size);
    packed[at] = below(2) ? packed[at] ^ (uint8_t)(1u << below(8)) : (uint8_t)below(256);
  }
  return below(20) ? size : below((unsigned)size + 1);
}

/* Returns 0 when both say the same. */
static int compare(uint8_t *packed, size_t size, bool *sound) {
  static uint8_t expected[MOST_OUT];
  z_stream theirs = {.next_in = packed, .avail_in = (uInt)size, .next_out = expected, .avail_out = MOST_OUT};
  inflateInit2(&theirs, -MAX_WBITS);
  *sound = inflate(&theirs, Z_FINISH) == Z_STREAM_END;
  inflateEnd(&theirs);

  struct inflater *ours = calloc(1, sizeof *ours);
  ours->refill = more_input;
  ours->drain = more_output;
  rest = packed;
  rest_size = size;
  chunk = below(2) ? 1 + below(40) : MOST_PACKED;
  all_size = 0;
  new_output(ours);
  bool inflated = inflate_stream(ours) == INFLATED;
  bool kept = keep_output(ours);
  size_t used = size - rest_size - (size_t)(ours->end_in - ours->next_in) - ours->count / 8;
  free(ours);
  if (inflated != *sound) return 1;
  if (!inflated) return 0;
  return !kept || all_size != theirs.total_out || memcmp(all, expected, all_size) != 0 || used != theirs.total_in;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  static uint8_t plain[MOST_PLAIN], packed[MOST_PACKED];
  state = strtoull(argv[1], NULL, 10) * 2654435761u + 88172645463325252u;
  int rounds = atoi(argv[2]), sound = 0;
  for (int round = 0; round < rounds; round++) {
    size_t size = 1 + below(below(4) ? 3000 : MOST_PLAIN);
    fill(plain, size);
    bool whole;
    size_t packed_size = damage(packed, pack(plain, size, packed));
    if (compare(packed, packed_size, &whole) != 0) {
      printf("seed %s, round %d: keel and zlib differ\n", argv[1], round);
      return 1;
    }
    sound += whole;
  }
  printf("%d sound, %d damaged\n", sound, rounds - sound);
  free(input);
  free(output);
  return 0;
}
