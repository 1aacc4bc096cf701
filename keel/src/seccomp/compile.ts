import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
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

/** After these a program may still find out by itself what the kernel lacks, or somebody else tells it. */
const PERMISSIVE = "SCMP_ACT_ALLOW SCMP_ACT_LOG SCMP_ACT_NOTIFY SCMP_ACT_TRACE";

const ATTR_CTL_OPTIMIZE = 8;

function action(name: string, errno: number | undefined, field: string): number {
  const base = lookup(ACTIONS, name);
  if (base === undefined)
    throw runtimeError("InvalidArgument", `invalid config.json: ${field}: unknown action "${name}"`);
  if (name !== "SCMP_ACT_ERRNO" && name !== "SCMP_ACT_TRACE") return base;
  return base + ((errno === undefined || errno === null ? c.EPERM : errno) & 0xffff);
}

/** Names that the library does not know; a call of another architecture has a number below -1. */
export function refuseUnknownCalls(profile: Seccomp): void {
  const rules = profile.syscalls || [];
  for (let i = 0; i < rules.length; i++) {
    const { names } = rules[i] as SeccompRule;
    for (let k = 0; k < names.length; k++) {
      if (sys.syscallNumber(names[k] as string) !== -1) continue;
      throw runtimeError(
        "InvalidArgument",
        `invalid config.json: linux.seccomp.syscalls[${i}].names[${k}]: unknown system call "${names[k]}"`,
        "the annotation run.oci.seccomp_fail_unknown_syscall makes it an error",
      );
    }
  }
}

/** The program of a profile. @throws InvalidArgument with the field and its rule */
export function compileFilter(profile: Seccomp): Uint8Array {
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
