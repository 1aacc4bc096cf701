/*
 * `throughput FILE`: decodes a gzip file and hashes what is in it, with keel's code and with libraries; prints for each what it did per
 * second of processor time. All get the same pieces, as keel hands them on.
 */
#define _GNU_SOURCE
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>
#ifdef WITH_ISAL
#include <isa-l/igzip_lib.h>
#endif
#ifdef WITH_CRYPTO
#include <openssl/evp.h>
#endif

#include "inflate.h"

#define PIECE (256 * 1024)
#define PIECES 8

static uint8_t *input, *memory;
static size_t size, at, total, piece;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void tell(const char *name, double began) { printf("%s\t%.1f\n", name, (double)total / (now() - began) / 1e6); }

static void check(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "%s failed\n", what);
  exit(1);
}

static bool refill(struct inflater *z) {
  size_t n = size - at < PIECE ? size - at : PIECE;
  z->next_in = input + at;
  z->end_in = z->next_in + n;
  at += n;
  return n > 0;
}

static bool drain(struct inflater *z) {
  if (z->next_out) total += PIECE, piece = (piece + 1) % PIECES;
  z->next_out = memory + INFLATE_WINDOW + piece * PIECE;
  z->end_out = z->next_out + PIECE;
  if (piece == 0) memcpy(memory, memory + PIECES * PIECE, INFLATE_WINDOW);
  return true;
}

static void ours(void) {
  double began = now();
  struct inflater *z = calloc(1, sizeof *z);
  z->refill = refill;
  z->drain = drain;
  at = total = piece = 0;
  drain(z);
  /* the files were made by gzip -n: ten bytes before, eight behind */
  while (inflate_byte(z) == 0x1f) {
    for (int i = 0; i < 9; i++) inflate_byte(z);
    check(inflate_stream(z) == INFLATED, "keel");
    for (int i = 0; i < 8; i++) inflate_byte(z);
  }
  total += (size_t)(z->next_out - (memory + INFLATE_WINDOW + piece * PIECE));
  tell("inflate: keel", began);
  free(z);
}

static void by_zlib(void) {
  double began = now();
  z_stream z = {.next_in = input, .avail_in = (uInt)size};
  inflateInit2(&z, 31);
  total = 0;
  while (z.avail_in > 0) {
    z.next_out = memory;
    z.avail_out = PIECE;
    int result = inflate(&z, Z_NO_FLUSH);
    total += PIECE - z.avail_out;
    if (result == Z_STREAM_END) inflateReset(&z);
    else check(result == Z_OK || result == Z_BUF_ERROR, "zlib");
  }
  inflateEnd(&z);
  tell("inflate: zlib", began);
}

#ifdef WITH_ISAL
static void by_isal(void) {
  double began = now();
  struct inflate_state *z = malloc(sizeof *z);
  uint8_t *next = input, *end = input + size;
  total = 0;
  while (next < end) {
    isal_inflate_init(z);
    z->crc_flag = ISAL_GZIP;
    z->next_in = next;
    z->avail_in = (uint32_t)(end - next);
    do {
      z->next_out = memory;
      z->avail_out = PIECE;
      check(isal_inflate(z) == ISAL_DECOMP_OK, "isa-l");
      total += PIECE - z->avail_out;
    } while (z->block_state != ISAL_BLOCK_FINISH);
    next = z->next_in;
  }
  free(z);
  tell("inflate: isa-l", began);
}
#endif

#ifdef WITH_CRYPTO
static void hash_by_crypto(const uint8_t *bytes, size_t length) {
  double began = now();
  EVP_MD_CTX *hash = EVP_MD_CTX_new();
  EVP_DigestInit(hash, EVP_sha256());
  for (size_t i = 0; i < length; i += PIECE) EVP_DigestUpdate(hash, bytes + i, length - i < PIECE ? length - i : PIECE);
  EVP_MD_CTX_free(hash);
  tell("sha256: libcrypto", began);
}
#endif

static void hash_by_nettle(const uint8_t *bytes, size_t length) {
  double began = now();
  struct sha256_ctx hash;
  sha256_init(&hash);
  for (size_t i = 0; i < length; i += PIECE) sha256_update(&hash, length - i < PIECE ? length - i : PIECE, bytes + i);
  tell("sha256: keel", began);
}

int main(int argc, char **argv) {
  FILE *file = argc == 2 ? fopen(argv[1], "re") : NULL;
  if (!file) return 2;
  fseek(file, 0, SEEK_END);
  size = (size_t)ftell(file);
  rewind(file);
  input = malloc(size);
  memory = calloc(1, INFLATE_WINDOW + PIECES * PIECE);
  if (!input || !memory || fread(input, 1, size, file) != size) return 2;
  ours();
  by_zlib();
#ifdef WITH_ISAL
  by_isal();
#endif
  total = size;
  hash_by_nettle(input, size);
#ifdef WITH_CRYPTO
  hash_by_crypto(input, size);
#endif
  return 0;
}
