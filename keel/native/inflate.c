/*
 * Most of the time of a pull goes into this, so it is written for speed: codes of up to 11 bits (distances: 9) are decoded by one
 * look-up, 64 bits are held, and as long as there is room for the longest match and enough input, nothing else is checked.
 * At the edges of buffers a slow loop goes symbol by symbol. The data are hostile: every table entry leads to a bounded
 * action, every distance is compared with what has been written. Checksums are left to the caller, who knows digests.
 */
#include "inflate.h"

#include <string.h>

#define MAX_BITS 15
#define LITERALS 288
#define DISTANCES 32
/* Longest match, three literals, and what wide copies write too much. */
#define FAST_OUT (258 + 3 + 32)
/* Two loads of eight bytes, of which seven are used, and the last load's overlap. */
#define FAST_IN 24

/* Entries of a table: what to do with `value`, how many bits of extra follow, how many bits the code has. */
enum kind { LITERAL = 0, MATCH = 1, LONGER = 2, END = 3 };
#define ENTRY(kind, value, extra, length) ((uint32_t)(kind) << 30 | (uint32_t)(extra) << 24 | (uint32_t)(value) << 8 | (uint32_t)(length))
#define KIND(e) ((e) >> 30)
#define EXTRA(e) ((e) >> 24 & 15)
#define VALUE(e) ((e) >> 8 & 0xffff)
#define LENGTH(e) ((e)&0xff)
/* A code that is not in use: an end of no bits. */
#define UNUSED ENTRY(END, 1, 0, 0)

static const uint16_t length_base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                       31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_base[] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
                                         193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

static uint32_t literal_entry(unsigned symbol) {
  if (symbol < 256) return ENTRY(LITERAL, symbol, 0, 0);
  if (symbol == 256) return ENTRY(END, 0, 0, 0);
  if (symbol > 285) return UNUSED;
  return ENTRY(MATCH, length_base[symbol - 257], length_extra[symbol - 257], 0);
}

static uint32_t distance_entry(unsigned symbol) {
  if (symbol > 29) return UNUSED;
  return ENTRY(MATCH, distance_base[symbol], symbol < 4 ? 0 : symbol / 2 - 1, 0);
}

static uint32_t plain_entry(unsigned symbol) { return ENTRY(LITERAL, symbol, 0, 0); }

static unsigned reversed(unsigned code, unsigned length) {
  unsigned result = 0;
  for (unsigned i = 0; i < length; i++) result |= (code >> i & 1) << (length - 1 - i);
  return result;
}

/*
 * Fills a table of 2^bits entries; codes that are longer have tables of 2^(15 - bits) entries behind it, each reached by
 * its first `bits` bits. There cannot be more of those than symbols. False: the lengths make no prefix code. One code of
 * one bit, or none at all, is complete enough (RFC 1951, 3.2.7, says so of distances, and zlib of both).
 */
static bool fill_table(uint32_t *table, unsigned bits, const uint8_t *lengths, unsigned symbols, uint32_t (*entry_of)(unsigned)) {
  unsigned counts[MAX_BITS + 1] = {0}, next[MAX_BITS + 2] = {0}, code = 0, used = 0;
  for (unsigned i = 0; i < symbols; i++) counts[lengths[i]]++;
  counts[0] = 0;
  for (unsigned n = 1; n <= MAX_BITS; n++) {
    next[n] = code;
    code = (code + counts[n]) << 1;
    used += counts[n];
    if (code > 2u << n) return false;
  }
  if (code != 2u << MAX_BITS && !(used == 0 || (used == 1 && counts[1] == 1))) return false;
  for (unsigned i = 0; i < 1u << bits; i++) table[i] = UNUSED;
  unsigned end = 1u << bits, below = MAX_BITS - bits;
  for (unsigned symbol = 0; symbol < symbols; symbol++) {
    unsigned length = lengths[symbol];
    if (length == 0) continue;
    unsigned at = reversed(next[length]++, length);
    uint32_t entry = entry_of(symbol);
    if (KIND(entry) == END && VALUE(entry)) continue;
    if (length <= bits) {
      for (; at < 1u << bits; at += 1u << length) table[at] = entry | length;
      continue;
    }
    uint32_t *first = &table[at & ((1u << bits) - 1)];
    if (KIND(*first) != LONGER) {
      *first = ENTRY(LONGER, end, 0, bits);
      for (unsigned i = 0; i < 1u << below; i++) table[end + i] = UNUSED;
      end += 1u << below;
    }
    for (unsigned i = at >> bits; i < 1u << below; i += 1u << (length - bits)) table[VALUE(*first) + i] = entry | (length - bits);
  }
  return true;
}

