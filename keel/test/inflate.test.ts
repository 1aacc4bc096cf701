/** keel's own decoder of gzip against zlib: what it makes of every kind of stream, and of damaged ones. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as nodeTest } from "node:test";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { file, tar } from "./tar-writer.ts";
import { attempt, skip, unpack } from "./unpack-harness.ts";

const test = (name: string, body: () => void): void => void nodeTest(name, { skip, timeout: 120_000 }, body);
const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const { Z_DEFAULT_STRATEGY, Z_FILTERED, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE } = constants;
const HEADER = Buffer.from("1f8b08000000000000ff", "hex");

/** The same numbers each time (xorshift). */
function numbers(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/** Bytes of a kind: noise, few symbols, long runs, and matches at all distances. */
function bytesOf(kind: number, length: number, next: (below: number) => number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) {
    if (kind === 0) bytes[i] = next(256);
    else if (kind === 1) bytes[i] = next(4);
    else if (kind === 2) bytes[i] = next(300) < 299 ? 97 : next(256);
    else if (i > 0 && next(4) > 0) {
      const distance = 1 + next(Math.min(i, next(2) === 0 ? 20 : 32_768));
      for (const end = Math.min(i + 3 + next(300), length); i < end; i++) bytes[i] = bytes[i - distance] ?? 0;
      i--;
    } else bytes[i] = next(256);
  }
  return bytes;
}

function gzip(raw: Buffer, length: number): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(length, 4);
  return Buffer.concat([HEADER, raw, trailer]);
}

test("inflate: streams of every strategy, level and window come out as they went in, across all edges of buffers", () => {
  const next = numbers(7);
  for (const strategy of [Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED]) {
    for (const kind of [0, 1, 2, 3]) {
      for (const level of [0, 1, 9]) {
        const bytes = tar(file("f", bytesOf(kind, level === 1 ? 700_000 + next(400_000) : next(70_000), next)));
        const options = { strategy, level, memLevel: 1 + next(9), windowBits: 9 + next(7) };
        const { result } = unpack(gzip(deflateRawSync(bytes, options), bytes.length));
        assert.equal(result.diffId, sha256(bytes), JSON.stringify({ ...options, kind }));
      }
    }
  }
});

test("inflate: a member's header may have a name, a comment, extra bytes and a checksum", () => {
  const bytes = tar(file("f", "content"));
  const packed = gzip(deflateRawSync(bytes), bytes.length);
  const head = Buffer.from(HEADER);
  head[3] = 2 | 4 | 8 | 16;
  const more = Buffer.from("\u0003\0abcname\0comment\0\u0001\u0002", "latin1");
  const layer = Buffer.concat([head, more, packed.subarray(HEADER.length), packed]);
  assert.equal(unpack(layer).result.diffId, sha256(Buffer.concat([bytes, bytes])));
  head[3] = 32;
  assert.match(attempt(Buffer.concat([head, packed.subarray(HEADER.length)])).err, /damaged gzip data: no header/);
});

test("inflate: of a damaged stream comes what zlib makes of it, or a refusal", () => {
  const next = numbers(11);
  let refusals = 0;
  for (let round = 0; round < 120; round++) {
    const bytes = tar(file("f", bytesOf(round % 4, 1 + next(20_000), next)));
    const raw = deflateRawSync(bytes, { level: 1 + next(9), strategy: round % 5 });
    for (let changes = 1 + next(3); changes > 0; changes--) raw[next(next(2) === 0 ? 80 : raw.length)] = next(256);
    const { code, out, err } = attempt(gzip(raw, bytes.length));
    if (code !== 0) {
      assert.equal(JSON.parse(err).code, "InvalidArgument", `round ${round}: ${code} ${err}`);
      refusals++;
    } else assert.equal(JSON.parse(out).diffId, sha256(inflateRawSync(raw)), `round ${round}`);
  }
  assert.ok(refusals > 30 && refusals < 120, `${refusals} refused`);
});

test("inflate: codes that are no codes, distances before the beginning and lengths that do not agree are refused", () => {
  const table: Readonly<Record<string, string>> = {
    "a fourth kind of block": "07",
    "a stored block whose length is not said twice": "0105000500",
    "too many codes of literals": "fd0f",
    "a distance before the beginning": "4b04a20000",
    "lengths that make no code": "0580c1000000000000",
    "a distance code that is none": "4b047e00",
  };
  for (const [name, hex] of Object.entries(table)) {
    const { code, err } = attempt(gzip(Buffer.concat([Buffer.from(hex, "hex"), Buffer.alloc(64)]), 0));
    assert.deepEqual([code, /damaged gzip data/.test(err)], [1, true], `${name}: ${err}`);
  }
  const bytes = tar(file("f", "content"));
  assert.match(attempt(gzip(deflateRawSync(bytes), bytes.length + 1)).err, /damaged gzip data: another length/);
});

const noCompiler = skip || (spawnSync("gcc", ["--version"]).status === 0 ? false : "needs gcc");

nodeTest(
  "inflate: 2,000 streams, a third of them damaged, beside zlib, under the sanitizers",
  { skip: noCompiler },
  () => {
    const dir = mkdtempSync(join(tmpdir(), "keel-inflate-"));
    try {
      const program = join(dir, "fuzz");
      const sources = [
        join(import.meta.dirname, "native/inflate-fuzz.c"),
        join(import.meta.dirname, "../native/inflate.c"),
      ];
      const flags = [
        "-O1",
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
      ];
      const include = `-I${join(import.meta.dirname, "../native")}`;
      const built = spawnSync("gcc", [...flags, include, ...sources, "-lz", "-o", program], { encoding: "utf8" });
      assert.equal(built.status, 0, built.stderr);
      const ran = spawnSync(program, ["1", "2000"], { encoding: "utf8" });
      assert.equal(ran.status, 0, ran.stdout + ran.stderr);
      assert.match(ran.stdout, /^\d{3,} sound, \d{3,} damaged$/m);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  },
);
