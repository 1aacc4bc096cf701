import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { isCode } from "@berth/base";
import type { PullProgress } from "../src/index.ts";
import {
  ARCHITECTURE,
  INDEX,
  Layout,
  listing,
  MANIFEST,
  makeTrees,
  Registry,
  readJson,
  scratch,
  stored,
  whyNot,
} from "./fixture.ts";
import { openStore, type Store } from "./store.ts";

const skip = whyNot("docker-registry", "skopeo", "tar");
const shared = scratch();
const layout = new Layout(join(shared.dir, "layout"));
let trees: readonly string[] = [];
let registry: Registry;
let image = "";

before(async () => {
  if (skip) return;
  trees = makeTrees(shared.dir);
  layout.addImage("app", trees);
  registry = await Registry.start(shared.dir);
  image = registry.fill(layout, "app", "test/app:1");
});

after(async () => {
  if (!skip) await registry[Symbol.asyncDispose]();
  shared[Symbol.dispose]();
});

const t = (name: string, body: () => Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

/** Calls `look` with the image's file system mounted, read-only for the test's purposes. */
async function mounted(store: Store, root: string, ref: string, look: (dir: string) => void): Promise<void> {
  await store.snapshots.prepare("look", store.images.get(ref).chainId);
  const { type, source, options } = store.snapshots.mount("look");
  const dir = join(root, "mnt");
  mkdirSync(dir, { recursive: true });
  execFileSync("mount", ["-t", type, "-o", options.join(","), source, dir]);
  try {
    look(dir);
  } finally {
    execFileSync("umount", [dir]);
  }
}

/** Nothing of an image: no rows, blobs, layers, partial files. */
function assertEmpty(store: Store, root: string): void {
  assert.deepEqual([store.images.list(), store.content.list(), store.snapshots.listLayers()], [[], [], []]);
  for (const dir of ["content/sha256", "ingest", "snapshots"]) assert.deepEqual(stored(root, dir), [], dir);
}

t("pull: gzip, zstd and plain layers become the file system that was pushed", async () => {
  using s = scratch();
  using store = openStore(s.dir);
  const events: PullProgress[] = [];
  const got = await store.images.pull(image, { onProgress: (event) => void events.push(event) });
  assert.deepEqual([got.names, got.layers.length, got.config.os], [[image], 3, "linux"]);
  const kinds = events.map((event) => event.kind);
  assert.deepEqual([kinds[0], kinds.filter((k) => k === "unpack").length, kinds.at(-1)], ["resolved", 3, "done"]);
  await mounted(store, s.dir, image, (dir) => {
    assert.deepEqual(readdirSync(join(dir, "etc")).sort(), ["hard", "one", "soft", "sub"]);
    assert.deepEqual(readdirSync(join(dir, "etc/sub")), ["new"]);
    assert.deepEqual(listing(join(dir, "many")), listing(join(trees[1] ?? "", "many")));
    const expected = listing(trees[0] ?? "").filter((line) => /^(null|setuid|etc\/(one|hard|soft)) /.test(line));
    assert.deepEqual(
      listing(dir).filter((line) => /^(null|setuid|etc\/(one|hard|soft)) /.test(line)),
      expected,
    );
    assert.deepEqual(readFileSync(join(dir, "big")), readFileSync(join(trees[1] ?? "", "big")));
  });
  await store.snapshots.remove("look");
  events.length = 0;
  await store.images.pull(image, { onProgress: (event) => void events.push(event) });
  assert.deepEqual(
    events.map((event) => event.kind),
    ["resolved", "exists", "exists", "exists"],
  );
  await store.images.remove(image);
  assertEmpty(store, s.dir);
});

t("pull: the wanted platform of an index, by tag and by digest; an unknown one is NotFound", async () => {
  using s = scratch();
  using store = openStore(s.dir);
  const other = ARCHITECTURE === "arm64" ? "amd64" : "arm64";
  const entry = (architecture: string) => ({
    mediaType: MANIFEST,
    ...layout.addImage(`only-${architecture}`, [trees[0] ?? ""], (config) => {
      config.architecture = architecture;
    }),
    platform: { os: "linux", architecture },
  });
  const index = layout.putJson({ schemaVersion: 2, mediaType: INDEX, manifests: [entry(other), entry(ARCHITECTURE)] });
  layout.name("multi", { mediaType: INDEX, ...index });
  const ref = registry.fill(layout, "multi", "test/multi:1");
  assert.equal((await store.images.pull(ref)).config.architecture, ARCHITECTURE);
  const digest = `${registry.host}/test/multi@${index.digest}`;
  const foreign = await store.images.pull(digest, { platform: `linux/${other}` });
  assert.deepEqual([foreign.config.architecture, foreign.names, foreign.repoDigests], [other, [], [digest]]);
  await assert.rejects(
    store.images.pull(ref, { platform: "linux/s390x" }),
    (e) => isCode(e, "NotFound") && /amd64/.test(e.hint ?? ""),
  );
});

t(
  "pull: changed and truncated blobs are DataLoss, leave nothing, and a mended registry serves the next pull",
  async () => {
    using s = scratch();
    using store = openStore(s.dir);
    const manifest = readJson(layout.path(layout.addImage("app2", [trees[2] ?? ""]).digest)) as {
      layers: { digest: string }[];
    };
    const ref = registry.fill(layout, "app2", "test/app2:1");
    const file = registry.blobFile(manifest.layers[0]?.digest ?? "");
    const good = readFileSync(file);
    const bad = Buffer.from(good);
    bad[1000] = (bad[1000] ?? 0) ^ 1;
    writeFileSync(file, bad);
    await assert.rejects(store.images.pull(ref), (e) => isCode(e, "DataLoss"));
    truncateSync(file, good.length - 500);
    await assert.rejects(store.images.pull(ref), (e) => isCode(e, "DataLoss") || isCode(e, "Unavailable"));
    assert.deepEqual([store.images.list(), store.snapshots.listLayers()], [[], []]);
    writeFileSync(file, good);
    await store.images.pull(ref);
    await store.images.remove(ref);
    assertEmpty(store, s.dir);
  },
);

t("pull: a layer whose content is not the configuration's diff id is never committed", async () => {
  using s = scratch();
  using store = openStore(s.dir);
  layout.addImage("liar", [trees[0] ?? ""], (config) => {
    config.rootfs.diff_ids[0] = `sha256:${"0".repeat(64)}`;
  });
  const ref = registry.fill(layout, "liar", "test/liar:1");
  await assert.rejects(store.images.pull(ref), (e) => isCode(e, "DataLoss") && /diff id/.test(e.message));
  assert.deepEqual([store.images.list(), store.snapshots.listLayers(), stored(s.dir, "snapshots")], [[], [], []]);
});

t("pull: unknown names and artifacts are refused and change nothing", async () => {
  using s = scratch();
  using store = openStore(s.dir);
  await assert.rejects(store.images.pull(`${registry.host}/no/such:1`), (e) => isCode(e, "NotFound"));
  const empty = layout.put(Buffer.from("{}"));
  const artifact = layout.putJson({
    schemaVersion: 2,
    mediaType: MANIFEST,
    artifactType: "application/x-thing",
    config: { mediaType: "application/vnd.oci.empty.v1+json", ...empty },
    layers: [{ mediaType: "application/x-thing", ...empty }],
  });
  layout.name("artifact", { mediaType: MANIFEST, ...artifact });
  const ref = registry.fill(layout, "artifact", "test/artifact:1");
  await assert.rejects(
    store.images.pull(ref),
    (e) => isCode(e, "FailedPrecondition") && /application\/x-thing/.test(e.message),
  );
  assert.deepEqual(store.images.list(), []);
});

t("pull: an interrupt ends it as Cancelled, and the next one goes on", async () => {
  using s = scratch();
  using store = openStore(s.dir);
  const stop = new AbortController();
  const onProgress = (event: PullProgress): void => {
    if (event.kind === "unpack") stop.abort();
  };
  await assert.rejects(store.images.pull(image, { signal: stop.signal, onProgress }), (e) => isCode(e, "Cancelled"));
  assert.deepEqual(store.images.list(), []);
  await store.images.pull(image);
});

t("pull: a full disk is ResourceExhausted naming the path, and with more space the same store works", async () => {
  using s = scratch();
  const root = join(s.dir, "small");
  mkdirSync(root);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=13m", "tmpfs", root]);
  try {
    using store = openStore(root);
    await assert.rejects(
      store.images.pull(image),
      (e) => isCode(e, "ResourceExhausted") && (e.message.includes(root) || /unpack/.test(e.message)),
    );
    assert.deepEqual(store.images.list(), []);
    execFileSync("mount", ["-o", "remount,size=100m", root]);
    await store.images.pull(image);
    await store.images.remove(image);
    assertEmpty(store, root);
  } finally {
    execFileSync("umount", ["-l", root]);
  }
});

t("load: layout directory, tar, gzip, zstd and docker archive give the image that was pushed", async () => {
  using s = scratch();
  const whole = new Layout(join(s.dir, "whole"));
  whole.addImage("r.io/app:1", trees, undefined, ["+gzip"]);
  const file = (name: string): string => join(s.dir, name);
  execFileSync("tar", ["-C", whole.dir, "-cf", file("l.tar"), "."]);
  writeFileSync(file("l.tar.gz"), gzipSync(readFileSync(file("l.tar"))));
  writeFileSync(file("l.tar.zst"), zstdCompressSync(readFileSync(file("l.tar"))));
  const copy = ["copy", "--insecure-policy", "--quiet", `oci:${whole.dir}:r.io/app:1`];
  execFileSync("skopeo", [...copy, `docker-archive:${file("docker.tar")}:r.io/app:1`]);
  for (const name of ["whole", "l.tar", "l.tar.gz", "l.tar.zst", "docker.tar"]) {
    const root = file(`data-${name}`);
    using store = openStore(root);
    const [got] = await store.images.load(file(name));
    assert.deepEqual(got?.names, ["r.io/app:1"], name);
    await mounted(store, root, "r.io/app:1", (dir) =>
      assert.deepEqual(readdirSync(join(dir, "etc")).sort(), ["hard", "one", "soft", "sub"], name),
    );
    await store.snapshots.remove("look");
    await store.images.remove("r.io/app:1");
    assertEmpty(store, root);
  }
});

t("load: an archive with a damaged blob is refused and leaves nothing to run", async () => {
  using s = scratch();
  const broken = new Layout(join(s.dir, "broken"));
  const manifest = broken.addImage("app", [trees[0] ?? ""]);
  const { layers } = readJson(broken.path(manifest.digest)) as { layers: { digest: string }[] };
  const path = broken.path(layers[0]?.digest ?? "");
  writeFileSync(path, Buffer.alloc(readFileSync(path).length, 1));
  using store = openStore(join(s.dir, "data"));
  await assert.rejects(store.images.load(broken.dir), (e) => isCode(e, "DataLoss"));
  writeFileSync(path, "");
  await assert.rejects(store.images.load(broken.dir), (e) => isCode(e, "DataLoss"));
  writeFileSync(broken.path(manifest.digest), "{}");
  await assert.rejects(store.images.load(broken.dir), (e) => isCode(e, "DataLoss"));
  assert.deepEqual([store.images.list(), store.snapshots.listLayers()], [[], []]);
});
