import assert from "node:assert/strict";
import { test } from "node:test";
import { listBits, putU64 } from "./bytes.ts";

const u64 = (value: number | string): bigint => {
  const bytes = new Uint8Array(8);
  putU64(bytes, 0, value);
  return new DataView(bytes.buffer).getBigUint64(0, true);
};

test("64-bit numbers keep every digit", () => {
  for (const value of [0, 1, 255, 4294967296, "18446744073709551615", "9223372036854775808", 9007199254740991])
    assert.equal(u64(value), BigInt(value));
  for (const value of [-1, "-9223372036854775808", -4294967296])
    assert.equal(u64(value), BigInt.asUintN(64, BigInt(value)));
});

test("lists of CPUs become bits", () => {
  assert.deepEqual([...(listBits("0-2,8", 16) ?? [])], [7, 1]);
  assert.deepEqual([...(listBits("1, 3", 8) ?? [])], [10]);
  for (const bad of ["", "a", "3-1", "16", "-1", "1-", "1;2"]) assert.equal(listBits(bad, 16), undefined, bad);
});
