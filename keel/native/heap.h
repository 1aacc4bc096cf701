/* What the allocator keeps of a heap. scripts/heap-image.ts reads and writes this layout. */
#ifndef KEEL_HEAP_H
#define KEEL_HEAP_H

#include "duktape.h"

#define STEP 8
#define SMALL_LIMIT 512
/* sizes up to SMALL_LIMIT in steps of STEP, then four per doubling up to LARGE_LIMIT */
#define SMALL_CLASSES (SMALL_LIMIT / STEP)
#define CLASSES (SMALL_CLASSES + 24)
#define LARGE_LIMIT 32768
#define LARGE CLASSES

/* In front of every block; eight bytes keep what follows aligned for doubles and pointers. */
struct block {
  uint32_t class;
  uint32_t capacity;
};

struct free_block {
  struct free_block *next;
};

struct heap {
  /* Of an image: the engine as it was left. */
  duk_context *context;
  char *chunk_at;
  char *chunk_end;
  /* Not 0 while an image is made: nothing of what was freed may be left in it. */
  uint64_t recording;
  struct free_block *free_blocks[CLASSES];
};

/* The heap of the image; without a context, or NULL, where the build made none (scripts/build-keel.ts). */
extern struct heap *const keel_image;

/* Takes the image for the heap of this process; NULL: there is none. */
duk_context *keel_begun_heap(void);
/* A new heap in zeroed memory of a known place; NULL: this build cannot. */
struct heap *keel_heap_at(void *place, size_t size);

#endif
