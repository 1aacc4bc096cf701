/* libseccomp, seccomp(2), bpf(2). */
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keel.h"

#define FILTERS 4

static scmp_filter_ctx filters[FILTERS];

static scmp_filter_ctx filter_of(duk_context *ctx, duk_idx_t index) {
  int handle = keel_int(ctx, index);
  if (handle < 0 || handle >= FILTERS || !filters[handle]) (void)duk_error(ctx, DUK_ERR_RANGE_ERROR, "no filter %d", handle);
  return filters[handle];
}

/* libseccomp returns -errno itself. */
static duk_ret_t returned(duk_context *ctx, int result) {
  duk_push_int(ctx, result);
  return 1;
}

static duk_ret_t filter_init(duk_context *ctx) {
  for (int i = 0; i < FILTERS; i++) {
    if (filters[i]) continue;
    filters[i] = seccomp_init(keel_uint(ctx, 0));
    return returned(ctx, filters[i] ? i : -EINVAL);
  }
  return returned(ctx, -EMFILE);
}

/* The library knows "x86_64", a config says "SCMP_ARCH_X86_64". */
static uint32_t arch_of(duk_context *ctx, duk_idx_t index) {
  char name[32];
  const char *given = keel_string(ctx, index);
  if (strncmp(given, "SCMP_ARCH_", 10) == 0) given += 10;
  if (strcmp(given, "NATIVE") == 0) return seccomp_arch_native();
  size_t i = 0;
  for (; given[i] && i < sizeof name - 1; i++) name[i] = (char)(given[i] >= 'A' && given[i] <= 'Z' ? given[i] + 32 : given[i]);
  name[i] = '\0';
  return seccomp_arch_resolve_name(name);
}

static duk_ret_t resolve_arch(duk_context *ctx) {
  duk_push_uint(ctx, arch_of(ctx, 0));
  return 1;
}

static duk_ret_t resolve_for(duk_context *ctx) {
  return returned(ctx, seccomp_syscall_resolve_name_arch(keel_uint(ctx, 0), keel_string(ctx, 1)));
}

static duk_ret_t add_arch(duk_context *ctx) {
  uint32_t arch = arch_of(ctx, 1);
  if (arch == 0) return returned(ctx, -EINVAL);
  int result = seccomp_arch_add(filter_of(ctx, 0), arch);
  return returned(ctx, result == -EEXIST ? 0 : result);
}

static duk_ret_t set_attribute(duk_context *ctx) {
  return returned(ctx, seccomp_attr_set(filter_of(ctx, 0), (enum scmp_filter_attr)keel_int(ctx, 1), keel_uint(ctx, 2)));
}

static duk_ret_t resolve(duk_context *ctx) { return returned(ctx, seccomp_syscall_resolve_name(keel_string(ctx, 0))); }

static duk_ret_t add_rule(duk_context *ctx) {
  struct scmp_arg_cmp compares[6];
  size_t count = keel_length(ctx, 3) / 4;
  if (count > 6) return duk_error(ctx, DUK_ERR_RANGE_ERROR, "a system call has at most 6 arguments");
  for (size_t i = 0; i < count; i++) {
    duk_idx_t base = duk_get_top(ctx);
    for (duk_uarridx_t k = 0; k < 4; k++) duk_get_prop_index(ctx, 3, (duk_uarridx_t)(4 * i) + k);
    compares[i] = (struct scmp_arg_cmp){
        .arg = keel_uint(ctx, base),
        .op = (enum scmp_compare)keel_int(ctx, base + 1),
        .datum_a = keel_u64(ctx, base + 2),
        .datum_b = keel_u64(ctx, base + 3),
    };
    duk_set_top(ctx, base);
  }
  return returned(ctx, seccomp_rule_add_array(filter_of(ctx, 0), keel_uint(ctx, 1), keel_int(ctx, 2), (unsigned int)count, compares));
}

/* Through memory: libseccomp 2.5 writes to a descriptor only. The handle is free afterwards, also on failure. */
static duk_ret_t export_program(duk_context *ctx) {
  scmp_filter_ctx filter = filter_of(ctx, 0);
  struct stat stat;
  int fd = (int)syscall(SYS_memfd_create, "seccomp", MFD_CLOEXEC);
  int result = fd < 0 ? -errno : seccomp_export_bpf(filter, fd);
  if (result == 0 && fstat(fd, &stat) < 0) result = -errno;
  seccomp_release(filter);
  filters[keel_int(ctx, 0)] = NULL;
  if (result == 0) {
    void *program = duk_push_fixed_buffer(ctx, (size_t)stat.st_size);
    if (pread(fd, program, (size_t)stat.st_size, 0) != stat.st_size) result = -EIO;
  }
  if (fd >= 0) close(fd);
  return result < 0 ? returned(ctx, result) : 1;
}

