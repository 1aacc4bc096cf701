import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { ensureDirs } from "../lib/files.ts";
import { lookup } from "../lib/lookup.ts";
import type { Seccomp, SeccompArg, SeccompRule } from "../spec/types.ts";
import { type NewestCall, planNewerCalls } from "./newer.ts";

const ACTIONS: { readonly [name: string]: number } = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

const COMPARES: { readonly [name: string]: number } = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

/** Flags of seccomp(2). */
const FLAGS: { readonly [name: string]: number } = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
};
const FLAG_NEW_LISTENER = 8;
const FLAG_WAIT_KILLABLE = 32;

/** After these a program may still find out by itself what the kernel lacks, or somebody else tells it. */
const PERMISSIVE = "SCMP_ACT_ALLOW SCMP_ACT_LOG SCMP_ACT_NOTIFY SCMP_ACT_TRACE";

const ATTR_CTL_OPTIMIZE = 8;

/** Raise when the compiler's output for the same profile changes: old cache files are then not found. */
const CACHE_VERSION = 2;

export interface Filter {
  readonly program: Uint8Array;
  readonly flags: number;
  /** An agent answers some calls: loading the filter makes its listener. */
  readonly notify: boolean;
  /** Whoever loads it is made by an unprivileged user. */
  readonly rootless: boolean;
}

/**
 * The filter of a profile: from the cache of an earlier container with the same profile, else compiled and cached.
 * Without a state root ("") there is no cache.
 */
export function filterFor(profile: Seccomp, root: string): Filter {
  const notify = usesNotify(profile);
  const rootless = sys.geteuid() !== 0;
  const flags = filterFlags(profile, notify);
  if (root === "") return { program: compile(profile), flags, notify, rootless };
  const key = sys.sha256(`${CACHE_VERSION} ${sys.machine} ${JSON.stringify(profile)}`);
  const dir = `${root}/.cache`;
  const path = `${dir}/seccomp-${key}`;
  const fd = sys.open(path, c.O_RDONLY | c.O_NOFOLLOW, 0);
  if (fd >= 0) {
    const bytes = sys.readBytes(fd, 65536);
    sys.close(fd);
    // a program is whole instructions of 8 bytes; anything else is no program of ours
    if (typeof bytes !== "number" && bytes.length > 0 && bytes.length % 8 === 0)
      return { program: bytes, flags, notify, rootless };
  }
  const program = compile(profile);
  ensureDirs(dir, 0o700);
  const temporary = `${path}.${sys.getpid()}`;
  if (sys.writeFileAt(c.AT_FDCWD, temporary, program, c.O_WRONLY | c.O_CREAT | c.O_TRUNC | c.O_NOFOLLOW, 0o600) >= 0) {
    sys.renameat(c.AT_FDCWD, temporary, c.AT_FDCWD, path);
  }
  return { program, flags, notify, rootless };
}

function usesNotify(profile: Seccomp): boolean {
  let notify = profile.defaultAction === "SCMP_ACT_NOTIFY";
  const rules = profile.syscalls || [];
  for (let i = 0; i < rules.length; i++) notify = notify || (rules[i] as SeccompRule).action === "SCMP_ACT_NOTIFY";
  if (notify && !profile.listenerPath)
    throw runtimeError(
      "InvalidArgument",
      "invalid config.json: linux.seccomp.listenerPath: is required with SCMP_ACT_NOTIFY",
      "name the socket of the agent that answers",
    );
  return notify;
}

function filterFlags(profile: Seccomp, notify: boolean): number {
  let flags = notify ? FLAG_NEW_LISTENER : 0;
  const names = profile.flags || [];
  for (let i = 0; i < names.length; i++) {
    const flag = lookup(FLAGS, names[i] as string);
    if (flag === undefined)
      throw runtimeError(
        "InvalidArgument",
        `invalid config.json: linux.seccomp.flags[${i}]: unknown flag "${names[i]}"`,
      );
    // one thread: TSYNC changes nothing. The kernel takes the wait's flag with a listener only
    if (flag !== 1 && (flag !== FLAG_WAIT_KILLABLE || notify)) flags = flags | flag;
  }
  return flags;
}

function action(name: string, errno: number | undefined, field: string): number {
  const base = lookup(ACTIONS, name);
  if (base === undefined)
    throw runtimeError("InvalidArgument", `invalid config.json: ${field}: unknown action "${name}"`);
  if (name !== "SCMP_ACT_ERRNO" && name !== "SCMP_ACT_TRACE") return base;
  return base + ((errno === undefined || errno === null ? c.EPERM : errno) & 0xffff);
}

