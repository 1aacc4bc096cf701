import assert from "node:assert/strict";
import { closeSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Growing } from "./growing.ts";

const MIB = 1024 * 1024;

function scratch() {
  const dir = mkdtempSync(join(tmpdir(), "berth-growing-"));
  return { path: join(dir, "partial"), [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

test("Growing: the reader is told of growth that is worth it, and of the end", async () => {
  const growing = new Growing("/nonexistent");
  growing.begin("/nonexistent");
  growing.grow(MIB);
  await growing.started;
  const growth = growing.growth();
  assert.equal((await growth.next()).done, false);
  let told = 0;
  const next = growth.next().finally(() => told++);
  growing.grow(MIB + 1);
  await new Promise(setImmediate);
  assert.equal(told, 0);
  growing.grow(2 * MIB);
  assert.equal((await next).done, false);
  growing.finish({});
  assert.equal((await growth.next()).done, true);
});

test("Growing: the writer's failure is the reader's", async () => {
  const growing = new Growing("/nonexistent");
  growing.begin("/nonexistent");
  const next = growing.growth().next();
  growing.finish({ failure: { error: new Error("wrong digest") } });
  await assert.rejects(next, /wrong digest/);
});

test("Growing: started also resolves when the writer ended without a file", async () => {
  const growing = new Growing("/nonexistent");
  growing.finish({});
  await growing.started;
  assert.equal(growing.open(), undefined);
});

test("Growing: a reader that begins after the file got its final name reads it there", () => {
  using s = scratch();
  const growing = new Growing(`${s.path}.done`);
  writeFileSync(s.path, "whole");
  growing.begin(s.path);
  renameSync(s.path, `${s.path}.done`);
  growing.finish({});
  const fd = growing.open() ?? -1;
  assert.equal(readFileSync(fd, "utf8"), "whole");
  closeSync(fd);
});
