import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isCode } from "@berth/base";
import type { Digest } from "@berth/oci";
import { openState } from "@berth/state";
import { digestOf, type IngestOptions, migrations, openContent } from "./index.ts";

const BYTES = Buffer.from("some bytes that are a blob".repeat(100));
const DIGEST = digestOf(BYTES);

function scratch() {
  const root = mkdtempSync(join(tmpdir(), "berth-content-"));
  const state = openState(join(root, "berth.db"), migrations);
  const files = (dir: string): string[] => (existsSync(join(root, dir)) ? readdirSync(join(root, dir)) : []);
  return {
    root,
    state,
    content: openContent({ state, root }),
    partials: () => files("ingest"),
    blobs: () => files("content/sha256"),
    [Symbol.dispose]() {
      state[Symbol.dispose]();
      rmSync(root, { recursive: true });
    },
  };
}

/** A source that serves `bytes` from the asked offset in small chunks and counts what it sent. */
function serve(bytes: Uint8Array, digest: Digest = DIGEST, size: number = BYTES.length) {
  const sent = { bytes: 0, calls: 0 };
  const options: IngestOptions = {
    digest,
    size,
    source: async (offset) => {
      sent.calls++;
      return {
        offset,
        body: (async function* () {
          for (let at = offset; at < bytes.length; at += 100) {
            const chunk = bytes.subarray(at, at + 100);
            sent.bytes += chunk.length;
            yield chunk;
          }
        })(),
      };
    },
  };
  return { options, sent };
}

test("ingest: verified bytes get their name and row, and a second ingest asks the source for nothing", async () => {
  using s = scratch();
  const { options, sent } = serve(BYTES);
  await s.content.ingest(options);
  await s.content.ingest(options);
  assert.equal(sent.calls, 1);
  assert.ok(s.content.has(DIGEST));
  assert.deepEqual(s.content.read(DIGEST), BYTES);
  assert.deepEqual(s.partials(), []);
  assert.deepEqual(s.content.list(), [{ digest: DIGEST, sizeBytes: BYTES.length }]);
});

test("ingest: truncated, over-long or changed bytes are DataLoss and leave neither file nor row", async () => {
  using s = scratch();
  const changed = Buffer.from(BYTES);
  changed[5] = 0;
  for (const bytes of [BYTES.subarray(0, 500), Buffer.concat([BYTES, BYTES]), changed]) {
    await assert.rejects(s.content.ingest(serve(bytes).options), (e) => isCode(e, "DataLoss"));
    assert.deepEqual([s.content.has(DIGEST), s.partials(), s.blobs()], [false, [], []]);
  }
});

test("ingest: an interrupted one is resumed where it stopped", async () => {
  using s = scratch();
  const { options, sent } = serve(BYTES);
  const broken: IngestOptions = {
    ...options,
    source: async (offset) => ({
      offset,
      body: (async function* () {
        yield BYTES.subarray(0, 1000);
        throw new Error("connection reset");
      })(),
    }),
  };
  await assert.rejects(s.content.ingest(broken), /connection reset/);
  assert.equal(s.partials().length, 1);
  await s.content.ingest(options);
  assert.equal(sent.bytes, BYTES.length - 1000);
});

test("ingest: a source that cannot resume starts over, and damaged partial bytes are found", async () => {
  using s = scratch();
  await s.content.ingest(serve(Buffer.from("x"), digestOf("x"), 1).options);
  const partial = join(s.root, "ingest", `${DIGEST.replace(":", "-")}.partial`);
  writeFileSync(partial, "wrong".repeat(20));
  await assert.rejects(s.content.ingest(serve(BYTES).options), (e) => isCode(e, "DataLoss"));
  writeFileSync(partial, "wrong".repeat(20));
  const { options } = serve(BYTES);
  await s.content.ingest({ ...options, source: () => options.source(0) });
  assert.deepEqual(s.content.read(DIGEST), BYTES);
});

test("ingest: two at once of the same blob fetch it once", async () => {
  using s = scratch();
  const { options, sent } = serve(BYTES);
  await Promise.all([s.content.ingest(options), s.content.ingest(options)]);
  assert.equal(sent.calls, 1);
});

test("ingest: a file without row, as a crash before the row leaves it, is verified and taken", async () => {
  using s = scratch();
  await s.content.ingest(serve(BYTES).options);
  s.state.db.exec("DELETE FROM blob");
  const { options, sent } = serve(BYTES);
  await s.content.ingest(options);
  assert.equal(sent.calls, 0);
  s.state.db.exec("DELETE FROM blob");
  writeFileSync(s.content.path(DIGEST), "x".repeat(BYTES.length));
  await assert.rejects(s.content.ingest(options), (e) => isCode(e, "DataLoss"));
  assert.deepEqual([s.partials(), s.blobs()], [[], []]);
});

test("read: a missing or changed file is DataLoss, and ingest repairs a missing one", async () => {
  using s = scratch();
  await s.content.ingest(serve(BYTES).options);
  writeFileSync(s.content.path(DIGEST), "x".repeat(BYTES.length));
  assert.throws(
    () => s.content.read(DIGEST),
    (e) => isCode(e, "DataLoss"),
  );
  unlinkSync(s.content.path(DIGEST));
  assert.throws(
    () => s.content.read(DIGEST),
    (e) => isCode(e, "DataLoss"),
  );
  assert.equal(s.content.has(DIGEST), false);
  await s.content.ingest(serve(BYTES).options);
  assert.deepEqual(s.content.read(DIGEST), BYTES);
});

test("put: stores bytes under their digest; twice is fine", () => {
  using s = scratch();
  assert.equal(s.content.put(BYTES), DIGEST);
  assert.equal(s.content.put(BYTES), DIGEST);
  assert.deepEqual(readFileSync(s.content.path(DIGEST)), BYTES);
});

