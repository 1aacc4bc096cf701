/*
 * The process's first instructions: a program that enters containers must not be writable through /proc/PID/exe
 * (CVE-2019-5736), so it runs again from a mount of its own file that is read-only and attached nowhere; where that
 * cannot be made, from a sealed copy in memory. This comes before the C library's start, which costs more than the
 * second execve itself, so nothing here may need the library: raw system calls, no globals, no stack protector.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "call.h"

#define NR_OPEN_TREE 428
#define NR_MOUNT_SETATTR 442
#define FD_CWD (-100)
#define EMPTY_PATH 0x1000
#define CLONE_TREE 1
#define CLOSE_ON_EXEC 02000000
#define ATTR_RDONLY 1
#define STATFS_RDONLY 1
#define MEMFD_SEALABLE 3 /* close-on-exec, allow sealing */
#define MEMFD_EXECUTABLE 0x10
#define ADD_SEALS 1033
#define GET_SEALS 1034
#define ALL_SEALS 15 /* seal, shrink, grow, write */
#define SET_NAME 15

#if defined(__x86_64__)
__asm__(".text\n.global keel_entry\n.type keel_entry, @function\nkeel_entry:\n"
        "xor %ebp, %ebp\n"
        "mov %rsp, %rbx\n"
        "mov %rdx, %r12\n"
        "mov %rsp, %rdi\n"
        "and $-16, %rsp\n"
        "call keel_seal\n"
        "mov %rbx, %rsp\n"
        "mov %r12, %rdx\n"
        "jmp _start\n");
#elif defined(__aarch64__)
__asm__(".text\n.global keel_entry\n.type keel_entry, %function\nkeel_entry:\n"
        "mov x29, #0\n"
        "mov x19, x0\n"
        "mov x0, sp\n"
        "bl keel_seal\n"
        "mov x0, x19\n"
        "b _start\n");
#else
#error "keel runs on x86_64 and aarch64"
#endif

static const char self[] = "/proc/self/exe";

BARE static int same(const char *a, const char *b) {
  while (*a && *a == *b) {
    a++;
    b++;
  }
  return *a == *b;
}

/* Whether some word is one of the commands that put this program into a container. Too many hits do no harm. */
BARE static int enters_container(char **argv) {
  for (int i = 1; argv[0] && argv[i]; i++) {
    if (same(argv[i], "create") || same(argv[i], "run") || same(argv[i], "exec") || same(argv[i], "restore")) return 1;
  }
  return 0;
}

BARE static int is_sealed(void) {
  long fs[16];
  if (call(SYS_statfs, (long)self, (long)fs, 0, 0, 0) < 0) return 0;
  if (fs[10] & STATFS_RDONLY) return 1;
  long fd = call(SYS_openat, FD_CWD, (long)self, CLOSE_ON_EXEC, 0, 0);
  if (fd < 0) return 0;
  long seals = call(SYS_fcntl, fd, GET_SEALS, 0, 0, 0);
  call(SYS_close, fd, 0, 0, 0, 0);
  return seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS;
}

BARE static void run_from(long fd, char **argv, char **envp) {
  call(SYS_execveat, fd, (long)"", (long)argv, (long)envp, EMPTY_PATH);
}

BARE static void run_from_mount(char **argv, char **envp) {
  uint64_t attributes[4] = {ATTR_RDONLY, 0, 0, 0};
  long fd = call(NR_OPEN_TREE, FD_CWD, (long)self, CLONE_TREE | CLOSE_ON_EXEC, 0, 0);
  if (fd < 0) return;
  if (call(NR_MOUNT_SETATTR, fd, (long)"", EMPTY_PATH, (long)attributes, sizeof attributes) >= 0) run_from(fd, argv, envp);
  call(SYS_close, fd, 0, 0, 0, 0);
}

BARE static void run_from_memory(char **argv, char **envp) {
  long from = call(SYS_openat, FD_CWD, (long)self, CLOSE_ON_EXEC, 0, 0);
  /* the flag is needed where vm.memfd_noexec says so, and unknown before Linux 6.3 */
  long to = call(SYS_memfd_create, (long)"keel", MEMFD_SEALABLE | MEMFD_EXECUTABLE, 0, 0, 0);
  if (to < 0) to = call(SYS_memfd_create, (long)"keel", MEMFD_SEALABLE, 0, 0, 0);
  if (from < 0 || to < 0) return;
  long count;
  do count = call(SYS_sendfile, to, from, 0, 1 << 24, 0);
  while (count > 0);
  if (count == 0 && call(SYS_fcntl, to, ADD_SEALS, ALL_SEALS, 0, 0) >= 0) run_from(to, argv, envp);
}

/* `stack` is where the kernel put argc, argv and envp. Returns when this program may go on as it is. */
BARE __attribute__((used)) void keel_seal(long *stack) {
  char **argv = (char **)(stack + 1);
  if (!enters_container(argv)) return;
  if (is_sealed()) {
    /* execveat named the process after the descriptor's number */
    call(SYS_prctl, SET_NAME, (long)"keel", 0, 0, 0);
    return;
  }
  char **envp = argv + stack[0] + 1;
  run_from_mount(argv, envp);
  run_from_memory(argv, envp);
  static const char message[] = "keel: cannot protect its own program: neither a read-only mount nor a sealed copy can be made\n";
  call(SYS_write, 2, (long)message, sizeof message - 1, 0, 0);
  call(SYS_exit_group, 1, 0, 0, 0, 0);
}
