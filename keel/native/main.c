/* Embedding of the engine: heap, `sys`, byte code modules. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "heap.h"
#include "inflate.h"
#include "keel.h"

extern char **environ;

static int argument_count;
static char **arguments;

static void fatal(void *data, const char *message) {
  (void)data;
  static const char prefix[] = "keel: ";
  if (!message) message = "fatal error of the engine";
  if (write(2, prefix, sizeof prefix - 1) < 0 || write(2, message, strlen(message)) < 0 || write(2, "\n", 1) < 0) _exit(70);
  _exit(70);
}

void keel_register(duk_context *ctx, const struct keel_function *table) {
  for (; table->name; table++) {
    /* a light function is a tagged pointer: no allocation for each of the hundred and more */
    duk_push_c_lightfunc(ctx, table->call, table->nargs < 0 ? DUK_VARARGS : table->nargs, table->nargs < 0 ? 0 : table->nargs, 0);
    duk_put_prop_string(ctx, -2, table->name);
  }
}

static bool no_more(struct inflater *z) { return false; }

static void inflate_module(uint8_t *code, const struct keel_module *module) {
  struct inflater *z = calloc(1, sizeof *z);
  if (!z) abort();
  z->next_in = module->code;
  z->end_in = z->next_in + module->size;
  z->next_out = code;
  z->end_out = code + module->inflated;
  z->refill = z->drain = no_more;
  if (inflate_stream(z) != INFLATED || z->next_out != z->end_out) abort();
  free(z);
}

/* The last row, without a name, when there is none. */
static const struct keel_module *find_module(const char *name) {
  const struct keel_module *module = keel_modules;
  while (module->name && strcmp(module->name, name) != 0) module++;
  return module;
}

/* Runs a module's byte code; it comes from this binary only, since the engine does not verify it. */
static void run_module(duk_context *ctx, const struct keel_module *module) {
  if (module->inflated > 0) {
    inflate_module(duk_push_fixed_buffer(ctx, module->inflated), module);
  } else {
    duk_push_external_buffer(ctx);
    duk_config_buffer(ctx, -1, (void *)module->code, module->size);
  }
  duk_load_function(ctx);
  duk_call(ctx, 0);
  duk_pop(ctx);
}

static duk_ret_t load_module(duk_context *ctx) {
  const char *name = duk_require_string(ctx, 0);
  const struct keel_module *module = find_module(name);
  if (!module->name) return duk_error(ctx, DUK_ERR_ERROR, "no module %s", name);
  run_module(ctx, module);
  return 0;
}

static duk_ret_t environment(duk_context *ctx) {
  duk_push_array(ctx);
  for (duk_uarridx_t i = 0; environ[i]; i++) {
    duk_push_string(ctx, environ[i]);
    duk_put_prop_index(ctx, -2, i);
  }
  return 1;
}

static duk_ret_t leave(duk_context *ctx) {
  /* the heap goes with the process: tearing it down would only take time */
  _exit(keel_int(ctx, 0));
}

/*
 * Everything of a heap that is the same in every process: the image's script is evaluated, then the bindings are there.
 * While it is evaluated it may ask for the machine and for nothing else.
 */
static duk_ret_t prepare(duk_context *ctx, void *data) {
  const struct keel_module *image = data;
  struct utsname host;
  if (uname(&host) < 0) fatal(NULL, "uname failed");
  duk_push_object(ctx);
  duk_push_string(ctx, host.machine);
  duk_put_prop_string(ctx, -2, "machine");
  duk_dup_top(ctx);
  duk_put_global_string(ctx, "sys");
  run_module(ctx, image);
  static const struct keel_function table[] = {
      {"loadModule", load_module, 1},
      {"environ", environment, 0},
      {"exit", leave, 1},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
  keel_register_text(ctx);
  keel_register_process(ctx);
  keel_register_signals(ctx);
  keel_register_files(ctx);
  keel_register_paths(ctx);
  keel_register_mounts(ctx);
  keel_register_network(ctx);
  keel_register_sockets(ctx);
  keel_register_terminals(ctx);
  keel_register_relay(ctx);
  keel_register_seccomp(ctx);
  keel_register_layer(ctx);
  /* places for what start() puts there, so that no process has to make the table bigger */
  duk_push_undefined(ctx);
  duk_put_prop_string(ctx, -2, "argv");
  duk_push_undefined(ctx);
  duk_put_prop_string(ctx, -2, "kernelRelease");
  return 0;
}

/* What is this process's own, then the program. */
static duk_ret_t start(duk_context *ctx, void *data) {
  (void)data;
  duk_get_global_string(ctx, "sys");
  duk_push_array(ctx);
  for (int i = 0; i < argument_count; i++) {
    duk_push_string(ctx, arguments[i]);
    duk_put_prop_index(ctx, -2, (duk_uarridx_t)i);
  }
  duk_put_prop_string(ctx, -2, "argv");
  struct utsname host;
  if (uname(&host) < 0) fatal(NULL, "uname failed");
  duk_push_string(ctx, host.release);
  duk_put_prop_string(ctx, -2, "kernelRelease");
  duk_get_global_string(ctx, "keelMain");
  duk_call(ctx, 0);
  return 0;
}

static duk_context *new_heap(const struct keel_module *image) {
  duk_context *ctx = duk_create_heap(keel_alloc, keel_realloc, keel_free, NULL, fatal);
  if (!ctx) fatal(NULL, "out of memory");
  if (duk_safe_call(ctx, prepare, (void *)image, 0, 0) != DUK_EXEC_SUCCESS) fatal(NULL, duk_safe_to_stacktrace(ctx, -1));
  duk_set_top(ctx, 0);
  return ctx;
}

/*
 * For the build, in a binary without an image: ADDRESS CODE FILE. Makes a heap at this address with the script of this
 * byte code and writes it to the file.
 */
static int record(char **words) {
  enum { ROOM = 8 << 20 };
  void *place = (void *)strtoul(words[0], NULL, 0);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (mmap(place, ROOM, PROT_READ | PROT_WRITE, flags, -1, 0) != place) return 1;
  int code = open(words[1], O_RDONLY | O_CLOEXEC);
  off_t size = lseek(code, 0, SEEK_END);
  const void *bytes = size > 0 ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, code, 0) : MAP_FAILED;
  struct heap *heap = keel_heap_at(place, ROOM);
  if (bytes == MAP_FAILED || !heap) return 1;
  const struct keel_module image = {.code = bytes, .size = (size_t)size};
  heap->context = new_heap(&image);
  /* twice: the first makes what was kept for finalizers free */
  duk_gc(heap->context, DUK_GC_COMPACT);
  duk_gc(heap->context, DUK_GC_COMPACT);
  int out = open(words[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  ssize_t used = heap->chunk_at - (char *)place;
  return write(out, place, (size_t)used) == used ? 0 : 1;
}

int main(int argc, char **argv) {
  argument_count = argc;
  arguments = argv;
  const struct keel_module *module = find_module(argc == 3 && argv[2][0] != '-' ? argv[1] : "");
  duk_context *ctx = module->alone ? new_heap(module) : keel_begun_heap();
  if (!ctx) {
    module = find_module("image");
    if (!module->name) return argc == 4 ? record(argv + 1) : 1;
    ctx = new_heap(module);
  }
  if (duk_safe_call(ctx, start, NULL, 0, 1) != DUK_EXEC_SUCCESS) fatal(NULL, duk_safe_to_stacktrace(ctx, -1));
  return 0;
}