function compile(profile: Seccomp): Uint8Array {
  const defaultAction = action(profile.defaultAction, profile.defaultErrnoRet, "linux.seccomp.defaultAction");
  const filter = must(sys.seccompInit(defaultAction), "start a seccomp filter");
  // a binary tree of the numbers instead of a list: shorter way for each call; old libraries lack it
  sys.seccompAttr(filter, ATTR_CTL_OPTIMIZE, 2);
  const arches = profile.architectures || [];
  for (let i = 0; i < arches.length; i++) {
    const result = sys.seccompAddArch(filter, arches[i] as string);
    if (result < 0)
      throw runtimeError(
        "InvalidArgument",
        `invalid config.json: linux.seccomp.architectures[${i}]: unknown architecture "${arches[i]}"`,
      );
  }
  const rules = profile.syscalls || [];
  for (let i = 0; i < rules.length; i++)
    addRule(filter, rules[i] as SeccompRule, defaultAction, `linux.seccomp.syscalls[${i}]`);
  const program = sys.seccompExport(filter);
  if (typeof program === "number") throw callError("compile the seccomp filter", program);
  if (` ${PERMISSIVE} `.indexOf(` ${profile.defaultAction} `) >= 0) return program;
  const before = planNewerCalls(newestCalls(profile));
  const whole = new Uint8Array(before.length + program.length);
  whole.set(before, 0);
  whole.set(program, before.length);
  return whole;
}

/** For each architecture of the filter (its own is always one) the highest number of the calls that are named. */
function newestCalls(profile: Seccomp): NewestCall[] {
  const arches = [sys.seccompArch("NATIVE")];
  const named = profile.architectures || [];
  for (let i = 0; i < named.length; i++) {
    const arch = sys.seccompArch(named[i] as string);
    if (arches.indexOf(arch) < 0) arches.push(arch);
  }
  const found: NewestCall[] = [];
  const rules = profile.syscalls || [];
  for (let i = 0; i < arches.length; i++) {
    const arch = arches[i] as number;
    let newest = -1;
    for (let k = 0; k < rules.length; k++) {
      const { names } = rules[k] as SeccompRule;
      for (let m = 0; m < names.length; m++) newest = Math.max(newest, sys.seccompResolveFor(arch, names[m] as string));
    }
    if (newest >= 0) found.push({ arch, number: newest });
  }
  return found;
}

function addRule(filter: number, rule: SeccompRule, defaultAction: number, field: string): void {
  const what = action(rule.action, rule.errnoRet, `${field}.action`);
  // libseccomp refuses a rule that says what happens anyway
  if (what === defaultAction) return;
  const args = rule.args || [];
  const flat: (number | string)[] = [];
  let sameIndex = false;
  const seen: { [index: number]: boolean } = {};
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as SeccompArg;
    const op = lookup(COMPARES, arg.op);
    if (op === undefined)
      throw runtimeError(
        "InvalidArgument",
        `invalid config.json: ${field}.args[${i}].op: unknown operator "${arg.op}"`,
      );
    if (arg.index > 5)
      throw runtimeError(
        "InvalidArgument",
        `invalid config.json: ${field}.args[${i}].index: must be 0 to 5, is ${arg.index}`,
      );
    if (seen[arg.index]) sameIndex = true;
    seen[arg.index] = true;
    flat.push(arg.index, op, arg.value, arg.valueTwo === undefined ? 0 : arg.valueTwo);
  }
  for (let i = 0; i < rule.names.length; i++) {
    const name = rule.names[i] as string;
    const number = sys.seccompResolve(name);
    // names newer than the library are skipped, as every runtime does
    if (number === -1) continue;
    if (!sameIndex) {
      addOne(filter, what, number, flat, name, field);
      continue;
    }
    // conditions on one argument several times mean "or": a rule each
    for (let k = 0; k < flat.length; k += 4) addOne(filter, what, number, flat.slice(k, k + 4), name, field);
  }
}

function addOne(
  filter: number,
  what: number,
  number: number,
  args: readonly (number | string)[],
  name: string,
  field: string,
): void {
  const result = sys.seccompRule(filter, what, number, args);
  if (result < 0 && result !== -c.EEXIST) throw callError(`add ${field} for ${name} to the seccomp filter`, result);
}
