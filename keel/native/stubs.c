/*
 * Stand-ins for parts of the libraries that no image layer needs, so that they are not linked: character set
 * conversion (names in layers are bytes, and pax headers are UTF-8) and zstd's formats of before 2016.
 */
#include <errno.h>
#include <stddef.h>

void *iconv_open(const char *to, const char *from) {
  (void)to;
  (void)from;
  errno = EINVAL;
  return (void *)-1;
}
size_t iconv(void *handle, char **in, size_t *in_left, char **out, size_t *out_left) {
  (void)handle;
  (void)in;
  (void)in_left;
  (void)out;
  (void)out_left;
  errno = EBADF;
  return (size_t)-1;
}
int iconv_close(void *handle) {
  (void)handle;
  return 0;
}

/* As ZSTD_isError and the decoder's callers understand it: "unknown frame descriptor". */
#define UNKNOWN_FRAME ((size_t)-10)


#define OLD_FORMAT(n)                                                                                            \
  void *ZSTDv0##n##_createDCtx(void) { return NULL; }                                                            \
  size_t ZSTDv0##n##_freeDCtx(void *context) {                                                                   \
    (void)context;                                                                                               \
    return 0;                                                                                                    \
  }                                                                                                              \
  size_t ZSTDv0##n##_decompress_usingDict(void *context, void *out, size_t room, const void *in, size_t size,    \
                                          const void *dictionary, size_t dictionary_size) {                      \
    (void)context, (void)out, (void)room, (void)in, (void)size, (void)dictionary, (void)dictionary_size;         \
    return UNKNOWN_FRAME;                                                                                        \
  }                                                                                                              \
  size_t ZSTDv0##n##_getFrameParams(void *params, const void *in, size_t size) {                                 \
    (void)params, (void)in, (void)size;                                                                          \
    return UNKNOWN_FRAME;                                                                                        \
  }                                                                                                              \
  void ZSTDv0##n##_findFrameSizeInfoLegacy(const void *in, size_t size, size_t *compressed, unsigned long long *bound) { \
    (void)in, (void)size;                                                                                        \
    *compressed = UNKNOWN_FRAME;                                                                                 \
    *bound = (unsigned long long)-2;                                                                             \
  }                                                                                                              \
  void *ZBUFFv0##n##_createDCtx(void) { return NULL; }                                                           \
  size_t ZBUFFv0##n##_freeDCtx(void *context) {                                                                  \
    (void)context;                                                                                               \
    return 0;                                                                                                    \
  }                                                                                                              \
  size_t ZBUFFv0##n##_decompressInitDictionary(void *context, const void *dictionary, size_t size) {             \
    (void)context, (void)dictionary, (void)size;                                                                 \
    return UNKNOWN_FRAME;                                                                                        \
  }                                                                                                              \
  size_t ZBUFFv0##n##_decompressContinue(void *context, void *out, size_t *room, const void *in, size_t *size) { \
    (void)context, (void)out, (void)room, (void)in, (void)size;                                                  \
    return UNKNOWN_FRAME;                                                                                        \
  }
OLD_FORMAT(4)
OLD_FORMAT(5)
OLD_FORMAT(6)
OLD_FORMAT(7)
