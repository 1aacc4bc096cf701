/**
 * Closes all but stdio, the first `preserve` descriptors after it, which the program gets, and `keep`, which its last
 * execve closes.
 */
export function closeOthers(preserve: number, keep: readonly number[]): void {
  const first = 3 + preserve;
  const kept = keep.filter((fd) => fd >= first).sort((a, b) => a - b);
  let from = first;
  for (let i = 0; i < kept.length; i++) {
    const fd = kept[i] as number;
    if (fd > from) sys.closeRange(from, fd - 1, 0);
    from = fd + 1;
  }
  sys.closeRange(from, 0x7fffffff, 0);
}

/** The descriptor the kernel will give out next. */
export function nextDescriptor(any: number): number {
  const next = sys.dupMin(any, 0);
  if (next >= 0) sys.close(next);
  return next;
}
