/** Berth's client and Berth's server, with what may go wrong between them. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { isCode } from "@berth/base";
import type { Digest } from "@berth/oci";
import { openRegistry, type PushedBlob, type Registry, referrersTag } from "@berth/registry";
import { digestOf, OCI_INDEX, OCI_MANIFEST, pushImage, type Served, serve } from "./testing.ts";

let served: Served;
let client: Registry;
before(async () => {
  served = await serve();
  client = openRegistry({ domain: new URL(served.server.url).host, certsDirs: [] });
});
after(async () => {
  client[Symbol.dispose]();
  await served[Symbol.asyncDispose]();
});

function blobOf(
  bytes: Buffer,
  more: Partial<PushedBlob> = {},
  algorithm = "sha256",
): PushedBlob & { opened: number[] } {
  const opened: number[] = [];
  return {
    digest: digestOf(bytes, algorithm) as Digest,
    size: bytes.length,
    opened,
    open: async function* (start, end) {
      opened.push(start);
      for (let at = start; at < end; at += 65_536) yield bytes.subarray(at, Math.min(at + 65_536, end));
    },
    ...more,
  };
}

const stored = async (name: string, bytes: Buffer, algorithm = "sha256"): Promise<void> =>
  assert.deepEqual((await served.ask("GET", `/v2/${name}/blobs/${digestOf(bytes, algorithm)}`)).body, bytes);

/** A way to the server that breaks the n-th connection after so many bytes to it. */
async function breaking(
  limits: readonly number[],
): Promise<AsyncDisposable & { readonly host: string; broken: number }> {
  const { hostname, port } = new URL(served.server.url);
  const rest = [...limits];
  const sockets = new Set<Socket>();
  const way = { host: "", broken: 0, [Symbol.asyncDispose]: async () => {} };
  const server = createServer((socket) => {
    const up = connect(Number(port), hostname);
    for (const one of [socket, up]) {
      sockets.add(one);
      one.on("error", () => {});
    }
    let passed = 0;
    socket.on("data", (chunk) => {
      up.write(chunk);
      passed += chunk.length;
      if (passed < (rest[0] ?? Number.POSITIVE_INFINITY)) return;
      rest.shift();
      way.broken++;
      socket.resetAndDestroy();
      up.end(); // what it has got so far arrives
    });
    up.on("data", (chunk) => socket.write(chunk));
    up.on("close", () => socket.destroy());
    socket.on("close", () => up.end());
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  way.host = `127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  way[Symbol.asyncDispose] = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => server.close(done));
  };
  return way;
}

test("pushBlob: sent once, whole or in chunks, then known; of either algorithm, also the empty one", async () => {
  for (const algorithm of ["sha256", "sha512"]) {
    for (const [size, chunkBytes] of [
      [500_000, undefined],
      [500_000, 200_000],
      [0, undefined],
      [0, 1000],
      [1, 1000],
    ] as const) {
      const bytes = randomBytes(size);
      const name = `whole/${algorithm}/${chunkBytes ?? 0}`;
      const progress: number[] = [];
      const blob = blobOf(bytes, { chunkBytes, onProgress: (done) => progress.push(done) }, algorithm);
      // The second empty one is taken from where the first one went.
      const isKnown = size === 0 && chunkBytes !== undefined;
      assert.equal(await client.pushBlob(name, blob), isKnown ? "mounted" : "uploaded");
      await stored(name, bytes, algorithm);
      if (size > 0) assert.equal(progress.at(-1), size);
      assert.deepEqual(
        blob.opened,
        chunkBytes === 200_000 ? [0, 200_000, 400_000] : size === 0 && chunkBytes ? [] : [0],
      );
      assert.equal(await client.pushBlob(name, blob), "exists");
    }
  }
});

test("pushBlob: taken over from another repository, and sent when that has not got it", async () => {
  const bytes = randomBytes(10_000);
  await client.pushBlob("from/here", blobOf(bytes));
  const blob = blobOf(bytes, { mountFrom: "from/here" });
  assert.equal(await client.pushBlob("to/there", blob), "mounted");
  assert.deepEqual(blob.opened, []);
  assert.equal(await client.pushBlob("found/by/itself", blobOf(bytes)), "mounted");
  await stored("found/by/itself", bytes);
  const other = randomBytes(10_000);
  assert.equal(await client.pushBlob("to/there", blobOf(other, { mountFrom: "from/here" })), "uploaded");
  await stored("to/there", other);
});

test("pushBlob: a connection that breaks again and again is gone on with, not begun anew", async () => {
  for (const chunkBytes of [undefined, 300_000]) {
    await using way = await breaking([400_000, 400_000, 300_000, 300_000]);
    using broken = openRegistry({ domain: way.host, certsDirs: [] });
    const bytes = randomBytes(2_000_000);
    const blob = blobOf(bytes, { chunkBytes });
    const name = `broken/${chunkBytes ?? "whole"}`;
    assert.equal(await broken.pushBlob(name, blob), "uploaded");
    await stored(name, bytes);
    assert.equal(way.broken, 4);
    const sent = blob.opened.filter((start) => start === 0).length;
    assert.equal(sent, 1, `begun at ${blob.opened}`);
  }
});

test("pushBlob: bytes that are not the digest's are DataLoss, and nothing stays", async () => {
  const bytes = randomBytes(1000);
  const wrong = { ...blobOf(bytes), digest: digestOf("other") as Digest };
  for (const chunkBytes of [undefined, 400]) {
    await assert.rejects(client.pushBlob("wrong", { ...wrong, chunkBytes }), (e) => isCode(e, "DataLoss"));
  }
  assert.equal((await served.ask("HEAD", `/v2/wrong/blobs/${wrong.digest}`)).status, 404);
});

test("pushBlob: an interrupt ends it at once as Cancelled, and takes back what was sent", async () => {
  const uploads = () => readdirSync(join(served.root, "data/ingest")).filter((name) => name.startsWith("upload-"));
  const before = uploads();
  const stop = new AbortController();
  const blob = blobOf(Buffer.alloc(100), {
    size: 1e9,
    signal: stop.signal,
    open: async function* () {
      for (;;) {
        yield Buffer.alloc(65_536);
        stop.abort();
      }
    },
  });
  await assert.rejects(client.pushBlob("stopped", blob), (e) => isCode(e, "Cancelled"));
  assert.deepEqual(uploads(), before);
});

test("pushManifest, fetchManifest, remove: by tag and by digest", async () => {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }));
  for (const digest of [digestOf(bytes), digestOf(bytes, "sha512")]) {
    await client.pushManifest("app", digest, { bytes, mediaType: OCI_INDEX });
    assert.equal((await client.fetchManifest("app", digest)).digest, digest);
  }
  await client.pushManifest("app", "v1", { bytes, mediaType: OCI_INDEX });
  assert.deepEqual((await client.fetchManifest("app", "v1")).bytes, bytes);
  await client.remove("app", "v1");
  await assert.rejects(client.remove("app", "v1"), (e) => isCode(e, "NotFound"));
  await client.remove("app", digestOf(bytes));
  await assert.rejects(client.fetchManifest("app", digestOf(bytes)), (e) => isCode(e, "NotFound"));
  const nonsense = { bytes: Buffer.from("{}x"), mediaType: OCI_INDEX };
  await assert.rejects(client.pushManifest("app", "v2", nonsense), (e) => isCode(e, "Unavailable"));
});

test("listTags: all of them, page by page", async () => {
  const tags = Array.from({ length: 25 }, (_, i) => `v${String(i).padStart(2, "0")}`);
  for (const tag of tags) await pushImage(served, "tags", tag);
  for (const pageSize of [undefined, 1, 10, 25]) {
    assert.deepEqual(await Array.fromAsync(client.listTags("tags", { pageSize })), tags, `pages of ${pageSize}`);
  }
  await assert.rejects(Array.fromAsync(client.listTags("no/such")), (e) => isCode(e, "NotFound"));
});

test("listReferrers: by the registry's list, filtered", async () => {
  const image = await pushImage(served, "ref", "v1");
  const subject = { mediaType: OCI_MANIFEST, digest: digestOf(image) as Digest, size: image.length };
  const push = async (artifactType: string): Promise<void> => {
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        artifactType,
        subject,
        layers: [],
        annotations: { a: "b" },
      }),
    );
    await client.pushManifest("ref", digestOf(bytes), { bytes, mediaType: OCI_MANIFEST });
  };
  await push("text/sbom");
  await push("text/signature");
  const all = await client.listReferrers("ref", subject.digest);
  assert.deepEqual(new Set(all.map((one) => one.artifactType)), new Set(["text/sbom", "text/signature"]));
  assert.deepEqual(all[0]?.annotations, { a: "b" });
  const sboms = await client.listReferrers("ref", subject.digest, { artifactType: "text/sbom" });
  assert.deepEqual(
    sboms.map((one) => one.artifactType),
    ["text/sbom"],
  );
  assert.deepEqual(await client.listReferrers("ref", digestOf("none") as Digest), []);
  await assert.rejects(client.fetchManifest("ref", referrersTag(subject.digest)), (e) => isCode(e, "NotFound"));
});
