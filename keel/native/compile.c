/* Build tool: compiles one script to the byte code that this engine loads. usage: compile IN.js NAME OUT.bin */
#include <stdio.h>
#include <stdlib.h>

#include "duktape.h"

static char *read_script(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) return NULL;
  long end = ftell(file);
  char *text = end < 0 ? NULL : malloc((size_t)end + 1);
  if (!text || fseek(file, 0, SEEK_SET) != 0) return NULL;
  *size = fread(text, 1, (size_t)end, file);
  fclose(file);
  return text;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  size_t size;
  char *script = read_script(argv[1], &size);
  if (!script) {
    perror(argv[1]);
    return 1;
  }
  duk_context *ctx = duk_create_heap_default();
  duk_push_lstring(ctx, script, size);
  duk_push_string(ctx, argv[2]);
  if (duk_pcompile(ctx, 0) != 0) {
    fprintf(stderr, "%s: %s\n", argv[1], duk_safe_to_string(ctx, -1));
    return 1;
  }
  duk_dump_function(ctx);
  const void *code = duk_get_buffer(ctx, -1, &size);
  FILE *out = fopen(argv[3], "wb");
  if (!out || fwrite(code, 1, size, out) != size || fclose(out) != 0) {
    perror(argv[3]);
    return 1;
  }
  return 0;
}
