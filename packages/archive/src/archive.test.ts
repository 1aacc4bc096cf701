import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { isCode } from "@berth/base";
import { formatHeader, parseHeader, parsePax } from "./header.ts";
import { detectCompression, formatTar, openArchive, writeDirectory, writeFileWhole } from "./index.ts";
import { normalise } from "./scan.ts";

function scratch() {
  const dir = mkdtempSync(join(tmpdir(), "berth-archive-"));
  return {
    dir,
    spoolDir: join(dir, "spool"),
    write(name: string, bytes: Uint8Array): string {
      writeFileSync(join(dir, name), bytes);
      return join(dir, name);
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true }),
  };
}

/** A header block as ustar writes it, with its checksum, and the data padded. */
function member(name: string, data: string | Buffer, type = "0", patch?: (block: Buffer) => void): Buffer {
  const bytes = Buffer.from(data);
  const block = Buffer.alloc(512);
  block.write(name, 0);
  block.write("0000644\0", 100);
  block.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
  block.write(type, 156);
  block.write("ustar\u000000", 257);
  patch?.(block);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([block, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

const END = Buffer.alloc(1024);
const tar = (...members: readonly Buffer[]): Buffer => Buffer.concat([...members, END]);
const linkTo = (target: string) => (block: Buffer) => void block.write(target, 157);

async function text(body: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(body)).toString();
}

test("openArchive: members of a plain, gzip, zstd tar, of a pipe and of a directory read the same", async () => {
  using s = scratch();
  const plain = tar(member("./index.json", "{}"), member("blobs/x", "0123456789"));
  mkdirSync(join(s.dir, "tree/blobs"), { recursive: true });
  s.write("tree/index.json", Buffer.from("{}"));
  s.write("tree/blobs/x", Buffer.from("0123456789"));
  const fifo = join(s.dir, "pipe");
  spawnSync("mkfifo", [fifo]);
  const paths = [
    s.write("a.tar", plain),
    s.write("a.tgz", gzipSync(plain)),
    s.write("a.zst", zstdCompressSync(plain)),
    join(s.dir, "tree"),
    fifo,
  ];
  for (const path of paths) {
    // Opened for both ways, so that neither side waits for the other.
    const writer = path === fifo ? openSync(fifo, "r+") : undefined;
    if (writer !== undefined) writeFileSync(writer, plain);
    const opening = openArchive(path, s);
    if (writer !== undefined) setTimeout(() => closeSync(writer), 100);
    using archive = await opening;
    assert.deepEqual(
      [archive.size("index.json"), archive.size("blobs"), archive.size("none")],
      [2, undefined, undefined],
      path,
    );
    assert.equal(archive.readAll("index.json", 10).toString(), "{}");
    assert.equal(await text(archive.read("blobs/x", 4)), "456789");
    assert.throws(
      () => archive.readAll("none", 10),
      (e) => isCode(e, "NotFound"),
    );
    assert.throws(
      () => archive.readAll("blobs/x", 9),
      (e) => isCode(e, "ResourceExhausted"),
    );
  }
  assert.deepEqual(readdirSync(s.spoolDir), []);
});

test("openArchive: what GNU tar writes is read: names of more than 100 bytes", async () => {
  using s = scratch();
  const long = `${"d".repeat(90)}/${"f".repeat(90)}`;
  mkdirSync(join(s.dir, "in", "d".repeat(90)), { recursive: true });
  s.write(`in/${long}`, Buffer.from("long"));
  for (const format of ["gnu", "pax", "ustar"]) {
    const file = join(s.dir, `${format}.tar`);
    assert.equal(spawnSync("tar", ["-C", join(s.dir, "in"), `--format=${format}`, "-cf", file, "."]).status, 0);
    using archive = await openArchive(file, s);
    assert.equal(await text(archive.read(long)), "long", format);
  }
});

test("openArchive: links lead to other members, never out, and cycles end", async () => {
  using s = scratch();
  const bytes = tar(
    member("a/layer.tar", "layer"),
    member("b/layer.tar", "", "2", linkTo("../a/layer.tar")),
    member("hard", "", "1", linkTo("a/layer.tar")),
    member("out", "", "2", linkTo("../../etc/passwd")),
    member("abs", "", "2", linkTo("/etc/passwd")),
    member("loop", "", "2", linkTo("loop")),
    member("/etc/evil", "x"),
    member("../evil", "x"),
  );
  using archive = await openArchive(s.write("l.tar", bytes), s);
  assert.equal(await text(archive.read("b/layer.tar")), "layer");
  assert.equal(await text(archive.read("hard")), "layer");
  for (const name of ["out", "abs", "loop", "/etc/evil", "../evil", "etc/evil", "evil"])
    assert.equal(archive.size(name), undefined, name);
});

test("openArchive: the last of several members of one name counts", async () => {
  using s = scratch();
  using archive = await openArchive(s.write("t.tar", tar(member("a", "old"), member("a", "newer"))), s);
  assert.equal(await text(archive.read("a")), "newer");
});

test("openArchive: damaged and hostile archives are refused as InvalidArgument", async () => {
  using s = scratch();
  const good = tar(member("a", "x".repeat(2000)));
  const size = (value: string) => (block: Buffer) => void block.write(value, 124);
  const huge = (block: Buffer): void => void Buffer.from("80ffffffffffffffffffffff", "hex").copy(block, 124);
  const table: readonly (readonly [string, Buffer])[] = [
    ["empty", Buffer.alloc(0)],
    ["end mark only", END],
    ["noise", Buffer.alloc(5000, 7)],
    ["cut in a member", good.subarray(0, 1000)],
    ["no end mark", good.subarray(0, good.length - 1024)],
    ["cut gzip", gzipSync(good).subarray(0, 40)],
    ["damaged zstd", Buffer.concat([zstdCompressSync(good).subarray(0, 10), Buffer.alloc(20)])],
    ["xz", Buffer.from("fd377a585a00000000", "hex")],
    ["wrong checksum", Buffer.concat([Buffer.from("b"), good.subarray(1)])],
    ["size beyond the file", tar(member("a", "", "0", size("77777777777\0")))],
    ["size beyond numbers", tar(member("a", "", "0", huge))],
    ["no number", tar(member("a", "", "0", size("zz\0")))],
    ["pax size", tar(member("p", "15 size=999999\n", "x"), member("a", "x"))],
    ["pax garbage", tar(member("p", "99 path=a\n", "x"), member("a", "x"))],
    ["pax too long", tar(member("p", "x".repeat(1_100_000), "x"), member("a", "x"))],
  ];
  for (const [name, bytes] of table) {
    const path = s.write("bad", bytes);
    await assert.rejects(openArchive(path, s), (e) => isCode(e, "InvalidArgument"), name);
  }
  await assert.rejects(openArchive(join(s.dir, "none"), s), (e) => isCode(e, "NotFound"));
});

test("openArchive: a compressed archive that unpacks beyond the limit is refused and leaves nothing", async () => {
  using s = scratch();
  const bomb = s.write("bomb.tgz", gzipSync(Buffer.alloc(4_000_000)));
  await assert.rejects(openArchive(bomb, { ...s, maxBytes: 1_000_000 }), (e) => isCode(e, "InvalidArgument"));
  assert.deepEqual(readdirSync(s.spoolDir), []);
});

test("openArchive: a compressed archive that unpacks to too many times its size is refused, a small one is not", async () => {
  using s = scratch();
  const bomb = s.write("bomb.tar.zst", zstdCompressSync(Buffer.concat([tar(member("a", "")), Buffer.alloc(16 << 20)])));
  const limits = { ...s, maxRatio: 200 };
  const refused = (e: unknown): boolean =>
    isCode(e, "InvalidArgument") && /more than 200 times its size/.test(String(e));
  await assert.rejects(openArchive(bomb, { ...limits, freeBytes: 1 << 20 }), refused);
  assert.deepEqual(readdirSync(s.spoolDir), []);
  (await openArchive(bomb, limits))[Symbol.dispose]();
});

test("parseHeader and parsePax: random bytes never throw", () => {
  for (let i = 0; i < 2000; i++) {
    const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(512)));
    parseHeader(noise);
    parsePax(noise.subarray(0, i % 64));
  }
});

