/*
 * memcpy, memmove, memset and memcmp for short blocks. musl's use `rep` instructions, whose start costs as much as
 * copying a hundred bytes, and the engine mostly moves fewer. glibc brings better ones of its own.
 */
#ifndef __GLIBC__
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t word __attribute__((may_alias, aligned(1)));
typedef uint32_t half __attribute__((may_alias, aligned(1)));
typedef uint16_t quarter __attribute__((may_alias, aligned(1)));
typedef unsigned char line __attribute__((vector_size(16), may_alias, aligned(1)));

#define NO_LOOP_CALL __attribute__((optimize("no-tree-loop-distribute-patterns")))

/* All loads come before the first store, so overlapping is fine. */
static inline int copy_short(unsigned char *to, const unsigned char *from, size_t size) {
  if (size > 32) return 0;
  if (size >= 16) {
    line a = *(const line *)from, b = *(const line *)(from + size - 16);
    *(line *)to = a;
    *(line *)(to + size - 16) = b;
  } else if (size >= 8) {
    uint64_t a = *(const word *)from, b = *(const word *)(from + size - 8);
    *(word *)to = a;
    *(word *)(to + size - 8) = b;
  } else if (size >= 4) {
    uint32_t a = *(const half *)from, b = *(const half *)(from + size - 4);
    *(half *)to = a;
    *(half *)(to + size - 4) = b;
  } else if (size >= 2) {
    uint16_t a = *(const quarter *)from, b = *(const quarter *)(from + size - 2);
    *(quarter *)to = a;
    *(quarter *)(to + size - 2) = b;
  } else if (size == 1) *to = *from;
  return 1;
}

NO_LOOP_CALL static void *copy_forward(void *target, const void *source, size_t size) {
  unsigned char *to = target;
  const unsigned char *from = source;
  const line last = *(const line *)(from + size - 16);
  unsigned char *end = to + size - 16;
#if defined(__x86_64__)
  if (size >= 2048) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return target;
  }
#endif
  while (to < end) {
    *(line *)to = *(const line *)from;
    to += 16;
    from += 16;
  }
  *(line *)end = last;
  return target;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  if (copy_short(to, from, size)) return to;
  return copy_forward(to, from, size);
}

NO_LOOP_CALL void *memmove(void *target, const void *source, size_t size) {
  unsigned char *to = target;
  const unsigned char *from = source;
  if (copy_short(to, from, size)) return target;
  if ((uintptr_t)to - (uintptr_t)from >= size) {
    /* the source is not overwritten before it is read, but its last bytes may be before copy_forward stores them */
    if ((uintptr_t)from - (uintptr_t)to >= size) return copy_forward(target, source, size);
    while (size >= 16) {
      line part = *(const line *)from;
      *(line *)to = part;
      to += 16;
      from += 16;
      size -= 16;
    }
    copy_short(to, from, size);
    return target;
  }
  while (size >= 16) {
    size -= 16;
    line part = *(const line *)(from + size);
    *(line *)(to + size) = part;
  }
  copy_short(to, from, size);
  return target;
}

NO_LOOP_CALL void *memset(void *target, int value, size_t size) {
  unsigned char *to = target;
  uint64_t pattern = (unsigned char)value * 0x0101010101010101u;
  if (size < 8) {
    for (size_t i = 0; i < size; i++) to[i] = (unsigned char)value;
    return target;
  }
#if defined(__x86_64__)
  if (size >= 1024) {
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return target;
  }
#endif
  unsigned char *end = to + size - 8;
  while (to < end) {
    *(word *)to = pattern;
    to += 8;
  }
  *(word *)end = pattern;
  return target;
}

NO_LOOP_CALL int memcmp(const void *left, const void *right, size_t size) {
  const unsigned char *a = left, *b = right;
  while (size >= 8 && *(const word *)a == *(const word *)b) {
    a += 8;
    b += 8;
    size -= 8;
  }
  for (; size > 0; size--, a++, b++) {
    if (*a != *b) return *a - *b;
  }
  return 0;
}
#else
typedef int nothing_to_do_with_glibc;
#endif
