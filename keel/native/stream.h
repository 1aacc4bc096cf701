/* The bytes of one layer on their way from a descriptor to the tar reader: hashed, decompressed, hashed again. */
#ifndef KEEL_STREAM_H
#define KEEL_STREAM_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct stream_result {
  bool digested;       /* there is a digest */
  uint8_t digest[32];  /* of the bytes read */
  uint8_t diff_id[32]; /* of the tar stream */
  uint64_t read_bytes;
  uint64_t tar_bytes;
};

struct stream_limits {
  uint64_t max_bytes;  /* of tar */
  uint64_t free_bytes; /* tar may come out of anything up to here, */
  uint64_t max_ratio;  /* and after that so many times the bytes read */
};

/* Starts reading fd with gzip, zstd or no compression, found by its first bytes. More tar than the limits allow fails.
   With grows >= 0 the file still grows: its end is the layer's when grows has ended too, until then each byte there says
   that there is more; its writer takes the digest.
   Returns 0 or -errno. One stream per process; its memory does not depend on the layer. */
int stream_open(int fd, int grows, struct stream_limits limits);

/* The next piece of the tar stream, good until the next call. Returns its length, 0 at the end, -1: see stream_error. */
ssize_t stream_read(const void **piece);

/* What went wrong: a text, or NULL when *errnum tells all. */
const char *stream_error(int *errnum);

/* Reads on to the end. Returns 0, or -1: see stream_error. */
int stream_finish(struct stream_result *result);

#endif