test("forget and sweep: a held blob stays, a free one loses row and file", () => {
  using s = scratch();
  s.content.put(BYTES);
  {
    using _hold = s.state.hold([DIGEST]);
    assert.deepEqual(s.content.forget([DIGEST]), []);
  }
  assert.deepEqual(s.content.forget([DIGEST]), [DIGEST]);
  assert.deepEqual(s.blobs().length, 1);
  s.content.sweep([DIGEST]);
  assert.deepEqual(s.blobs(), []);
});

test("recover: files without row and old partial files go, young ones stay to be resumed", () => {
  using s = scratch();
  s.content.put(BYTES);
  const stray = join(s.root, "content/sha256", "b".repeat(64));
  const [young, old] = ["c", "d"].map((c) => join(s.root, "ingest", `${c.repeat(64)}.partial`)) as [string, string];
  for (const path of [stray, young, old]) writeFileSync(path, "x");
  utimesSync(old, 1, 1);
  s.content.recover();
  assert.deepEqual([existsSync(stray), existsSync(young), existsSync(old)], [false, true, false]);
  s.content.recover({ maxAgeMs: -1000 });
  assert.ok(!existsSync(young) && s.content.has(DIGEST));
});

test("ingest: a process killed while it writes leaves a partial file that the next one completes", async () => {
  using s = scratch();
  const code = `
    import { openState } from "@berth/state";
    import { openContent, migrations } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    const state = openState(${JSON.stringify(join(s.root, "berth.db"))}, migrations);
    const content = openContent({ state, root: ${JSON.stringify(s.root)} });
    const bytes = Buffer.from("some bytes that are a blob".repeat(100));
    await content.ingest({ digest: ${JSON.stringify(DIGEST)}, size: bytes.length, source: async (offset) => ({ offset, body: (async function* () {
      yield bytes.subarray(0, 1500); console.log("half"); await new Promise((r) => setTimeout(r, 60000)); })() }) });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: import.meta.dirname,
  });
  await once(child.stdout, "data");
  s.content.recover({ maxAgeMs: -1000 });
  assert.equal(s.partials().length, 1, "a living process's partial file stays");
  child.kill("SIGKILL");
  await once(child, "exit");
  const { options: whole, sent } = serve(BYTES);
  await s.content.ingest(whole);
  assert.equal(sent.bytes, BYTES.length - 1500);
});

test("upload: pieces become a blob by the digest that is told last, of either algorithm", async () => {
  using s = scratch();
  const pieces = async function* (from: number, to: number) {
    for (let at = from; at < to; at += 100) yield BYTES.subarray(at, Math.min(at + 100, to));
  };
  for (const [id, digest] of [["one", DIGEST] as const, ["two", digestOf(BYTES, "sha512")] as const]) {
    const upload = s.content.beginUpload(id);
    await upload.append(pieces(0, 1000));
    assert.equal(upload.length, 1000);
    await upload.append(pieces(1000, BYTES.length));
    let recorded = false;
    await upload.commit(digest, () => {
      recorded = s.content.has(digest);
    });
    assert.ok(recorded, "the row and what is recorded with it appear in one transaction");
    assert.deepEqual(s.content.read(digest), BYTES);
    assert.equal(s.content.findUpload(id), undefined);
  }
  assert.deepEqual(s.partials(), []);
});

test("upload: wrong bytes leave nothing, and what a dead process left is found and hashed again", async () => {
  using s = scratch();
  const wrong = s.content.beginUpload("wrong");
  await wrong.append([Buffer.from("x")] as never);
  await assert.rejects(wrong.commit(DIGEST), (e) => isCode(e, "DataLoss"));
  assert.deepEqual([s.partials(), s.content.has(DIGEST)], [[], false]);
  const first = s.content.beginUpload("resumed");
  await first.append([BYTES.subarray(0, 1234)] as never);
  s.content.recover({ maxAgeMs: 0 });
  assert.equal(s.partials().length, 1, "what a living process writes to stays");
  await first.close();
  const second = s.content.findUpload("resumed");
  assert.equal(second?.length, 1234);
  await second?.append([BYTES.subarray(1234)] as never);
  await second?.commit(DIGEST);
  assert.deepEqual(s.content.read(DIGEST), BYTES);
  await s.content.beginUpload("left").close();
  s.content.recover({ maxAgeMs: -1 });
  assert.deepEqual(s.partials(), []);
});

test("upload: bytes that arrived before the source broke stay", async () => {
  using s = scratch();
  const upload = s.content.beginUpload("broken");
  const broken = async function* () {
    yield BYTES.subarray(0, 500);
    throw new Error("connection reset");
  };
  await assert.rejects(upload.append(broken()), /connection reset/);
  assert.equal(upload.length, 500);
  await upload.append([BYTES.subarray(500)] as never);
  await upload.commit(DIGEST);
});

test("verify: says whether a blob is missing, has another size, or other bytes", async () => {
  using s = scratch();
  const digest = s.content.put(BYTES);
  assert.equal(await s.content.verify(digest), undefined);
  const path = s.content.path(digest);
  writeFileSync(path, Buffer.from(BYTES.map((byte, i) => (i === 7 ? byte ^ 1 : byte))));
  assert.match((await s.content.verify(digest)) ?? "", /has digest sha256:[0-9a-f]{64}$/);
  writeFileSync(path, "short");
  assert.match((await s.content.verify(digest)) ?? "", new RegExp(`has 5 bytes, not ${BYTES.length}$`));
  unlinkSync(path);
  assert.match((await s.content.verify(digest)) ?? "", /is missing$/);
  s.content.discard(digest);
  assert.equal(await s.content.verify(digest), undefined);
});
