import type { IdMapping, Process, Rlimit, Seccomp, SeccompRule, Spec } from "./types.ts";

/** Largest value of the kernel's 32-bit fields; what is larger would be cut to another number on its way. */
const UINT32 = 4294967295;

function checkMost(value: number | undefined | null, most: number, field: string, problems: string[]): void {
  if (value !== undefined && value !== null && value > most)
    problems.push(`${field}: must be at most ${most}, is ${value}`);
}

export function checkProcessRanges(process: Process, problems: string[]): void {
  const size = process.consoleSize;
  if (size) {
    checkMost(size.height, 65535, "process.consoleSize.height", problems);
    checkMost(size.width, 65535, "process.consoleSize.width", problems);
  }
  checkMost(process.user && process.user.umask, 0o777, "process.user.umask", problems);
  const rlimits: readonly Rlimit[] = process.rlimits || [];
  for (let i = 0; i < rlimits.length; i++) {
    const { soft, hard } = rlimits[i] as Rlimit;
    // -1 is RLIM_INFINITY, as getrlimit(2) has it
    if (isLarger(soft, hard)) problems.push(`process.rlimits[${i}].soft: must be at most hard (${hard}), is ${soft}`);
  }
}

export function checkRanges(spec: Spec, problems: string[]): void {
  const linux = spec.linux || {};
  checkNames(spec, problems);
  checkMappings(linux.uidMappings || [], "linux.uidMappings", problems);
  checkMappings(linux.gidMappings || [], "linux.gidMappings", problems);
  const devices = linux.devices || [];
  for (let i = 0; i < devices.length; i++) {
    const { major, minor } = devices[i] as { major?: number; minor?: number };
    checkMost(major, UINT32, `linux.devices[${i}].major`, problems);
    checkMost(minor, UINT32, `linux.devices[${i}].minor`, problems);
    if (Number(major) < 0 || Number(minor) < 0)
      problems.push(`linux.devices[${i}]: major and minor must be 0 or more, are ${major}:${minor}`);
  }
  const rules = (linux.resources && linux.resources.devices) || [];
  for (let i = 0; i < rules.length; i++) {
    const { major, minor } = rules[i] as { major?: number; minor?: number };
    checkMost(major, UINT32, `linux.resources.devices[${i}].major`, problems);
    checkMost(minor, UINT32, `linux.resources.devices[${i}].minor`, problems);
  }
  if (linux.seccomp) checkSeccompRanges(linux.seccomp, problems);
}

/** __NEW_UTS_LEN of the kernel. */
const NAME_LIMIT = 64;

function checkNames(spec: Spec, problems: string[]): void {
  const names = { hostname: spec.hostname || "", domainname: spec.domainname || "" };
  for (const field in names) {
    const { length } = names[field as "hostname"];
    if (length > NAME_LIMIT) problems.push(`${field}: must be at most ${NAME_LIMIT} bytes, has ${length}`);
  }
}

/** Ranges of ids, which the kernel takes when they are not empty, end within 32 bits and do not overlap. */
function checkMappings(mappings: readonly IdMapping[], field: string, problems: string[]): void {
  for (let i = 0; i < mappings.length; i++) {
    const { containerID, hostID, size } = mappings[i] as IdMapping;
    if (size === 0) problems.push(`${field}[${i}].size: must be 1 or more`);
    if (Math.max(containerID, hostID) + size > UINT32)
      problems.push(`${field}[${i}]: must end before ${UINT32}, ends at ${Math.max(containerID, hostID) + size}`);
    for (let k = 0; k < i; k++) {
      const other = mappings[k] as IdMapping;
      if (overlap(containerID, other.containerID, size, other.size) || overlap(hostID, other.hostID, size, other.size))
        problems.push(`${field}[${i}]: overlaps with ${field}[${k}]`);
    }
  }
}

function overlap(a: number, b: number, sizeOfA: number, sizeOfB: number): boolean {
  return a < b + sizeOfB && b < a + sizeOfA;
}

/** An errno that is cut to 0 would make a refused call succeed. */
function checkSeccompRanges(seccomp: Seccomp, problems: string[]): void {
  checkMost(seccomp.defaultErrnoRet, 65535, "linux.seccomp.defaultErrnoRet", problems);
  const rules = seccomp.syscalls || [];
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i] as SeccompRule;
    checkMost(rule.errnoRet, 65535, `linux.seccomp.syscalls[${i}].errnoRet`, problems);
  }
}

/** Compares two unsigned 64-bit integers that may be decimal strings; negative ones count from 2^64 down. */
function isLarger(a: number | string, b: number | string): boolean {
  const left = unsigned(a);
  const right = unsigned(b);
  return left.length === right.length ? left > right : left.length > right.length;
}

function unsigned(value: number | string): string {
  const text = String(value);
  // infinity, the one negative value in use
  if (text.charAt(0) === "-") return "18446744073709551615";
  return text.replace(/^0+(?=\d)/, "");
}
