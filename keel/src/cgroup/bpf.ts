import * as c from "../lib/consts.ts";
import { callError, must } from "../lib/errors.ts";
import type { DeviceRule } from "../spec/types.ts";
import { accessOf } from "./resources.ts";

const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
const BPF_F_ALLOW_MULTI = 2;
const BPF_F_REPLACE = 4;

// registers: r1 context, r2 type, r3 access, r4 major, r5 minor, r6 scratch
const LDX_W = 0x61;
const AND32_K = 0x54;
const RSH32_K = 0x74;
const MOV32_X = 0xbc;
const MOV64_K = 0xb7;
const JNE_K = 0x55;
const JNE_X = 0x5d;
const JEQ_K = 0x15;
const EXIT = 0x95;

/** One eBPF instruction as 8 little-endian bytes. */
function ins(out: number[], op: number, dst: number, src: number, offset: number, imm: number): void {
  out.push(
    op,
    dst | (src << 4),
    offset & 255,
    (offset >> 8) & 255,
    imm & 255,
    (imm >> 8) & 255,
    (imm >> 16) & 255,
    (imm >> 24) & 255,
  );
}

function accessBits(access: string): number {
  let bits = 0;
  if (access.indexOf("m") >= 0) bits = bits | 1;
  if (access.indexOf("r") >= 0) bits = bits | 2;
  if (access.indexOf("w") >= 0) bits = bits | 4;
  return bits;
}

/**
 * The program for struct bpf_cgroup_dev_ctx {access_type, major, minor}: the last rule that applies decides, as in
 * cgroup v1, so rules are tested from the last to the first; with none the answer is no. Pure.
 */
export function planDeviceProgram(rules: readonly DeviceRule[]): number[] {
  const out: number[] = [];
  ins(out, LDX_W, 2, 1, 0, 0);
  ins(out, AND32_K, 2, 0, 0, 0xffff);
  ins(out, LDX_W, 3, 1, 0, 0);
  ins(out, RSH32_K, 3, 0, 0, 16);
  ins(out, LDX_W, 4, 1, 4, 0);
  ins(out, LDX_W, 5, 1, 8, 0);
  for (let i = rules.length - 1; i >= 0; i--) {
    // a rule for everything decides: the verifier refuses what cannot be reached behind it
    if (!planRule(rules[i] as DeviceRule, out)) return out;
  }
  ins(out, MOV64_K, 0, 0, 0, 0);
  ins(out, EXIT, 0, 0, 0, 0);
  return out;
}

/** Returns false when the rule applies to everything. */
function planRule(rule: DeviceRule, out: number[]): boolean {
  const bits = accessBits(accessOf(rule));
  const tests: number[][] = [];
  const type = rule.type || "a";
  if (type !== "a") tests.push([JNE_K, 2, 0, type === "b" ? 1 : 2]);
  if (bits !== 7) {
    if (rule.allow) {
      // all that is asked for must be in the rule
      tests.push([MOV32_X, 6, 3, 0], [AND32_K, 6, 0, bits], [JNE_X, 6, 3, 0]);
    } else {
      // a refusal applies when any of it is asked for
      tests.push([MOV32_X, 6, 3, 0], [AND32_K, 6, 0, bits], [JEQ_K, 6, 0, 0]);
    }
  }
  if (rule.major !== undefined && rule.major !== null && rule.major >= 0) tests.push([JNE_K, 4, 0, rule.major]);
  if (rule.minor !== undefined && rule.minor !== null && rule.minor >= 0) tests.push([JNE_K, 5, 0, rule.minor]);
  // every failed test jumps behind the two instructions of the verdict
  for (let i = 0; i < tests.length; i++) {
    const [op, dst, src, imm] = tests[i] as [number, number, number, number];
    const jumps = op === JNE_K || op === JNE_X || op === JEQ_K;
    ins(out, op, dst, src, jumps ? tests.length - i - 1 + 2 : 0, imm);
  }
  ins(out, MOV64_K, 0, 0, 0, rule.allow ? 1 : 0);
  ins(out, EXIT, 0, 0, 0, 0);
  return tests.length > 0;
}

/**
 * Loads the program and attaches it to the cgroup directory; with `replace` it takes the former one's place, and at no
 * time are there no rules.
 */
export function attachDeviceProgram(cgroup: string, rules: readonly DeviceRule[], replace: boolean): void {
  const program = sys.bpfLoad(BPF_PROG_TYPE_CGROUP_DEVICE, new Uint8Array(planDeviceProgram(rules)), "Apache-2.0");
  if (program < 0)
    throw callError(
      "load the device program for linux.resources.devices",
      program,
      program === -c.EPERM ? "needs CAP_BPF or CAP_SYS_ADMIN" : undefined,
    );
  const dir = must(sys.open(cgroup, c.O_RDONLY | c.O_DIRECTORY, 0), `open cgroup ${cgroup}`);
  const old = replace ? attachedProgram(dir) : -1;
  const flags = old < 0 ? BPF_F_ALLOW_MULTI : BPF_F_ALLOW_MULTI | BPF_F_REPLACE;
  const result = sys.bpfAttach(program, dir, BPF_CGROUP_DEVICE, flags, old);
  sys.close(dir);
  sys.close(program);
  if (old >= 0) sys.close(old);
  must(result, `attach the device program to ${cgroup}`);
}

/** Ours, when it is the only one; a second one (of systemd, say) stays beside the new one, and both must allow. */
function attachedProgram(dir: number): number {
  const ids = sys.bpfPrograms(dir, BPF_CGROUP_DEVICE);
  return typeof ids === "number" || ids.length !== 1 ? -1 : sys.bpfOpen(ids[0] as number);
}
