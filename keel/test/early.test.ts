/** `keel unpack` before all is there: a file that still grows, and lower layers that are unpacked at the same time. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { test as nodeTest } from "node:test";
import { gzipSync } from "node:zlib";
import { KEEL } from "./harness.ts";
import { dir, file, hardlink, tar } from "./tar-writer.ts";
import { scratch, skip } from "./unpack-harness.ts";

const test = (name: string, body: () => Promise<void>): void => void nodeTest(name, { skip, timeout: 60_000 }, body);

interface Early {
  readonly child: ChildProcess;
  readonly out: Promise<string>;
  readonly code: Promise<number | null>;
  /** Tells that the file has grown; its end says that it is whole. */
  readonly growth: Writable;
  /** Its end says that the lower layers are complete. */
  readonly lowers: Writable;
}

function start(path: string, args: readonly string[]): Early {
  const fd = openSync(path, "r");
  const child = spawn(KEEL, ["unpack", "--growing", ...args], { stdio: [fd, "pipe", "inherit", "pipe", "pipe"] });
  closeSync(fd);
  const code = new Promise<number | null>((resolve) => child.on("close", resolve));
  assert.ok(child.stdout);
  const [growth, lowers] = [child.stdio[3] as Writable, child.stdio[4] as Writable];
  return { child, out: text(child.stdout), code, growth, lowers };
}

const isRunning = async ({ child }: Early): Promise<boolean> => {
  await new Promise((resolve) => setTimeout(resolve, 150));
  return child.exitCode === null && child.signalCode === null;
};

test("unpack: a file that still grows is read to its end, and its end is not that of the file so far", async () => {
  for (const pack of [gzipSync, (bytes: Uint8Array): Buffer => Buffer.from(bytes)]) {
    const bytes = tar(file("a", "x".repeat(100_000)), file("b", "y"));
    const layer = pack(bytes);
    const path = join(scratch(), "layer");
    writeFileSync(path, "");
    const target = scratch();
    const early = start(path, ["--target", target]);
    for (const [from, to] of [
      [0, 1],
      [1, 40],
      [40, layer.length - 1],
    ] as const) {
      appendFileSync(path, layer.subarray(from, to));
      early.growth.write(".");
      assert.ok(await isRunning(early));
    }
    // The last bytes come without a word before the end.
    appendFileSync(path, layer.subarray(layer.length - 1));
    early.growth.end();
    assert.equal(await early.code, 0);
    const result = JSON.parse(await early.out);
    assert.equal(result.diffId, `sha256:${createHash("sha256").update(bytes).digest("hex")}`);
    assert.equal(result.compressedBytes, layer.length);
    assert.equal(readFileSync(join(target, "b"), "utf8"), "y");
  }
});

test("unpack: with lower layers that come later, a layer waits only if it must look into them", async () => {
  const [below, target, other] = [scratch(), scratch(), scratch()];
  const flags = (to: string): readonly string[] => ["--target", to, "--lower", below, "--lowers-later"];
  const path = join(scratch(), "layer");
  writeFileSync(path, tar(dir("d/"), file("d/own", "own"), file("d/.wh.gone")));
  const independent = start(path, flags(other));
  independent.growth.end();
  assert.equal(await independent.code, 0);
  assert.equal(readFileSync(join(other, "d/own"), "utf8"), "own");

  writeFileSync(path, tar(file("own", "own"), hardlink("link", "late")));
  const looking = start(path, flags(target));
  looking.growth.end();
  assert.ok(await isRunning(looking));
  writeFileSync(join(below, "late"), "late");
  looking.lowers.end();
  assert.equal(await looking.code, 0);
  assert.equal(readFileSync(join(target, "link"), "utf8"), "late");
});
