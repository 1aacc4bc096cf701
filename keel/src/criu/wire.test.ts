import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeMessage, encodeMessage, lastField } from "./wire.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("wire: numbers, text and messages are encoded as the specification's examples", () => {
  assert.equal(hex(encodeMessage([[1, 150]])), "089601");
  assert.equal(hex(encodeMessage([[2, "testing"]])), "120774657374696e67");
  assert.equal(hex(encodeMessage([[3, [[1, 150]]]])), "1a03089601");
  assert.equal(
    hex(
      encodeMessage([
        [1, true],
        [1, false],
      ]),
    ),
    "08010800",
  );
  assert.equal(hex(encodeMessage([[38, 0x40000000]])), "b0028080808004");
});

test("wire: a negative number is the ten bytes of its 64-bit two's complement", () => {
  assert.equal(hex(encodeMessage([[1, -1]])), "08ffffffffffffffffff01");
  assert.equal(hex(encodeMessage([[1, -2]])), "08feffffffffffffffff01");
});

test("wire: what is encoded is decoded again, the last of a repeated field counts", () => {
  const bytes = encodeMessage([
    [1, -95],
    [16, "ü"],
    [7, 0x7fffffff],
    [7, 300],
  ]);
  const fields = decodeMessage(bytes, 0, bytes.length);
  assert.equal(lastField(fields, 1)?.value, -95);
  assert.equal(lastField(fields, 7)?.value, 300);
  const text = lastField(fields, 16);
  assert.equal(Buffer.from(bytes.subarray(text?.start, text?.end)).toString(), "ü");
  assert.equal(lastField(fields, 2), undefined);
});

test("wire: fields of 4 and 8 bytes, which nobody sends yet, are stepped over", () => {
  const bytes = Uint8Array.from([0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x18, 5]);
  assert.equal(lastField(decodeMessage(bytes, 0, bytes.length), 3)?.value, 5);
});

test("wire: bytes that are cut off or no message are refused", () => {
  for (const bytes of [[0x08], [0x08, 0x80], [0x12, 5, 1], [0x0d, 1], [0x0b], [0x08, ...Array(11).fill(0x80)]]) {
    assert.throws(() => decodeMessage(Uint8Array.from(bytes), 0, bytes.length), { code: "DataLoss" });
  }
});
