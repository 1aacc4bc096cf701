import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Growing } from "./growing.ts";

function scratch() {
  const dir = mkdtempSync(join(tmpdir(), "berth-growing-"));
  return { path: join(dir, "partial"), [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

test("Growing: the reader gets every byte as it comes, also after the file got another name", async () => {
  using s = scratch();
  const growing = new Growing(`${s.path}.done`);
  writeFileSync(s.path, "resumed ");
  growing.begin(s.path);
  growing.grow(8);
  await growing.started;
  const reader = growing.read();
  assert.equal(String((await reader.next()).value), "resumed ");
  const next = reader.next();
  appendFileSync(s.path, "more");
  growing.grow(12);
  assert.equal(String((await next).value), "more");
  renameSync(s.path, `${s.path}.done`);
  growing.finish({});
  assert.equal((await reader.next()).done, true);
});

test("Growing: the writer's failure is the reader's", async () => {
  using s = scratch();
  const growing = new Growing(`${s.path}.done`);
  writeFileSync(s.path, "half");
  growing.begin(s.path);
  growing.grow(4);
  const reader = growing.read();
  await reader.next();
  const next = reader.next();
  growing.finish({ failure: { error: new Error("wrong digest") } });
  await assert.rejects(next, /wrong digest/);
});

test("Growing: started also resolves when the writer ended without a file", async () => {
  const growing = new Growing("/nonexistent");
  growing.finish({});
  await growing.started;
  assert.deepEqual(await Array.fromAsync(growing.read()), []);
});

test("Growing: a reader that begins after the file got its final name reads it there", async () => {
  using s = scratch();
  const growing = new Growing(`${s.path}.done`);
  writeFileSync(s.path, "whole");
  growing.begin(s.path);
  growing.grow(5);
  const reader = growing.read();
  renameSync(s.path, `${s.path}.done`);
  growing.finish({});
  assert.equal(String(Buffer.concat(await Array.fromAsync(reader))), "whole");
});
