/* The program's own pages. */
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include "keel.h"

/* The linker's name for the beginning of the program in memory. */
extern const Elf64_Ehdr __ehdr_start;

/*
 * Takes the program's read-only pages out of this process's memory; what is used again is mapped again from the file.
 * The kernel maps 15 neighbours along with each page that start-up touches.
 */
void keel_drop_pages(void) {
  const Elf64_Phdr *header = (const Elf64_Phdr *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);
  unsigned long count = __ehdr_start.e_phnum;
  unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
  for (unsigned long i = 0; i < count; i++) {
    if (header[i].p_type != PT_LOAD || header[i].p_flags & PF_W) continue;
    /* the program is not position-independent: addresses are as they are written */
    unsigned long from = header[i].p_vaddr & ~(page - 1);
    unsigned long to = (header[i].p_vaddr + header[i].p_memsz + page - 1) & ~(page - 1);
    /* where it fails, the pages stay */
    (void)madvise((void *)from, to - from, MADV_DONTNEED);
  }
}
