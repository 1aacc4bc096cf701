import assert from "node:assert/strict";
import { test } from "node:test";
import { leanCode } from "./lean-code.ts";

const CONSTRUCTABLE = 0x100;

const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
const text = (value: string): number[] => [...u32(value.length), ...Buffer.from(value)];

/** A function with one instruction, one string, one number and one variable. */
function dumped(name: string, inner: readonly number[][] = []): number[] {
  const counts = [...u32(1), ...u32(2), ...u32(inner.length), 0, 1, 0, 0];
  const constants = [0, ...text("word"), 1, 7, 7, 7, 7, 7, 7, 7, 7];
  const rest = [...u32(0), ...text(name), ...text("x"), ...u32(3), ...u32(0), ...u32(0xffffffff)];
  return [...counts, ...u32(0), ...u32(0), ...u32(0xfff), ...u32(9), ...constants, ...inner.flat(), ...rest];
}

const flagsAt = (code: Uint8Array, at: number): number => new DataView(code.buffer).getUint32(at + 24);

test("lean-code: functions that `new` does not call lose their prototype", () => {
  const inner = [dumped("Tree"), dumped("plain")];
  const outer = dumped("outer", inner);
  const code = leanCode(Uint8Array.from([0xbf, ...outer]), "var t = new Tree(1);");
  // behind the head, one instruction and the constants
  const treeAt = 1 + 28 + 4 + 1 + 8 + 9;
  assert.equal(flagsAt(code, 1), 0xfff & ~CONSTRUCTABLE);
  assert.equal(flagsAt(code, treeAt), 0xfff);
  assert.equal(flagsAt(code, treeAt + dumped("Tree").length), 0xfff & ~CONSTRUCTABLE);
});

test("lean-code: bytes of another shape are refused", () => {
  const whole = [0xbf, ...dumped("f")];
  assert.throws(() => leanCode(Uint8Array.from([0, ...dumped("f")]), ""), /mark/);
  assert.throws(() => leanCode(Uint8Array.from([...whole, 0]), ""), /its functions end at/);
});
