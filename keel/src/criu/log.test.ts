import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { quoteLog } from "./log.ts";

test("log: the last lines with errors are quoted, without their times, in one line", () => {
  const text =
    "(00.000001) Version: 3.17.1\n(00.01) Error (a.c:1): one\n(00.02) noise\n(00.03)   12: Error (b.c:2): two\n";
  assert.equal(quoteLog(text), "Error (a.c:1): one; 12: Error (b.c:2): two");
});

test("log: without errors its last lines are quoted, and nothing of an empty one", () => {
  assert.equal(quoteLog("(00.1) a\n(00.2) b\n"), "a; b");
  assert.equal(quoteLog(""), "");
});
