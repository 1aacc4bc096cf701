/*
 * The engine's allocator: blocks of fixed sizes from chunks that are never given back one by one. A command lives for
 * milliseconds and the monitor's few kinds of objects reuse each other's blocks, so freeing is a push on a list.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "heap.h"
#include "keel.h"

#ifdef __SANITIZE_ADDRESS__

duk_context *keel_begun_heap(void) { return NULL; }
struct heap *keel_heap_at(void *place, size_t size) { return NULL; }

/* Each block of its own, so that the sanitizer sees where one ends. */
void *keel_alloc(void *data, size_t size) {
  (void)data;
  return size == 0 ? NULL : malloc(size);
}
void *keel_realloc(void *data, void *pointer, size_t size) {
  (void)data;
  if (size > 0) return realloc(pointer, size);
  free(pointer);
  return NULL;
}
void keel_free(void *data, void *pointer) {
  (void)data;
  free(pointer);
}

#else

#define CHUNK (64 * 1024)

static struct heap own;
static struct heap *heap = &own;

duk_context *keel_begun_heap(void) {
  if (!keel_image || !keel_image->context) return NULL;
  heap = keel_image;
  return heap->context;
}

struct heap *keel_heap_at(void *place, size_t size) {
  heap = place;
  heap->chunk_at = (char *)place + sizeof *heap;
  heap->chunk_end = (char *)place + size;
  heap->recording = 1;
  return heap;
}

static uint32_t class_of(size_t size, size_t *capacity) {
  if (size <= SMALL_LIMIT) {
    uint32_t class = size == 0 ? 0 : (uint32_t)((size - 1) / STEP);
    *capacity = (size_t)(class + 1) * STEP;
    return class;
  }
  uint32_t class = SMALL_CLASSES;
  for (size_t base = SMALL_LIMIT;; base *= 2) {
    for (size_t quarter = 1; quarter <= 4; quarter++, class ++) {
      *capacity = base + quarter * base / 4;
      if (size <= *capacity) return class;
    }
  }
}

static void *take(size_t size) {
  if (size > (size_t)(heap->chunk_end - heap->chunk_at)) {
    char *chunk = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (chunk == MAP_FAILED) return NULL;
    heap->chunk_at = chunk;
    heap->chunk_end = chunk + CHUNK;
  }
  void *taken = heap->chunk_at;
  heap->chunk_at += size;
  return taken;
}

void *keel_alloc(void *data, size_t size) {
  (void)data;
  struct block *block;
  if (size == 0) return NULL;
  if (size > LARGE_LIMIT) {
    block = malloc(sizeof *block + size);
    if (!block) return NULL;
    *block = (struct block){.class = LARGE, .capacity = 0};
    return block + 1;
  }
  size_t capacity;
  uint32_t class = class_of(size, &capacity);
  struct free_block *found = heap->free_blocks[class];
  if (found) {
    heap->free_blocks[class] = found->next;
    found->next = NULL;
    return found;
  }
  block = take(sizeof *block + capacity);
  if (!block) return NULL;
  *block = (struct block){.class = class, .capacity = (uint32_t)capacity};
  return block + 1;
}

void keel_free(void *data, void *pointer) {
  (void)data;
  if (!pointer) return;
  struct block *block = (struct block *)pointer - 1;
  if (block->class == LARGE) {
    free(block);
    return;
  }
  if (heap->recording) memset(pointer, 0, block->capacity);
  struct free_block *freed = pointer;
  freed->next = heap->free_blocks[block->class];
  heap->free_blocks[block->class] = freed;
}

void *keel_realloc(void *data, void *pointer, size_t size) {
  if (!pointer) return keel_alloc(data, size);
  if (size == 0) {
    keel_free(data, pointer);
    return NULL;
  }
  struct block *block = (struct block *)pointer - 1;
  if (block->class == LARGE && size > LARGE_LIMIT) {
    struct block *moved = realloc(block, sizeof *block + size);
    return moved ? moved + 1 : NULL;
  }
  if (block->class != LARGE && size <= block->capacity && size * 2 >= block->capacity) return pointer;
  void *moved = keel_alloc(data, size);
  if (!moved) return NULL;
  size_t old = block->class == LARGE ? size : block->capacity;
  memcpy(moved, pointer, old < size ? old : size);
  keel_free(data, pointer);
  return moved;
}

#endif
