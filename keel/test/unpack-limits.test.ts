/** Layers made to fill a disk or a memory, and what an unpacker without root leaves out. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { lstatSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test as nodeTest } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { entry, file, hardlink, symlink, tar } from "./tar-writer.ts";
import { KEEL, refused, scratch, skip, tree, unpack } from "./unpack-harness.ts";

const test = (name: string, body: () => void): void => void nodeTest(name, { skip, timeout: 120_000 }, body);
const MIB = 1 << 20;
const zeros = Buffer.concat([entry(file("zeros", "", { size: 40 * MIB })), Buffer.alloc(40 * MIB + 1024)]);
const diskKib = (dir: string): number => Number(execFileSync("du", ["-sk", dir], { encoding: "utf8" }).split("\t")[0]);

test("limits: gzip and zstd bombs are refused by the ratio of their sizes, plain data and small bombs are not", () => {
  const flags = ["--free-bytes", String(4 * MIB), "--max-ratio", "50"];
  for (const [name, bomb] of Object.entries({ gzip: gzipSync(zeros), zstd: zstdCompressSync(zeros) })) {
    const failure = refused(bomb, [], flags);
    assert.equal(failure.code, "InvalidArgument", name);
    assert.match(failure.message, /more times its size than is allowed/, name);
    assert.ok(diskKib(failure.dir) < 16_384, name);
    unpack(bomb, [], ["--free-bytes", String(100 * MIB), "--max-ratio", "50"]);
    unpack(bomb, [], ["--free-bytes", "1", "--max-ratio", "1000000"]);
  }
  unpack(zeros, [], ["--free-bytes", "1", "--max-ratio", "1"]);
  const nested = zstdCompressSync(zstdCompressSync(zeros));
  assert.equal(refused(nested, [], flags).code, "InvalidArgument", "a bomb in a bomb is no tar");
});

test("limits: a tar bomb of a million empty files ends at the allowed number, in little memory and disk", () => {
  const one = entry(file("d/name-that-is-written-over"));
  const block = Buffer.alloc(one.length * 1000);
  // Names differ by six digits; the sum of the header's bytes is mended with them.
  const chunks: Buffer[] = [];
  for (let i = 0; i < 1_000_000; i += 1000) {
    for (let j = 0; j < 1000; j++) block.set(entryNamed(one, `d/${String(i + j).padStart(7, "0")}`), j * one.length);
    chunks.push(zstdCompressSync(block));
  }
  const layer = join(scratch(), "layer");
  writeFileSync(layer, Buffer.concat(chunks));
  const dir = scratch();
  const script = `/usr/bin/env time -f 'kB %M' "$0" unpack --target "$1" --max-bytes 68719476736 --max-entries 20000 <"$2" 2>&1`;
  const done = spawnSync("sh", ["-c", script, KEEL, dir, layer], { encoding: "utf8" });
  assert.match(done.stdout, /it has more entries than are allowed/);
  assert.ok(Number(/kB (\d+)/.exec(done.stdout)?.[1]) < 20_000, done.stdout);
  assert.equal(readdirSync(join(dir, "d")).length, 20_000);
});

/** The header with another name of at most 100 bytes. */
function entryNamed(header: Buffer, name: string): Buffer {
  const block = Buffer.from(header);
  block.fill(0, 0, 100);
  block.write(name, 0, "latin1");
  block.write("        ", 148, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

test("limits: as many entries as are allowed are taken, one more is not; hard links and duplicates count", () => {
  const layer = tar(file("a"), file("a"), symlink("b", "a"), hardlink("c", "a"));
  unpack(layer, [], ["--max-entries", "4"]);
  assert.match(refused(layer, [], ["--max-entries", "3"]).message, /more entries/);
  for (const value of ["0", "-1", "x"]) assert.match(refused(layer, [], ["--max-entries", value]).message, /no limit/);
});

const noUserns = spawnSync("unshare", ["-r", "true"]).status === 0 ? false : "no user namespaces here (unshare -r)";

nodeTest(
  "a user namespace: device nodes are left out, whiteouts and fifos are made",
  { skip: skip || noUserns },
  () => {
    const layer = tar(
      file("before", "1"),
      { path: "null", type: "3", major: 1, minor: 3 },
      { path: "disk", type: "4", major: 8, minor: 0 },
      { path: "fifo", type: "6" },
      file(".wh.gone"),
      file("after", "2"),
    );
    const [dir, lower] = [scratch(), scratch()];
    const args = ["-r", KEEL, "unpack", "--target", dir, "--lower", lower];
    const done = spawnSync("unshare", args, { input: layer, encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
    assert.deepEqual(tree(dir), ["after=2", "before=1", "fifo fifo", "gone c0,0"]);
    assert.ok(lstatSync(join(unpack(layer).dir, "null")).isCharacterDevice());
  },
);
