import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isCode } from "@berth/base";
import * as content from "@berth/content";
import { digestOf } from "@berth/content";
import type { Digest } from "@berth/oci";
import * as snapshots from "@berth/snapshots";
import { openState } from "@berth/state";
import { createImages, migrations } from "./index.ts";
import { planChainIds } from "./plan.ts";
import * as store from "./store.ts";

const REPO = "docker.io/library/app";

function scratch(used: () => ReadonlySet<Digest> = () => new Set()) {
  const root = mkdtempSync(join(tmpdir(), "berth-images-"));
  const state = openState(join(root, "berth.db"), [...content.migrations, ...snapshots.migrations, ...migrations]);
  const blobs = content.openContent({ state, root });
  const layers = snapshots.openSnapshots({
    state,
    root,
    keelPath: "/none",
    choose: async () => ({ driver: "overlayfs", reason: "", idmap: "", options: [] }),
  });
  const images = createImages({ state, content: blobs, snapshots: layers, keelPath: "/nonexistent", inUse: used });
  return {
    state,
    blobs,
    layers,
    images,
    [Symbol.dispose]() {
      state[Symbol.dispose]();
      rmSync(root, { recursive: true });
    },
  };
}

type Store = ReturnType<typeof scratch>;

/** Writes an image with these layers (each one text) as a finished pull does. */
async function addImage(s: Store, names: readonly string[], layerTexts: readonly string[]): Promise<Digest> {
  const diffIds = layerTexts.map((text) => s.blobs.put(Buffer.from(text)));
  const chain = planChainIds(diffIds);
  for (const [i, chainId] of chain.entries()) {
    await s.layers.commitLayer({ chainId, parent: chain[i - 1], apply: async () => {} });
  }
  const config = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: diffIds } } as const;
  const id = s.blobs.put(Buffer.from(JSON.stringify(config)));
  const manifest = s.blobs.put(Buffer.from(`manifest of ${id}`));
  s.state.transaction(() => {
    store.addImage(s.state.db, {
      id,
      manifest: { mediaType: "m", digest: manifest, size: 1 },
      chainId: chain.at(-1) as Digest,
      sizeBytes: 10,
      createdAtMs: 0,
      config,
      layers: diffIds.map((digest, i) => ({ mediaType: "l", digest, size: 1, chainId: chain[i] as Digest })),
      blobs: [...diffIds, id, manifest],
    });
    for (const name of names) store.writeName(s.state.db, name, id, manifest);
    store.writeRepoDigest(s.state.db, REPO, manifest, id);
  });
  return id;
}

test("find: by name, by short name, by digest, by id and by unique prefix", async () => {
  using s = scratch();
  const id = await addImage(s, [`${REPO}:1`, `${REPO}:latest`], ["a"]);
  const image = s.images.get(id);
  const prefix = id.slice("sha256:".length, "sha256:".length + 12);
  for (const ref of [
    "app",
    "app:1",
    `${REPO}:1`,
    image.repoDigests[0] ?? "",
    id.slice(7),
    prefix,
    `sha256:${prefix}`,
  ]) {
    assert.equal(s.images.find(ref)?.id, id, ref);
  }
  assert.deepEqual(image.names, [`${REPO}:1`, `${REPO}:latest`]);
  assert.equal(image.chainId, digestOf("a"));
  for (const ref of ["app:2", "other", "ffff", digestOf("x")]) assert.equal(s.images.find(ref), undefined, ref);
  assert.throws(
    () => s.images.get("other"),
    (e) => isCode(e, "NotFound") && e.message.includes("no such image"),
  );
  assert.throws(
    () => s.images.find("Bad Name"),
    (e) => isCode(e, "InvalidArgument"),
  );
});

