/* DEFLATE (RFC 1951), decoded into the caller's buffers, which need not be next to each other. */
#ifndef KEEL_INFLATE_H
#define KEEL_INFLATE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INFLATE_WINDOW 32768
#define INFLATE_LITERAL_BITS 11
#define INFLATE_DISTANCE_BITS 9

struct inflater {
  const uint8_t *next_in, *end_in;
  /* What is written stands before next_out, and before that the last INFLATE_WINDOW bytes of it, if so many are. */
  uint8_t *next_out, *end_out;
  /* Gives more input. False at its end. */
  bool (*refill)(struct inflater *);
  /* Gives a place for more output, with the window before it. False when there shall be none. */
  bool (*drain)(struct inflater *);
  uint64_t bits; /* read and not used: `count` of them, the lowest first */
  unsigned count;
  size_t history; /* bytes before next_out that a match may copy, when next_out was `since` */
  const uint8_t *since;
  uint32_t literals[(1 << INFLATE_LITERAL_BITS) + 286 * (1 << (15 - INFLATE_LITERAL_BITS))];
  uint32_t distances[(1 << INFLATE_DISTANCE_BITS) + 30 * (1 << (15 - INFLATE_DISTANCE_BITS))];
};

/* Why it ended: 0 is the end of the compressed data. */
enum inflate_result { INFLATED, INFLATE_DAMAGED, INFLATE_SHORT, INFLATE_STOPPED };

/* Decodes one stream; what it reads too much of stays in `bits`, of which whole bytes follow the stream. */
enum inflate_result inflate_stream(struct inflater *z);

/* The next byte after a stream or between them. -1: there is none. */
int inflate_byte(struct inflater *z);

#endif