test("normalise: names stay inside", () => {
  assert.deepEqual(["./a//b/./c", "a/../b", "..", "a/../..", "/a", ""].map(normalise), [
    "a/b/c",
    "b",
    undefined,
    undefined,
    undefined,
    "",
  ]);
});

test("detectCompression: by the first bytes", () => {
  const hex = ["1f8b08000000", "28b52ffd0000", "502a4d180000", "425a68390000", "626c6f62732f"];
  assert.deepEqual(
    hex.map((h) => detectCompression(Buffer.from(h, "hex"))),
    ["gzip", "zstd", "zstd", "unsupported", "none"],
  );
});

test("the test's own headers are what tar reads", () => {
  using s = scratch();
  const path = s.write("x.tar", tar(member("name", "data")));
  assert.equal(spawnSync("tar", ["-xOf", path, "name"], { encoding: "utf8" }).stdout, "data");
  assert.ok(readFileSync(path).length % 512 === 0);
});

test("formatHeader: names, modes and sizes past 8 GiB read back", () => {
  for (const size of [0, 1, 8 ** 11 - 1, 8 ** 11, 2 ** 46])
    for (const name of ["a", "x".repeat(100), "blobs/ä"]) {
      const found = parseHeader(formatHeader({ name, size, type: "0", mode: 0o644 }));
      assert.deepEqual(found, { name, size, type: "0", linkName: "" });
    }
});