/* Holds so many bits, at most 48, or as many as there are. */
static void hold(struct inflater *z, unsigned bits) {
  while (z->count < bits && (z->next_in < z->end_in || z->refill(z))) {
    z->bits |= (uint64_t)*z->next_in++ << z->count;
    z->count += 8;
  }
}

static bool take(struct inflater *z, unsigned bits, unsigned *value) {
  hold(z, bits);
  if (z->count < bits) return false;
  *value = (unsigned)(z->bits & ((1u << bits) - 1));
  z->bits >>= bits;
  z->count -= bits;
  return true;
}

int inflate_byte(struct inflater *z) {
  unsigned byte;
  z->bits >>= z->count & 7;
  z->count &= ~7u;
  return take(z, 8, &byte) ? (int)byte : -1;
}

/* The entry of the code that comes next, whose bits are taken. An unused one when there are not enough. */
static uint32_t decode(struct inflater *z, const uint32_t *table, unsigned bits) {
  hold(z, MAX_BITS);
  uint32_t entry = table[z->bits & ((1u << bits) - 1)];
  unsigned length = LENGTH(entry);
  if (KIND(entry) == LONGER) {
    entry = table[VALUE(entry) + (z->bits >> bits & ((1u << (MAX_BITS - bits)) - 1))];
    length = bits + LENGTH(entry);
  }
  if (LENGTH(entry) == 0 || length > z->count) return UNUSED;
  z->bits >>= length;
  z->count -= length;
  return entry;
}

/* What a code cannot be is damage, or the end of the input. */
static enum inflate_result damage(struct inflater *z) {
  hold(z, MAX_BITS);
  return z->count < MAX_BITS ? INFLATE_SHORT : INFLATE_DAMAGED;
}

static bool make_room(struct inflater *z) {
  if (z->next_out < z->end_out) return true;
  size_t history = z->history + (size_t)(z->next_out - z->since);
  if (!z->drain(z)) return false;
  z->history = history < INFLATE_WINDOW ? history : INFLATE_WINDOW;
  z->since = z->next_out;
  return true;
}

static enum inflate_result put_stored(struct inflater *z) {
  unsigned length, check;
  z->bits >>= z->count & 7;
  z->count &= ~7u;
  if (!take(z, 16, &length) || !take(z, 16, &check)) return INFLATE_SHORT;
  if (length != (~check & 0xffff)) return INFLATE_DAMAGED;
  while (length > 0) {
    if (!make_room(z)) return INFLATE_STOPPED;
    if (z->count > 0) {
      *z->next_out++ = (uint8_t)inflate_byte(z);
      length--;
      continue;
    }
    if (z->next_in == z->end_in && !z->refill(z)) return INFLATE_SHORT;
    size_t n = (size_t)(z->end_in - z->next_in), room = (size_t)(z->end_out - z->next_out);
    if (n > room) n = room;
    if (n > length) n = length;
    memcpy(z->next_out, z->next_in, n);
    z->next_in += n;
    z->next_out += n;
    length -= (unsigned)n;
  }
  return INFLATED;
}

