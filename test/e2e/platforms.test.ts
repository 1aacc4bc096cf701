import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { blobPath, busyboxLayout, derive } from "./fixtures.ts";
import { ok, probe, type Ran, Store, tool } from "./harness.ts";
import { Registry } from "./registry.ts";
import { Served } from "./served.ts";

const skip = probe("docker-registry", "skopeo", "umoci");
const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const OWN = process.arch === "x64" ? "amd64" : process.arch;
const OTHER = OWN === "arm64" ? "amd64" : "arm64";
const dir = mkdtempSync(join(tmpdir(), "berth-platforms-"));
let layout = "";
let registry: Registry;
let image = "";
/** Digests of the index, of each platform's manifest, and of all that the index leads to. */
let root = "";
const manifests: Record<string, string> = {};

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

function putInto(to: string, value: unknown, mediaType: string): Descriptor {
  const bytes = Buffer.from(JSON.stringify(value));
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  writeFileSync(blobPath(to, digest), bytes);
  return { mediaType, digest, size: bytes.length };
}

const put = (value: unknown, mediaType: string): Descriptor => putInto(layout, value, mediaType);

// biome-ignore lint/suspicious/noExplicitAny: fixtures take image documents apart
const json = (path: string): any => JSON.parse(readFileSync(path, "utf8"));

const tagged = (tag: string): Descriptor =>
  json(join(layout, "index.json")).manifests.find(
    (m: { annotations?: Record<string, string> }) => m.annotations?.["org.opencontainers.image.ref.name"] === tag,
  );

/** The image of `tag` again, as one of another architecture. */
function asArchitecture(tag: string, architecture: string): Descriptor {
  const manifest = json(blobPath(layout, tagged(tag).digest));
  const config = put({ ...json(blobPath(layout, manifest.config.digest)), architecture }, manifest.config.mediaType);
  return put({ ...manifest, config }, MANIFEST);
}