/* EACCES: neither no_new_privs nor CAP_SYS_ADMIN; EINVAL: a flag or program the kernel refuses. */
static duk_ret_t load_program(duk_context *ctx) {
  size_t size;
  void *data = duk_require_buffer_data(ctx, 0, &size);
  struct {
    unsigned short length;
    void *filter;
  } program = {(unsigned short)(size / 8), data};
  return keel_result(ctx, syscall(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, keel_uint(ctx, 1), &program));
}

/*
 * The same, and no system call from there on until somebody writes to the page of the descriptor: the filter could stop
 * it. ETIMEDOUT after some tens of seconds, since then nobody will.
 */
static duk_ret_t load_held(duk_context *ctx) {
  void *page = mmap(NULL, 1, PROT_READ, MAP_SHARED, keel_int(ctx, 2), 0);
  if (page == MAP_FAILED) return keel_result(ctx, -1);
  duk_ret_t pushed = load_program(ctx);
  if (duk_get_int(ctx, -1) < 0) return pushed;
  const volatile unsigned char *answer = page;
  for (uint32_t i = 0; !*answer; i++) {
    if (i == UINT32_MAX) return returned(ctx, -ETIMEDOUT);
    __asm__ volatile("" ::: "memory");
  }
  return pushed;
}

static duk_ret_t syscall_number(duk_context *ctx) { return returned(ctx, seccomp_syscall_resolve_name(keel_string(ctx, 0))); }

/* The first members of union bpf_attr for the two commands. */
struct bpf_load {
  uint32_t type, count;
  uint64_t instructions, license;
  uint32_t log_level, log_size;
  uint64_t log;
  uint32_t version, flags;
};
struct bpf_attach {
  uint32_t target, program, type, flags, replaced;
};
struct bpf_query {
  uint32_t target, type, query_flags, attach_flags;
  uint64_t ids;
  uint32_t count;
};
struct bpf_by_id {
  uint32_t id, next, flags;
};

static duk_ret_t bpf_load(duk_context *ctx) {
  size_t size;
  const void *data = duk_require_buffer_data(ctx, 1, &size);
  struct bpf_load attr = {
      .type = keel_uint(ctx, 0),
      .count = (uint32_t)(size / 8),
      .instructions = (uint64_t)(uintptr_t)data,
      .license = (uint64_t)(uintptr_t)keel_string(ctx, 2),
  };
  return keel_result(ctx, syscall(SYS_bpf, 5 /* BPF_PROG_LOAD */, &attr, sizeof attr));
}

static duk_ret_t bpf_attach(duk_context *ctx) {
  int replaced = keel_int(ctx, 4);
  struct bpf_attach attr = {.target = keel_uint(ctx, 1),
                            .program = keel_uint(ctx, 0),
                            .type = keel_uint(ctx, 2),
                            .flags = keel_uint(ctx, 3),
                            .replaced = replaced < 0 ? 0 : (uint32_t)replaced};
  return keel_result(ctx, syscall(SYS_bpf, 8 /* BPF_PROG_ATTACH */, &attr, sizeof attr));
}

/* ENOSPC: there are more than fit. */
static duk_ret_t bpf_programs(duk_context *ctx) {
  uint32_t ids[64];
  struct bpf_query attr = {
      .target = keel_uint(ctx, 0), .type = keel_uint(ctx, 1), .ids = (uint64_t)(uintptr_t)ids, .count = 64};
  if (syscall(SYS_bpf, 16 /* BPF_PROG_QUERY */, &attr, sizeof attr) < 0) return keel_result(ctx, -1);
  duk_push_array(ctx);
  for (uint32_t i = 0; i < attr.count; i++) {
    duk_push_uint(ctx, ids[i]);
    duk_put_prop_index(ctx, -2, i);
  }
  return 1;
}

static duk_ret_t bpf_open(duk_context *ctx) {
  struct bpf_by_id attr = {.id = keel_uint(ctx, 0)};
  return keel_result(ctx, syscall(SYS_bpf, 13 /* BPF_PROG_GET_FD_BY_ID */, &attr, sizeof attr));
}

void keel_register_seccomp(duk_context *ctx) {
  static const struct keel_function table[] = {
      {"seccompInit", filter_init, 1},
      {"seccompAddArch", add_arch, 2},
      {"seccompArch", resolve_arch, 1},
      {"seccompResolveFor", resolve_for, 2},
      {"seccompAttr", set_attribute, 3},
      {"seccompResolve", resolve, 1},
      {"seccompRule", add_rule, 4},
      {"seccompExport", export_program, 1},
      {"seccompLoad", load_program, 2},
      {"seccompLoadHeld", load_held, 3},
      {"syscallNumber", syscall_number, 1},
      {"bpfLoad", bpf_load, 3},
      {"bpfAttach", bpf_attach, 5},
      {"bpfPrograms", bpf_programs, 2},
      {"bpfOpen", bpf_open, 1},
      {NULL, NULL, 0},
  };
  keel_register(ctx, table);
}