static uint64_t load(const uint8_t *bytes) {
  uint64_t value;
  memcpy(&value, bytes, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  value = __builtin_bswap64(value);
#endif
  return value;
}

/* Copies a match; writes up to 31 bytes too much. */
static inline uint8_t *copy_match(uint8_t *out, size_t distance, size_t length) {
  const uint8_t *from = out - distance;
  uint8_t *end = out + length;
  if (distance >= 16) {
    do {
      memcpy(out, from, 16);
      out += 16, from += 16;
    } while (out < end);
  } else if (distance >= 8) {
    do {
      memcpy(out, from, 8);
      out += 8, from += 8;
    } while (out < end);
  } else if (distance == 1) {
    memset(out, *from, length);
  } else {
    do *out++ = *from++;
    while (out < end);
  }
  return end;
}

/* Decodes while nothing needs care. True at the end of the block; `damaged` when a code or distance cannot be. */
static bool decode_fast(struct inflater *z, bool *damaged) {
  const uint32_t *literals = z->literals, *distances = z->distances;
  const uint8_t *in = z->next_in;
  uint8_t *out = z->next_out;
  uint64_t bits = z->bits;
  unsigned count = z->count;
  bool ended = false;
/* At least 56 bits are held then; those above `count` are there too, and come once more. */
#define FILL() (bits |= load(in) << count, in += (63 - count) >> 3, count |= 56)
#define DROP(n) (bits >>= (n), count -= (n))
#define LOOK(table, width) ((table)[bits & ((1u << (width)) - 1)])
  while (z->end_in - in >= FAST_IN && z->end_out - out >= FAST_OUT) {
    FILL();
    uint32_t e = LOOK(literals, INFLATE_LITERAL_BITS);
    if (KIND(e) == LITERAL) {
      DROP(LENGTH(e));
      *out++ = (uint8_t)VALUE(e);
      e = LOOK(literals, INFLATE_LITERAL_BITS);
      if (KIND(e) == LITERAL) {
        DROP(LENGTH(e));
        *out++ = (uint8_t)VALUE(e);
        e = LOOK(literals, INFLATE_LITERAL_BITS);
        if (KIND(e) == LITERAL) {
          DROP(LENGTH(e));
          *out++ = (uint8_t)VALUE(e);
          continue;
        }
      }
      FILL();
    }
    if (KIND(e) == LONGER) {
      DROP(INFLATE_LITERAL_BITS);
      e = literals[VALUE(e) + (bits & ((1u << (MAX_BITS - INFLATE_LITERAL_BITS)) - 1))];
      if (KIND(e) == LITERAL) {
        DROP(LENGTH(e));
        *out++ = (uint8_t)VALUE(e);
        continue;
      }
    }
    if (KIND(e) == END) {
      *damaged = VALUE(e) != 0;
      DROP(LENGTH(e));
      ended = true;
      break;
    }
    DROP(LENGTH(e));
    size_t length = VALUE(e) + (bits & ((1u << EXTRA(e)) - 1));
    DROP(EXTRA(e));
    e = LOOK(distances, INFLATE_DISTANCE_BITS);
    if (KIND(e) == LONGER) {
      DROP(INFLATE_DISTANCE_BITS);
      e = distances[VALUE(e) + (bits & ((1u << (MAX_BITS - INFLATE_DISTANCE_BITS)) - 1))];
    }
    DROP(LENGTH(e));
    size_t distance = VALUE(e) + (bits & ((1u << EXTRA(e)) - 1));
    DROP(EXTRA(e));
    if (KIND(e) != MATCH || distance > z->history + (size_t)(out - z->since)) {
      *damaged = ended = true;
      break;
    }
    out = copy_match(out, distance, length);
  }
#undef FILL
#undef DROP
#undef LOOK
  z->next_in = in;
  z->next_out = out;
  z->bits = bits & (((uint64_t)1 << count) - 1);
  z->count = count;
  return ended;
}

static enum inflate_result put_match(struct inflater *z, uint32_t entry) {
  unsigned extra;
  if (!take(z, EXTRA(entry), &extra)) return INFLATE_SHORT;
  size_t length = VALUE(entry) + extra;
  entry = decode(z, z->distances, INFLATE_DISTANCE_BITS);
  if (KIND(entry) != MATCH) return damage(z);
  if (!take(z, EXTRA(entry), &extra)) return INFLATE_SHORT;
  size_t distance = VALUE(entry) + extra;
  if (distance > z->history + (size_t)(z->next_out - z->since)) return INFLATE_DAMAGED;
  for (; length > 0; length--) {
    if (!make_room(z)) return INFLATE_STOPPED;
    *z->next_out = *(z->next_out - distance);
    z->next_out++;
  }
  return INFLATED;
}

static enum inflate_result put_coded(struct inflater *z) {
  for (;;) {
    bool damaged = false;
    if (decode_fast(z, &damaged)) return damaged ? INFLATE_DAMAGED : INFLATED;
    uint32_t entry = decode(z, z->literals, INFLATE_LITERAL_BITS);
    if (KIND(entry) == END) return VALUE(entry) ? damage(z) : INFLATED;
    if (!make_room(z)) return INFLATE_STOPPED;
    if (KIND(entry) == LITERAL) {
      *z->next_out++ = (uint8_t)VALUE(entry);
      continue;
    }
    enum inflate_result result = put_match(z, entry);
    if (result != INFLATED) return result;
  }
}

static enum inflate_result read_lengths(struct inflater *z) {
  uint8_t lengths[LITERALS + DISTANCES] = {0}, code[19] = {0};
  unsigned literals, distances, codes, value;
  if (!take(z, 5, &literals) || !take(z, 5, &distances) || !take(z, 4, &codes)) return INFLATE_SHORT;
  literals += 257;
  distances += 1;
  if (literals > 286 || distances > 30) return INFLATE_DAMAGED;
  for (unsigned i = 0; i < codes + 4; i++) {
    if (!take(z, 3, &value)) return INFLATE_SHORT;
    code[order[i]] = (uint8_t)value;
  }
  /* of at most 7 bits: they all fit into the first part of a table that is filled with the real codes afterwards */
  if (!fill_table(z->literals, INFLATE_LITERAL_BITS, code, 19, plain_entry)) return INFLATE_DAMAGED;
  for (unsigned i = 0; i < literals + distances;) {
    uint32_t entry = decode(z, z->literals, INFLATE_LITERAL_BITS);
    if (KIND(entry) != LITERAL) return damage(z);
    unsigned symbol = VALUE(entry);
    if (symbol < 16) {
      lengths[i++] = (uint8_t)symbol;
      continue;
    }
    if (!take(z, symbol == 16 ? 2 : symbol == 17 ? 3 : 7, &value)) return INFLATE_SHORT;
    unsigned times = value + (symbol == 18 ? 11 : 3);
    if (i + times > literals + distances || (symbol == 16 && i == 0)) return INFLATE_DAMAGED;
    memset(lengths + i, symbol == 16 ? lengths[i - 1] : 0, times);
    i += times;
  }
  bool sound = lengths[256] > 0 && fill_table(z->literals, INFLATE_LITERAL_BITS, lengths, literals, literal_entry) &&
               fill_table(z->distances, INFLATE_DISTANCE_BITS, lengths + literals, distances, distance_entry);
  return sound ? INFLATED : INFLATE_DAMAGED;
}

static void fixed_lengths(struct inflater *z) {
  uint8_t lengths[LITERALS];
  memset(lengths, 8, 144);
  memset(lengths + 144, 9, 112);
  memset(lengths + 256, 7, 24);
  memset(lengths + 280, 8, 8);
  fill_table(z->literals, INFLATE_LITERAL_BITS, lengths, LITERALS, literal_entry);
  memset(lengths, 5, DISTANCES);
  fill_table(z->distances, INFLATE_DISTANCE_BITS, lengths, DISTANCES, distance_entry);
}

enum inflate_result inflate_stream(struct inflater *z) {
  unsigned last, type;
  z->history = 0;
  z->since = z->next_out;
  do {
    if (!take(z, 1, &last) || !take(z, 2, &type)) return INFLATE_SHORT;
    enum inflate_result result = INFLATED;
    if (type == 3) return INFLATE_DAMAGED;
    if (type == 1) fixed_lengths(z);
    if (type == 2) result = read_lengths(z);
    if (result == INFLATED) result = type == 0 ? put_stored(z) : put_coded(z);
    if (result != INFLATED) return result;
  } while (!last);
  return INFLATED;
}
