/** By number (include/uapi/linux/capability.h). */
export const CAPABILITIES: readonly string[] = (
  "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP " +
  "CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER " +
  "CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE " +
  "CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP " +
  "CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF " +
  "CAP_CHECKPOINT_RESTORE"
).split(" ");

export const CAP_SYS_ADMIN = 21;

/** A set as its two 32-bit halves, the way capset(2) takes it. */
export interface CapMask {
  lo: number;
  hi: number;
}

export function capMask(names: readonly string[] | undefined): CapMask {
  const mask: CapMask = { lo: 0, hi: 0 };
  if (names) for (let i = 0; i < names.length; i++) addCap(mask, CAPABILITIES.indexOf(names[i] as string));
  return mask;
}

export function addCap(mask: CapMask, number: number): void {
  if (number < 0) return;
  if (number < 32) mask.lo = (mask.lo | (1 << number)) >>> 0;
  else mask.hi = (mask.hi | (1 << (number - 32))) >>> 0;
}

export function hasCap(mask: CapMask, number: number): boolean {
  return number < 32 ? ((mask.lo >>> number) & 1) === 1 : ((mask.hi >>> (number - 32)) & 1) === 1;
}

export function intersect(a: CapMask, b: CapMask): CapMask {
  return { lo: (a.lo & b.lo) >>> 0, hi: (a.hi & b.hi) >>> 0 };
}
