import assert from "node:assert/strict";
import { test } from "node:test";
import { planNewerCalls } from "./newer.ts";

const X86_64 = 0xc000003e;
const X86 = 0x40000003;
const X32 = 0x4000003e;
const X32_BIT = 0x40000000;

/** Interprets the few classic BPF instructions there are; "filter" when the end is reached. */
function answer(program: Uint8Array, arch: number, number: number): number | "filter" {
  const view = new DataView(program.buffer);
  let accumulator = 0;
  let pc = 0;
  while (pc * 8 < program.length) {
    const value = view.getUint32(pc * 8 + 4, true);
    const jump = (yes: boolean): number => pc + 1 + view.getUint8(pc * 8 + (yes ? 2 : 3));
    switch (view.getUint16(pc * 8, true)) {
      case 0x20:
        accumulator = value === 0 ? number : arch;
        pc++;
        break;
      case 0x05:
        pc += 1 + value;
        break;
      case 0x15:
        pc = jump(accumulator === value);
        break;
      case 0x25:
        pc = jump(accumulator > value);
        break;
      case 0x45:
        pc = jump((accumulator & value) !== 0);
        break;
      case 0x06:
        return value;
      default:
        throw new Error("unknown instruction");
    }
  }
  assert.equal(pc * 8, program.length);
  return "filter";
}

const ENOSYS = 0x50000 + 38;

test("newer calls: only numbers past the profile's newest are answered ENOSYS, for each architecture", () => {
  const program = planNewerCalls([
    { arch: X86_64, number: 435 },
    { arch: X86, number: 300 },
  ]);
  assert.equal(answer(program, X86_64, 435), "filter");
  assert.equal(answer(program, X86_64, 436), ENOSYS);
  assert.equal(answer(program, X86, 301), ENOSYS);
  assert.equal(answer(program, X86, 300), "filter");
  assert.equal(answer(program, 0xc00000b7, 9999), "filter");
});

test("newer calls: x32 has its own newest, and is the filter's affair when the profile has no x32", () => {
  const without = planNewerCalls([{ arch: X86_64, number: 435 }]);
  assert.equal(answer(without, X86_64, X32_BIT + 9), "filter");
  assert.equal(answer(without, X86_64, X32_BIT + 9999), "filter");
  const program = planNewerCalls([
    { arch: X86_64, number: 435 },
    { arch: X32, number: X32_BIT + 500 },
  ]);
  assert.equal(answer(program, X86_64, 435), "filter");
  assert.equal(answer(program, X86_64, 436), ENOSYS);
  assert.equal(answer(program, X86_64, X32_BIT + 500), "filter");
  assert.equal(answer(program, X86_64, X32_BIT + 501), ENOSYS);
});