/** An index of this architecture's image, an attestation, and indexes of images of other architectures. */
function makeIndex(): Descriptor {
  const own = tagged("own");
  const other = asArchitecture("other", OTHER);
  const s390x = asArchitecture("own", "s390x");
  Object.assign(manifests, { [OWN]: own.digest, [OTHER]: other.digest, s390x: s390x.digest });
  const entry = ({ mediaType, digest, size }: Descriptor, architecture: string) => {
    return { mediaType, digest, size, platform: { os: "linux", architecture } };
  };
  const statement = put({ predicate: "made by a test" }, "application/vnd.in-toto+json");
  const empty = put({}, "application/vnd.oci.image.config.v1+json");
  const attestation = put({ schemaVersion: 2, mediaType: MANIFEST, config: empty, layers: [statement] }, MANIFEST);
  const inner = (...manifests: readonly object[]): Descriptor =>
    put({ schemaVersion: 2, mediaType: INDEX, manifests }, INDEX);
  const notes = { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": own.digest };
  return put(
    {
      schemaVersion: 2,
      mediaType: INDEX,
      manifests: [
        inner(entry(other, OTHER)),
        inner(inner(entry(s390x, "s390x"))),
        { ...attestation, platform: { os: "unknown", architecture: "unknown" }, annotations: notes },
        entry(own, OWN),
      ],
    },
    INDEX,
  );
}

before(async () => {
  if (skip) return;
  layout = busyboxLayout(dir);
  derive(layout, "busybox", "own", (fs) => writeFileSync(join(fs, "etc/is"), "own\n"));
  derive(layout, "busybox", "other", (fs) => writeFileSync(join(fs, "etc/is"), "other\n"));
  const index = makeIndex();
  root = index.digest;
  const document = json(join(layout, "index.json"));
  document.manifests.push({ ...index, annotations: { "org.opencontainers.image.ref.name": "multi" } });
  writeFileSync(join(layout, "index.json"), JSON.stringify(document));
  registry = await Registry.start();
  // skopeo 1.9 copies no index in an index, so the index goes up by our own client.
  await using store = new Store();
  const name = `${registry.host}/test/multi:1`;
  const only = join(dir, "only");
  tool("cp", "-a", layout, only);
  writeFileSync(
    join(only, "index.json"),
    JSON.stringify({ ...document, manifests: [{ ...index, annotations: nameOf(name) }] }),
  );
  ok(store.berth("load", "-q", "--all-platforms", "-i", only));
  ok(store.berth("push", "-q", "--all-platforms", name));
  image = name;
});

const nameOf = (name: string) => ({ "io.containerd.image.name": name });

after(async () => {
  if (!skip) await registry[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

/** Contents of all blobs of a layout, by digest. */
function blobsOf(path: string): ReadonlyMap<string, string> {
  const names = readdirSync(join(path, "blobs/sha256")).sort();
  return new Map(names.map((name) => [name, readFileSync(join(path, "blobs/sha256", name), "latin1")]));
}

const content = (store: Store): readonly string[] => readdirSync(join(store.dir, "data/content/sha256")).sort();

/** All that a manifest or index in the layout leads to. */
function reach(digest: string): readonly string[] {
  const { manifests: children = [], layers = [], config } = json(blobPath(layout, digest));
  const below = [...layers, ...(config === undefined ? [] : [config])].map((blob: Descriptor) => blob.digest);
  const all = [digest, ...below, ...children.flatMap((child: Descriptor) => reach(child.digest))];
  return [...new Set(all.map((one: string) => one.replace("sha256:", "")))].sort();
}

t(
  "pull --all-platforms: all that a nested index leads to is kept, byte for byte, and goes with the image",
  async () => {
    await using store = new Store();
    ok(store.berth("pull", "-q", "--all-platforms", image));
    assert.deepEqual(content(store), reach(root));
    assert.equal(ok(store.berth("run", "--rm", "--network", "none", image, "cat", "/etc/is")), "own\n");
    assert.match(ok(store.berth("system", "check")), /0 problems|no problems/i);
    const [first, second] = [join(store.dir, "first"), join(store.dir, "second")];
    ok(store.berth("save", "--all-platforms", "--format", "oci-dir", "-o", first, image));
    assert.equal(json(join(first, "index.json")).manifests[0].digest, root);
    assert.deepEqual([...blobsOf(first).keys()], reach(root));
    for (const [name, bytes] of blobsOf(first))
      assert.equal(bytes, readFileSync(blobPath(layout, `sha256:${name}`), "latin1"));
    await using other = new Store();
    ok(other.berth("load", "-q", "--all-platforms", "-i", first));
    ok(other.berth("save", "--all-platforms", "--format", "oci-dir", "-o", second, image));
    assert.deepEqual(blobsOf(second), blobsOf(first));
    assert.equal(readFileSync(join(second, "index.json"), "utf8"), readFileSync(join(first, "index.json"), "utf8"));
    ok(store.berth("rmi", image));
    assert.deepEqual(content(store), []);
  },
);

t("pull: without --all-platforms only this host's is fetched, and saving all is refused with what to do", async () => {
  await using store = new Store();
  ok(store.berth("pull", "-q", image));
  assert.ok(!content(store).includes((manifests[OTHER] ?? "").replace("sha256:", "")));
  const refused = store.berth("save", "--all-platforms", "-o", join(store.dir, "x.tar"), image);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /is not here.*\n.*berth pull --all-platforms/);
  const absent = store.berth("save", "--platform", `linux/${OTHER}`, "-o", join(store.dir, "x.tar"), image);
  assert.match(absent.err, /is not here/);
  const unknown = store.berth("pull", "--platform", "linux/riscv64", image);
  assert.match(unknown.err, /no image for platform linux\/riscv64/);
});

t("save --platform: one image of the index, in each format, as that platform's own manifest", async () => {
  await using store = new Store();
  ok(store.berth("pull", "-q", "--all-platforms", image));
  const out = join(store.dir, "one");
  ok(store.berth("save", "--platform", `linux/${OTHER}`, "--format", "oci-dir", "-o", out, image));
  assert.equal(json(join(out, "index.json")).manifests[0].digest, manifests[OTHER]);
  assert.deepEqual([...blobsOf(out).keys()], reach(manifests[OTHER] ?? ""));
  const archive = join(store.dir, "docker.tar");
  ok(store.berth("save", "--platform", "linux/s390x", "--format", "docker-archive", "-o", archive, image));
  const inspected = JSON.parse(tool("skopeo", "inspect", "--config", `docker-archive:${archive}`));
  assert.equal(inspected.architecture, "s390x");
  const none = store.berth("save", "--platform", "linux/riscv64", "-o", join(store.dir, "x.tar"), image);
  assert.match(none.err, /no image for platform linux\/riscv64.*\n.*linux\/s390x/);
  const both = store.berth("save", "--all-platforms", "--format", "docker-archive", "-o", archive, image);
  assert.match(both.err, /holds one platform/);
});

t("push --all-platforms: another registry gets the same index, under another name too", async () => {
  await using store = new Store();
  ok(store.berth("pull", "-q", "--all-platforms", image));
  await using served = await Served.start({ ...store.env, BERTH_ROOT: join(store.dir, "served") });
  const name = `${served.host}/copy/multi:2`;
  ok(store.berth("tag", image, name));
  assert.equal(ok(store.berth("push", "-q", "--all-platforms", name)).trim(), root);
  ok(store.berth("push", "-q", "--platform", "linux/s390x", name));
  const raw = tool("skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${name}`);
  assert.equal(`sha256:${createHash("sha256").update(raw).digest("hex")}`, manifests["s390x"]);
});

t("copy and pull --platform: what is in the second of several nested indexes is found", async () => {
  await using store = new Store();
  await using served = await Served.start({ ...store.env, BERTH_ROOT: join(store.dir, "served") });
  const one = `${served.host}/copy/one:1`;
  const copied = ok(store.berth("copy", "-q", "--platform", "linux/s390x", image, one)).trim();
  assert.equal(copied, manifests["s390x"]);
  ok(store.berth("pull", "-q", "--platform", "linux/s390x", image));
  const pulled = ok(store.berth("inspect", "--format", "{{.Id}}", image)).trim();
  assert.equal(pulled, json(blobPath(layout, copied)).config.digest);
  const none = store.berth("copy", "--platform", "linux/riscv64", image, `${served.host}/copy/none:1`);
  assert.match(none.err, /no image for platform linux\/riscv64\nhint: it is there for .*linux\/s390x/);
  // What is no index is of the platform that its configuration tells.
  const other = store.berth("copy", "--platform", `linux/${OWN}`, one, `${served.host}/copy/other:1`);
  assert.match(other.err, new RegExp(`no image for platform linux/${OWN}\nhint: it is there for linux/s390x`));
});

t(
  "copy and push --all-platforms of a large nested index: killed half-way, the next one sends only what is missing",
  async () => {
    const big = join(dir, "big");
    tool("cp", "-a", layout, big);
    const put = (value: unknown, mediaType: string): Descriptor => putInto(big, value, mediaType);
    const images = Array.from({ length: 200 }, (_, i) => {
      const platform = { os: "linux", architecture: i === 0 ? OWN : `a${i}` };
      const manifest = json(blobPath(layout, tagged("own").digest));
      const config = put({ ...json(blobPath(layout, manifest.config.digest)), ...platform }, manifest.config.mediaType);
      return { ...put({ ...manifest, config }, MANIFEST), platform };
    });
    const inner = [0, 50, 100, 150].map((from) =>
      put({ schemaVersion: 2, mediaType: INDEX, manifests: images.slice(from, from + 50) }, INDEX),
    );
    const index = put({ schemaVersion: 2, mediaType: INDEX, manifests: inner }, INDEX);
    await using store = new Store();
    await using served = await Served.start({ ...store.env, BERTH_ROOT: join(store.dir, "served") });
    const [first, second] = ["big/app:1", "big/copy:1"].map((name) => `${served.host}/${name}`) as [string, string];
    const annotated = { ...index, annotations: nameOf(first) };
    writeFileSync(join(big, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [annotated] }));
    ok(store.berth("load", "-q", "--all-platforms", "-i", big));
    const killed = async (...args: readonly string[]): Promise<void> => {
      const child = store.spawn(...args);
      let sent = 0;
      await new Promise<void>((resolve) => {
        child.stderr?.on("data", (text) => {
          sent += String(text).match(/: (Pushed|Mounted)/g)?.length ?? 0;
          if (sent > 50) resolve();
        });
        child.on("close", () => resolve());
      });
      assert.equal(child.exitCode, null, "it was done before it could be killed");
      child.kill("SIGKILL");
      await new Promise((resolve) => child.on("close", resolve));
    };
    for (const [target, ...args] of [
      [first, "push", "--all-platforms", first],
      [second, "copy", first, second],
    ] as const) {
      await killed(...args);
      assert.notEqual(spawnSync("skopeo", ["inspect", "--raw", "--tls-verify=false", `docker://${target}`]).status, 0);
      const ran = store.berth(...args);
      ok(ran);
      const known = ran.err.match(/: Layer already exists$/gm)?.length ?? 0;
      const sent = ran.err.match(/: (Pushed|Mounted from another repository)$/gm)?.length ?? 0;
      assert.ok(known > 50 && sent > 0, `${known} were there, ${sent} were sent`);
      assert.equal(known + sent, 200 + json(blobPath(layout, tagged("own").digest)).layers.length);
      const again = store.berth(...args);
      assert.match(ok(again), new RegExp(index.digest));
      assert.doesNotMatch(again.err, /: (Pushed|Mounted)/);
    }
    await using other = new Store();
    ok(other.berth("pull", "-q", "--all-platforms", second));
    assert.equal(content(other).length, content(store).length);
  },
);

t("load: of a layout that lists the variants of an architecture side by side, the best one is the image", async () => {
  const flat = join(dir, "flat");
  tool("cp", "-a", layout, flat);
  const entries = ["v6", "v7", "v5"].flatMap((variant) => {
    const manifest = json(blobPath(layout, tagged("own").digest));
    const platform = { os: "linux", architecture: "arm", variant };
    const blob = { ...json(blobPath(layout, manifest.config.digest)), ...platform };
    const config = putInto(flat, blob, manifest.config.mediaType);
    const entry = { ...putInto(flat, { ...manifest, config }, MANIFEST), platform };
    return [
      { ...entry, annotations: nameOf("r.test/named:1") },
      { ...entry, annotations: nameOf(`r.test/only:${variant}`) },
    ];
  });
  writeFileSync(join(flat, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: entries }));
  await using store = new Store();
  ok(store.berth("load", "-q", "--platform", "linux/arm/v7", "-i", flat));
  const variants = ["named:1", "only:v5", "only:v6"].map((name) =>
    ok(store.berth("image", "inspect", "--format", "{{.Variant}}", `r.test/${name}`)).trim(),
  );
  assert.deepEqual(variants, ["v7", "v5", "v6"]);
});

t("run --platform: an image that is here for another platform counts as missing", async () => {
  await using store = new Store();
  ok(store.berth("pull", "-q", image));
  const never = store.berth("create", "--pull", "never", "--platform", "linux/s390x", image);
  assert.equal(never.code, 125);
  assert.match(never.err, /for another platform than linux\/s390x/);
  ok(store.berth("create", "-q", "--network", "none", "--platform", "linux/s390x", "--name", "foreign", image));
  const id = ok(store.berth("inspect", "--format", "{{.Image}}", "foreign")).trim();
  assert.equal(id, json(blobPath(layout, manifests["s390x"] ?? "")).config.digest);
});

t(
  "policy newer: pulls what the registry has anew, and makes do with what is here when it cannot be reached",
  async () => {
    await using own = await Registry.start();
    await using store = new Store();
    const name = own.fill(`oci:${layout}:own`, "test/moving:1");
    const cat = (...flags: readonly string[]): Ran =>
      store.berth("run", "--rm", "--network", "none", ...flags, name, "cat", "/etc/is");
    assert.equal(ok(cat("--pull", "newer")), "own\n");
    own.fill(`oci:${layout}:other`, "test/moving:1");
    assert.equal(ok(cat("--pull", "missing")), "own\n");
    assert.equal(ok(store.berth("pull", "-q", "--policy", "missing", name)), `${name}\n`);
    assert.equal(ok(cat("--pull", "never")), "own\n");
    assert.equal(ok(cat("--pull", "newer")), "other\n");
    own.fill(`oci:${layout}:own`, "test/moving:1");
    ok(store.berth("create", "--pull", "newer", "--network", "none", "--name", "made", name));
    assert.equal(ok(cat("--pull", "never")), "own\n");
    await own[Symbol.asyncDispose]();
    const offline = cat("--pull", "newer");
    assert.equal(ok(offline), "own\n");
    assert.match(offline.err, /Using the image that is here for .*ECONNREFUSED/);
    ok(store.berth("pull", "-q", "--policy", "newer", name));
    ok(store.berth("create", "--pull", "newer", "--network", "none", name));
    assert.match(cat("--pull", "always").err, /ECONNREFUSED/);
    assert.match(store.berth("pull", "--policy", "newer", `${own.host}/no/such:1`).err, /ECONNREFUSED/);
    assert.match(store.berth("pull", "--policy", "never", `${own.host}/no/such:1`).err, /no such image/);
  },
);
