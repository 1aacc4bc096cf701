import assert from "node:assert/strict";
import { release } from "node:os";
import { test } from "node:test";
import { bundle, keel, run, skip } from "./harness.ts";

const [major, minor] = release().split(".").map(Number) as [number, number];
const modern = major > 5 || (major === 5 && minor >= 12);

test("kernel: one that is too old is told as the reason, and nothing is left", {
  skip: skip || (modern && "this kernel is new enough (./run-tests vm has one that is not)"),
}, () => {
  const bundled = bundle(["true"]);
  const ran = run(bundled);
  assert.equal(ran.code, 1);
  assert.ok(ran.err.includes(`keel needs Linux 5.12 or newer, this is ${release()}`), ran.err);
  assert.equal(keel("state", bundled.id).code, 1);
});
