/*
 * Three threads share the work, because a layer is bound by one core otherwise: one reads, hashes and decompresses, one
 * hashes the tar stream, and the caller parses it and writes files. They meet in a ring of buffers.
 */
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "inflate.h"
#include "stream.h"

#define SLOTS 8
#define SLOT_BYTES (256 * 1024)
#define INPUT_BYTES (256 * 1024)
#define STACK_BYTES (256 * 1024)

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  uint8_t *slot[SLOTS];
  size_t length[SLOTS];
  /* Numbers of slots ever filled, hashed and given back by the caller; slot i is i % SLOTS. */
  uint64_t filled, hashed, released;
  bool ended;
  int errnum;
  const char *text;
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* Of the reading thread only, until it has ended. */
static struct {
  int fd;
  int grows; /* -1: fd has all */
  uint8_t *input;
  size_t at, end;
  bool plain, hashed;
  struct stream_limits limits;
  uint64_t read_bytes, tar_bytes;
  struct sha256_ctx hash;
  size_t used; /* bytes in the slot being filled */
} in;

static struct sha256_ctx tar_hash;
static pthread_t reader, hasher;
static bool holding; /* the caller has a slot */

static bool fail(int errnum, const char *text) {
  ring.errnum = errnum;
  ring.text = text;
  return false;
}

static ssize_t read_again(int fd, void *bytes, size_t room) {
  ssize_t got;
  do got = read(fd, bytes, room);
  while (got < 0 && errno == EINTR);
  return got;
}

