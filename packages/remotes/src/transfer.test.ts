import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { type Digest, INDEX_TYPES, OCI_MANIFEST } from "@berth/oci";
import type { PushedBlob, Registry } from "@berth/registry";
import type { Repository } from "./hosts.ts";
import type { Source } from "./source.ts";
import { planUploads, transfer } from "./transfer.ts";

const INDEX = INDEX_TYPES[0] ?? "";
const digestOf = (bytes: Uint8Array): Digest => `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;

/** Documents and blobs by digest, and a registry that writes down in which order it gets what. */
function scene() {
  const kept = new Map<string, Buffer>();
  const log: string[] = [];
  const keep = (value: unknown): { digest: Digest; size: number } => {
    const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
    kept.set(digestOf(bytes), bytes);
    return { digest: digestOf(bytes), size: bytes.length };
  };
  const source: Source = {
    fetchManifest: async (digest) => ({ bytes: kept.get(digest) ?? Buffer.alloc(0), contentType: "" }),
    fetchBlob: async function* (digest, offset) {
      yield (kept.get(digest) ?? Buffer.alloc(0)).subarray(offset);
    },
  };
  const registry: Pick<Registry, "pushBlob" | "pushManifest"> = {
    pushBlob: async (_path: string, blob: PushedBlob) => {
      const got = Buffer.concat(await Array.fromAsync(blob.open(0, blob.size)));
      assert.equal(digestOf(got), blob.digest);
      log.push(`blob ${blob.digest}`);
      return "uploaded";
    },
    pushManifest: async (_path, reference) => void log.push(`manifest ${reference}`),
  };
  const target: Repository = { registry: registry as Registry, domain: "r.io", path: "a" };
  const rootOf = (value: object & { mediaType: string }) => {
    const { digest } = keep(value);
    return { bytes: kept.get(digest) ?? Buffer.alloc(0), mediaType: value.mediaType, digest };
  };
  return { kept, log, keep, rootOf, options: { source, target } };
}

const manifestOf = (blobs: readonly object[]) => ({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: blobs });
const indexOf = (manifests: readonly object[]) => ({ schemaVersion: 2, mediaType: INDEX, manifests });

test("transfer: blobs before manifests, manifests before indexes, each once, tags last", async () => {
  const s = scene();
  const [shared, one, two] = ["shared", "one", "two"].map((text) => ({ mediaType: "x", ...s.keep(Buffer.from(text)) }));
  const children = [manifestOf([shared, one] as object[]), manifestOf([shared, two] as object[])].map((document) => ({
    mediaType: OCI_MANIFEST,
    ...s.keep(document),
  }));
  const root = s.rootOf(indexOf([...children, ...children]));
  await transfer(root, ["v1", "v2"], s.options);
  const at = (what: string): number => s.log.indexOf(what);
  for (const [i, child] of children.entries()) {
    const own = [one, two][i];
    assert.ok(at(`blob ${shared?.digest}`) < at(`manifest ${child.digest}`));
    assert.ok(at(`blob ${own?.digest}`) < at(`manifest ${child.digest}`));
  }
  assert.equal(s.log.length, new Set(s.log).size);
  assert.deepEqual(s.log.slice(-2), ["manifest v1", "manifest v2"]);
});

test("transfer: the biggest blobs go first, wherever the manifest names them", async () => {
  const s = scene();
  const blobs = [20, 70, 10, 90, 40, 80, 30, 60, 50].map((size) => ({ mediaType: "x", ...s.keep(Buffer.alloc(size)) }));
  await transfer(s.rootOf(manifestOf(blobs)), ["v1"], s.options);
  const sizes = s.log.slice(0, -1).map((line) => s.kept.get(line.slice("blob ".length))?.length);
  assert.deepEqual(sizes, [90, 80, 70, 60, 50, 40, 30, 20, 10]);
});

test("transfer: layers that must not be distributed are left out, others with URLs are not", async () => {
  const s = scene();
  const urls = ["https://store.example/layer"];
  const foreign = { mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar", urls };
  const free = { mediaType: "application/vnd.oci.image.layer.v1.tar", urls };
  const layers = [
    { ...foreign, ...s.keep(Buffer.from("foreign")) },
    { ...free, ...s.keep(Buffer.from("free")) },
  ];
  await transfer(s.rootOf(manifestOf(layers)), [], s.options);
  assert.deepEqual(
    s.log.map((line) => line.split(" ")[0]),
    ["blob", "manifest"],
  );
  assert.equal(s.log[0], `blob ${layers[1]?.digest}`);
});

test("transfer: wrong documents, short blobs and endless nesting are refused before the tag is written", async () => {
  const s = scene();
  const blob = { mediaType: "x", ...s.keep(Buffer.from("whole")) };
  const child = { mediaType: OCI_MANIFEST, ...s.keep(manifestOf([blob])) };
  const root = s.rootOf(indexOf([child]));
  s.kept.set(child.digest, Buffer.from("{}"));
  await assert.rejects(transfer(root, ["v1"], s.options), (e) => isCode(e, "DataLoss"));
  s.keep(manifestOf([blob]));
  s.kept.set(blob.digest, Buffer.from("wh"));
  await assert.rejects(transfer(root, ["v1"], s.options), (e) => isCode(e, "DataLoss") && /too early/.test(e.message));
  let nested = s.rootOf(manifestOf([]));
  for (let i = 0; i < 7; i++) {
    const { digest, bytes, mediaType } = nested;
    nested = s.rootOf(indexOf([{ mediaType, digest, size: bytes.length }]));
  }
  await assert.rejects(
    transfer(nested, ["v1"], s.options),
    (e) => isCode(e, "InvalidArgument") && /nested/.test(e.message),
  );
  assert.ok(!s.log.includes("manifest v1"));
});

test("transfer: children of nested indexes go side by side, a blob of several only once, uploads within their number", async () => {
  const s = scene();
  const shared = { mediaType: "x", ...s.keep(Buffer.from("shared")) };
  const entry = (value: object & { mediaType: string }) => ({ mediaType: value.mediaType, ...s.keep(value) });
  const imageOf = (i: number) =>
    entry(manifestOf([shared, ...[1, 2, 3].map((k) => ({ mediaType: "x", ...s.keep(Buffer.from(`${i} ${k}`)) }))]));
  const images = Array.from({ length: 60 }, (_, i) => imageOf(i));
  const inner = [0, 20, 40].map((start) => entry(indexOf(images.slice(start, start + 20))));
  const { registry } = s.options.target;
  const most = { blobs: 0, manifests: 0 };
  const now = { blobs: 0, manifests: 0 };
  const watch = <A extends unknown[], R>(kind: "blobs" | "manifests", call: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      most[kind] = Math.max(most[kind], ++now[kind]);
      await new Promise((resolve) => setImmediate(resolve));
      try {
        return await call(...args);
      } finally {
        now[kind]--;
      }
    };
  };
  const target = {
    ...s.options.target,
    registry: {
      ...registry,
      pushBlob: watch("blobs", registry.pushBlob),
      pushManifest: watch("manifests", registry.pushManifest),
    },
  };
  await transfer(s.rootOf(indexOf([...inner, ...images])), ["v1"], { ...s.options, target });
  assert.equal(s.log.length, new Set(s.log).size);
  assert.equal(s.log.length, 60 * 4 + 1 + 3 + 1);
  assert.ok(most.blobs <= 6 && most.blobs > 1, `${most.blobs} uploads at once`);
  assert.ok(most.manifests > 1, "one after the other");
  for (const index of inner) {
    const at = s.log.indexOf(`manifest ${index.digest}`);
    const { manifests } = JSON.parse(String(s.kept.get(index.digest))) as ReturnType<typeof indexOf>;
    for (const child of manifests as (typeof shared)[]) assert.ok(s.log.indexOf(`manifest ${child.digest}`) < at);
  }
});

test("transfer: the first failure ends the others, and an index that leads to too many documents is refused", async () => {
  const s = scene();
  const blobs = Array.from({ length: 100 }, (_, i) => ({ mediaType: "x", ...s.keep(Buffer.from(`blob ${i}`)) }));
  const images = blobs.map((blob) => ({ mediaType: OCI_MANIFEST, ...s.keep(manifestOf([blob])) }));
  s.kept.set(blobs[10]?.digest ?? "", Buffer.from("x"));
  await assert.rejects(transfer(s.rootOf(indexOf(images)), ["v1"], s.options), (e) => isCode(e, "DataLoss"));
  assert.ok(s.log.length < 60, `${s.log.length} were sent`);
  const before = s.log.length;
  const many = s.rootOf(indexOf(Array<object>(10_001).fill(images[0] ?? {})));
  await assert.rejects(transfer(many, ["v1"], s.options), (e) => isCode(e, "ResourceExhausted"));
  assert.equal(s.log.length, before);
});

test("planUploads: six at once; to a registry on loopback no more than there are processors", () => {
  assert.equal(planUploads("registry.example:5000", 2), 6);
  for (const domain of ["127.0.0.1:5000", "localhost", "[::1]:5000"]) {
    assert.equal(planUploads(domain, 2), 2);
    assert.equal(planUploads(domain, 16), 6);
  }
});
