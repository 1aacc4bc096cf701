import assert from "node:assert/strict";
import { test } from "node:test";
import { signalsOf } from "./signals.ts";

test("signal masks: bit n - 1 is signal n, in all of its 64 bits", () => {
  assert.deepEqual(signalsOf(["0000000000000000"]), []);
  assert.deepEqual(signalsOf(["0000000000001001"]), [1, 13]);
  assert.deepEqual(signalsOf(["8000000000000000", "0000000200000000"]), [34, 64]);
});
