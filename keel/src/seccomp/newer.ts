import { putU32 } from "../lib/bytes.ts";

/** One architecture of a filter: libseccomp's token, which is the kernel's AUDIT_ARCH_* value but for x32. */
export interface NewestCall {
  readonly arch: number;
  /** Highest number among the calls the profile names. */
  readonly number: number;
}

const X86_64 = 0xc000003e;
const X32 = 0x4000003e;
const X32_BIT = 0x40000000;

const LOAD = 0x20;
const JUMP = 0x05;
const IF_EQUAL = 0x15;
const IF_GREATER = 0x25;
const IF_BITS = 0x45;
const RETURN = 0x06;
/** Offsets in struct seccomp_data. */
const NUMBER_AT = 0;
const ARCH_AT = 4;
const ENOSYS = 0x00050000 + 38;

type Instruction = readonly [code: number, whenTrue: number, whenFalse: number, value: number];

/**
 * Instructions to go before a filter: a call with a higher number than all that the profile names is newer than the
 * profile, and answered with ENOSYS. The profile's own refusal (EPERM, mostly) would break programs that try a new call
 * and fall back to an old one when the kernel lacks it. Pure.
 */
export function planNewerCalls(newest: readonly NewestCall[]): Uint8Array {
  const blocks: Instruction[][] = [];
  const x32 = newest.filter(({ arch }) => arch === X32)[0];
  for (let i = 0; i < newest.length; i++) {
    const { arch, number } = newest[i] as NewestCall;
    if (arch !== X32) blocks.push(arch === X86_64 ? blockX86(number, x32) : block(arch, number));
  }
  let size = 1;
  for (let i = 0; i < blocks.length; i++) size += (blocks[i] as Instruction[]).length;
  const out = new Uint8Array(size * 8);
  put(out, 0, [LOAD, 0, 0, ARCH_AT]);
  let at = 1;
  for (let i = 0; i < blocks.length; i++) {
    const instructions = blocks[i] as Instruction[];
    for (let k = 0; k < instructions.length; k++, at++) {
      const instruction = instructions[k] as Instruction;
      // a jump goes behind all blocks, where the filter itself begins
      put(out, at, instruction[0] === JUMP ? [JUMP, 0, 0, size - at - 1] : instruction);
    }
  }
  return out;
}

function block(arch: number, number: number): Instruction[] {
  return [
    [IF_EQUAL, 0, 4, arch],
    [LOAD, 0, 0, NUMBER_AT],
    [IF_GREATER, 0, 1, number],
    [RETURN, 0, 0, ENOSYS],
    [JUMP, 0, 0, 0],
  ];
}

/** x32 has x86_64's architecture, and a bit in the number. Without it in the profile, the filter itself refuses it. */
function blockX86(number: number, x32: NewestCall | undefined): Instruction[] {
  const other: Instruction[] = x32
    ? [
        [IF_GREATER, 0, 1, ((x32.number & ~X32_BIT) | X32_BIT) >>> 0],
        [RETURN, 0, 0, ENOSYS],
      ]
    : [];
  return [
    [IF_EQUAL, 0, 5 + other.length, X86_64],
    [LOAD, 0, 0, NUMBER_AT],
    [IF_BITS, 2, 0, X32_BIT],
    [IF_GREATER, 0, 1 + other.length, number],
    [RETURN, 0, 0, ENOSYS],
    ...other,
    [JUMP, 0, 0, 0],
  ];
}

function put(out: Uint8Array, index: number, [code, whenTrue, whenFalse, value]: Instruction): void {
  const at = index * 8;
  out[at] = code;
  out[at + 2] = whenTrue;
  out[at + 3] = whenFalse;
  putU32(out, at + 4, value);
}