/* As read(2), but what still grows has no end. */
static ssize_t read_input(void *bytes, size_t room) {
  for (;;) {
    ssize_t got = read_again(in.fd, bytes, room);
    if (got != 0 || in.grows < 0) return got;
    char word[256];
    ssize_t more = read_again(in.grows, word, sizeof word);
    if (more < 0) return more;
    /* the file is to be on the disk soon after it is whole */
    (void)sync_file_range(in.fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    /* what came before the end of the word is in the file, but perhaps was not yet when we looked */
    if (more == 0) in.grows = -1;
  }
}

/* Reads more input when all of it is used. Returns false at the end or on failure (ring.errnum). */
static bool refill(void) {
  if (in.at < in.end) return true;
  ssize_t got = read_input(in.input, INPUT_BYTES);
  if (got < 0) return fail(errno, NULL);
  in.at = 0;
  in.end = (size_t)got;
  in.read_bytes += (uint64_t)got;
  if (in.hashed) sha256_update(&in.hash, (size_t)got, in.input);
  return got > 0;
}

static void wait_for_slot(void) {
  pthread_mutex_lock(&ring.lock);
  while (ring.filled - (ring.hashed < ring.released ? ring.hashed : ring.released) >= SLOTS)
    pthread_cond_wait(&ring.changed, &ring.lock);
  pthread_mutex_unlock(&ring.lock);
}

static void publish(void) {
  if (in.used == 0) return;
  pthread_mutex_lock(&ring.lock);
  ring.length[ring.filled % SLOTS] = in.used;
  ring.filled++;
  pthread_cond_broadcast(&ring.changed);
  pthread_mutex_unlock(&ring.lock);
  in.used = 0;
}

/* Where the next tar bytes go: *room > 0 bytes. */
static uint8_t *output(size_t *room) {
  if (in.used == 0) wait_for_slot();
  *room = SLOT_BYTES - in.used;
  return ring.slot[ring.filled % SLOTS] + in.used;
}

/* Counts bytes written to output(). Returns false when the layer is too big. */
static bool produced(size_t bytes) {
  in.tar_bytes += bytes;
  in.used += bytes;
  if (in.used == SLOT_BYTES) publish();
  if (in.tar_bytes > in.limits.max_bytes) return fail(0, "it unpacks to more bytes than are allowed");
  return in.tar_bytes <= in.limits.free_bytes || in.tar_bytes / in.limits.max_ratio <= in.read_bytes ||
         fail(0, "it unpacks to more times its size than is allowed");
}

static bool copy_plain(void) {
  while (refill()) {
    size_t room;
    uint8_t *out = output(&room);
    size_t n = in.end - in.at < room ? in.end - in.at : room;
    memcpy(out, in.input + in.at, n);
    in.at += n;
    if (!produced(n)) return false;
  }
  return ring.errnum == 0;
}

static bool more_gzip(struct inflater *z) {
  if (!refill()) return false;
  z->next_in = in.input + in.at;
  z->end_in = in.input + in.end;
  in.at = in.end;
  return true;
}

/* Hands on what was decoded. */
static bool produced_by(struct inflater *z) { return produced((size_t)(z->next_out - ring.slot[ring.filled % SLOTS]) - in.used); }

/* The slots are one piece of memory, so that matches find what they copy; before the first goes the end of the last. */
static bool next_slot(struct inflater *z) {
  if (z->next_out && !produced_by(z)) return false;
  size_t room;
  z->next_out = output(&room);
  z->end_out = z->next_out + room;
  if (ring.filled > 0 && ring.filled % SLOTS == 0)
    memcpy(ring.slot[0] - INFLATE_WINDOW, ring.slot[SLOTS - 1] + SLOT_BYTES - INFLATE_WINDOW, INFLATE_WINDOW);
  return true;
}

/* The rest of a member's header after its first byte (RFC 1952). False when it is none. */
static bool gzip_header(struct inflater *z) {
  if (inflate_byte(z) != 0x8b || inflate_byte(z) != 8) return false;
  int flags = inflate_byte(z), byte = 0;
  for (int i = 0; i < 6; i++) byte = inflate_byte(z);
  if (flags & 4) {
    int length = inflate_byte(z);
    length |= inflate_byte(z) << 8;
    for (; length > 0; length--) byte = inflate_byte(z);
  }
  for (int texts = (flags >> 3 & 1) + (flags >> 4 & 1); texts > 0; texts--)
    while ((byte = inflate_byte(z)) > 0) {}
  if (flags & 2 && inflate_byte(z) >= 0) byte = inflate_byte(z);
  return byte >= 0 && (flags & 0xe0) == 0;
}

/* The trailer's checksum is not looked at: a layer's bytes are known by their digests. */
static bool gzip_trailer(struct inflater *z, uint64_t length) {
  uint32_t told = 0;
  for (int i = 0; i < 8; i++) {
    int byte = inflate_byte(z);
    if (byte < 0) return fail(0, "the gzip data end too early");
    told = told >> 8 | (uint32_t)byte << 24;
  }
  return told == (uint32_t)length || fail(0, "damaged gzip data: another length");
}

static bool inflate_all(void) {
  struct inflater *z = calloc(1, sizeof *z);
  if (!z) return fail(ENOMEM, NULL);
  z->refill = more_gzip;
  z->drain = next_slot;
  next_slot(z);
  int first;
  while ((first = inflate_byte(z)) == 0x1f) {
    uint64_t before = in.tar_bytes;
    if (!gzip_header(z)) return fail(ring.errnum, "damaged gzip data: no header");
    enum inflate_result result = inflate_stream(z);
    if (ring.errnum || ring.text) return false;
    if (result == INFLATE_SHORT) return fail(0, "the gzip data end too early");
    if (result == INFLATE_DAMAGED) return fail(0, "damaged gzip data");
    if (!(z->next_out < z->end_out ? produced_by(z) : next_slot(z))) return false;
    if (!gzip_trailer(z, in.tar_bytes - before)) return false;
  }
  if (ring.errnum) return false;
  return first < 0 || fail(0, "damaged gzip data: something else after them");
}

static bool decompress_zstd(void) {
  ZSTD_DStream *z = ZSTD_createDStream();
  if (!z) return fail(ENOMEM, NULL);
  size_t left = 0; /* 0: between frames */
  bool drained = true;
  while (!drained || refill()) {
    size_t room;
    ZSTD_outBuffer out = {.dst = output(&room)};
    out.size = room;
    ZSTD_inBuffer src = {in.input, in.end, in.at};
    left = ZSTD_decompressStream(z, &out, &src);
    if (ZSTD_isError(left)) return fail(0, ZSTD_getErrorName(left));
    in.at = src.pos;
    drained = out.pos < room || left == 0;
    if (!produced(out.pos)) return false;
  }
  ZSTD_freeDStream(z);
  if (ring.errnum) return false;
  return left == 0 || fail(0, "the zstd data end too early");
}

static bool read_start(void) {
  size_t have = 0;
  while (have < 4) {
    ssize_t got = read_input(in.input + have, INPUT_BYTES - have);
    if (got < 0) return fail(errno, NULL);
    if (got == 0) break;
    have += (size_t)got;
  }
  in.end = have;
  in.read_bytes = have;
  return true;
}

static void *read_all(void *unused) {
  (void)unused;
  if (read_start()) {
    const uint8_t *b = in.input;
    bool gzip = in.end >= 2 && b[0] == 0x1f && b[1] == 0x8b;
    bool frame = in.end >= 4 && b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd;
    bool skippable = in.end >= 4 && (b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18;
    in.plain = !gzip && !frame && !skippable;
    in.hashed = in.hashed && !in.plain;
    if (in.hashed) sha256_update(&in.hash, in.end, b);
    if (gzip ? inflate_all() : in.plain ? copy_plain() : decompress_zstd()) publish();
  }
  pthread_mutex_lock(&ring.lock);
  ring.ended = true;
  pthread_cond_broadcast(&ring.changed);
  pthread_mutex_unlock(&ring.lock);
  return NULL;
}

static void *hash_all(void *unused) {
  (void)unused;
  for (;;) {
    pthread_mutex_lock(&ring.lock);
    while (ring.hashed == ring.filled && !ring.ended) pthread_cond_wait(&ring.changed, &ring.lock);
    bool more = ring.hashed < ring.filled;
    uint64_t i = ring.hashed % SLOTS;
    pthread_mutex_unlock(&ring.lock);
    if (!more) return NULL;
    sha256_update(&tar_hash, ring.length[i], ring.slot[i]);
    pthread_mutex_lock(&ring.lock);
    ring.hashed++;
    pthread_cond_broadcast(&ring.changed);
    pthread_mutex_unlock(&ring.lock);
  }
}

int stream_open(int fd, int grows, struct stream_limits limits) {
  in.fd = fd;
  in.grows = grows;
  in.hashed = grows < 0;
  in.limits = limits;
  in.input = malloc(INPUT_BYTES);
  if (!in.input) return -ENOMEM;
  uint8_t *memory = malloc(INFLATE_WINDOW + SLOTS * SLOT_BYTES);
  if (!memory) return -ENOMEM;
  for (int i = 0; i < SLOTS; i++) ring.slot[i] = memory + INFLATE_WINDOW + i * SLOT_BYTES;
  sha256_init(&in.hash);
  sha256_init(&tar_hash);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  int result = pthread_create(&reader, &attributes, read_all, NULL);
  if (result == 0) result = pthread_create(&hasher, &attributes, hash_all, NULL);
  pthread_attr_destroy(&attributes);
  return -result;
}

ssize_t stream_read(const void **piece) {
  pthread_mutex_lock(&ring.lock);
  if (holding) {
    ring.released++;
    pthread_cond_broadcast(&ring.changed);
  }
  while (ring.released == ring.filled && !ring.ended) pthread_cond_wait(&ring.changed, &ring.lock);
  holding = ring.released < ring.filled;
  uint64_t i = ring.released % SLOTS;
  pthread_mutex_unlock(&ring.lock);
  if (!holding) return ring.errnum || ring.text ? -1 : 0;
  *piece = ring.slot[i];
  return (ssize_t)ring.length[i];
}

const char *stream_error(int *errnum) {
  *errnum = ring.errnum;
  return ring.text;
}

int stream_finish(struct stream_result *result) {
  const void *piece;
  ssize_t got;
  while ((got = stream_read(&piece)) > 0) {}
  if (got < 0) return -1;
  pthread_join(reader, NULL);
  pthread_join(hasher, NULL);
  sha256_digest(&tar_hash, sizeof result->diff_id, result->diff_id);
  result->digested = in.plain || in.hashed;
  if (in.plain) memcpy(result->digest, result->diff_id, sizeof result->digest);
  else sha256_digest(&in.hash, sizeof result->digest, result->digest);
  result->read_bytes = in.read_bytes;
  result->tar_bytes = in.tar_bytes;
  return 0;
}
