import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBytes, parseMilliseconds } from "./units.ts";

test("sizes: docker's units, all powers of 1024", () => {
  const read = ["64M", "1.5g", "100kb", "2GiB", "17", "-1", "", "12x", "-5", "1e3"].map(parseBytes);
  assert.deepEqual(read, [
    67108864,
    1610612736,
    102400,
    2147483648,
    17,
    -1,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

test("durations: as Go writes them", () => {
  const read = ["5s", "500ms", "1m30s", "1.5s", "5", "", "s", "-1s"].map(parseMilliseconds);
  assert.deepEqual(read, [5000, 500, 90000, 1500, undefined, undefined, undefined, undefined]);
});