test("formatTar: GNU tar and openArchive read what it writes, directories once", async () => {
  using s = scratch();
  const body = (text: string) => ({ size: text.length, body: () => [Buffer.from(text)] });
  const members = [
    { name: "one", ...body("1") },
    { name: "a/b/two", ...body("x".repeat(1000)) },
    { name: "a/b/none", ...body("") },
  ];
  const bytes = Buffer.concat(await Array.fromAsync(formatTar(members)));
  const path = s.write("x.tar", bytes);
  const listed = spawnSync("tar", ["-tf", path], { encoding: "utf8" });
  assert.equal(listed.stderr, "");
  assert.deepEqual(listed.stdout.trim().split("\n"), ["one", "a/", "a/b/", "a/b/two", "a/b/none"]);
  using archive = await openArchive(path, s);
  assert.equal(await text(archive.read("a/b/two")), "x".repeat(1000));
  await writeDirectory(join(s.dir, "out"), members);
  assert.equal(readFileSync(join(s.dir, "out/a/b/two"), "utf8").length, 1000);
  await assert.rejects(writeDirectory(join(s.dir, "out"), members), (e) => isCode(e, "AlreadyExists"));
});

test("writeFileWhole: a body that fails leaves the file as it was", async () => {
  using s = scratch();
  const path = s.write("file", Buffer.from("before"));
  const failing = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from("half");
    throw new Error("broken");
  };
  await assert.rejects(writeFileWhole(path, failing()), /broken/);
  assert.equal(readFileSync(path, "utf8"), "before");
  assert.deepEqual(readdirSync(s.dir), ["file"]);
  await assert.rejects(writeFileWhole(join(s.dir, "no/x"), []), (e) => isCode(e, "NotFound"));
});

test("writeDirectory: a body that fails leaves nothing: no directory, or an empty one as before", async () => {
  using s = scratch();
  const failing = [
    { name: "a/one", size: 3, body: () => [Buffer.from("one")] },
    {
      name: "two",
      size: 3,
      body: (): never => {
        throw new Error("broken");
      },
    },
  ];
  await assert.rejects(writeDirectory(join(s.dir, "new/out"), failing), /broken/);
  assert.deepEqual(readdirSync(s.dir), []);
  mkdirSync(join(s.dir, "empty"));
  await assert.rejects(writeDirectory(join(s.dir, "empty"), failing), /broken/);
  assert.deepEqual(readdirSync(join(s.dir, "empty")), []);
});