test("remove: untags first, and with the last name goes all that nothing else needs", async () => {
  using s = scratch();
  const one = await addImage(s, [`${REPO}:1`, "r.io/x:2"], ["base", "one"]);
  const two = await addImage(s, ["r.io/two:1"], ["base", "two"]);
  assert.deepEqual(await s.images.remove("app:1"), {
    untagged: [`${REPO}:1`, `${REPO}@${digestOf(`manifest of ${one}`)}`],
    deleted: [],
  });
  const gone = await s.images.remove("r.io/x:2");
  assert.deepEqual(gone.untagged, ["r.io/x:2"]);
  assert.deepEqual(gone.deleted, [one, digestOf(`${digestOf("base")} ${digestOf("one")}`)]);
  assert.ok(s.blobs.has(digestOf("base")) && !s.blobs.has(digestOf("one")) && s.layers.has(digestOf("base")));
  assert.equal(s.images.list()[0]?.id, two);
  await s.images.remove(two);
  assert.deepEqual([s.images.list(), s.blobs.list(), s.layers.listLayers()], [[], [], []]);
});

test("remove: an image that a container uses, or an id with several names, only by force", async () => {
  const used = new Set<Digest>();
  using s = scratch(() => used);
  const id = await addImage(s, ["r.io/a:1", "r.io/b:1"], ["x"]);
  await assert.rejects(s.images.remove(id), (e) => isCode(e, "FailedPrecondition") && /several names/.test(e.message));
  used.add(id);
  await s.images.remove("r.io/a:1");
  await assert.rejects(
    s.images.remove(id),
    (e) => isCode(e, "FailedPrecondition") && /container uses it/.test(e.message),
  );
  assert.deepEqual(s.images.get("r.io/b:1").names, ["r.io/b:1"]);
  await s.layers.prepare("box", digestOf("x"));
  await s.images.remove(id, { force: true });
  assert.ok(s.layers.has(digestOf("x")), "the container's layer stays while it is used");
  await assert.rejects(s.images.remove("r.io/a:1"), (e) => isCode(e, "NotFound"));
});

test("remove: what a running pull holds stays", async () => {
  using s = scratch();
  const id = await addImage(s, ["r.io/a:1"], ["x"]);
  using _hold = s.state.hold([digestOf("x")]);
  await s.images.remove(id);
  assert.ok(s.blobs.has(digestOf("x")) && s.layers.has(digestOf("x")) && !s.blobs.has(id));
});

test("find: loads no network, archive or process code", async () => {
  using s = scratch();
  await addImage(s, ["r.io/a:1"], ["x"]);
  s.images.get("r.io/a:1");
  const { spawnSync } = await import("node:child_process");
  const code = `
    await import(${JSON.stringify(import.meta.resolve("./index.ts"))});
    console.log(process.moduleLoadList.filter((m) => /NativeModule (http|https|tls|child_process|zlib|internal\\/child_process)$/.test(m)).join());`;
  const ran = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
  assert.equal(ran.stdout, "\n", ran.stderr);
});

test("load: without keel it is FailedPrecondition with a remedy, and no layer stays", async () => {
  using s = scratch();
  const dir = mkdtempSync(join(tmpdir(), "berth-layout-"));
  try {
    mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
    const put = (mediaType: string, value: unknown) => {
      const bytes = Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
      writeFileSync(join(dir, "blobs/sha256", digestOf(bytes).slice(7)), bytes);
      return { mediaType, digest: digestOf(bytes), size: bytes.length };
    };
    const layer = put("application/vnd.oci.image.layer.v1.tar", "a tar");
    const rootfs = { type: "layers", diff_ids: [layer.digest] };
    const config = put("application/vnd.oci.image.config.v1+json", { os: "linux", architecture: "amd64", rootfs });
    const manifest = put("application/vnd.oci.image.manifest.v1+json", { schemaVersion: 2, config, layers: [layer] });
    writeFileSync(join(dir, "oci-layout"), "{}");
    writeFileSync(join(dir, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
    await assert.rejects(s.images.load(dir), (e) => isCode(e, "FailedPrecondition") && /build/.test(e.hint ?? ""));
    assert.deepEqual([s.images.list(), s.layers.listLayers()], [[], []]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
