import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { busyboxLayout, derive, twoPlatforms } from "./fixtures.ts";
import { ok, probe, Store, tool } from "./harness.ts";
import { Registry } from "./registry.ts";
import { Served } from "./served.ts";

const skip = probe("docker-registry", "skopeo", "umoci");
const dir = mkdtempSync(join(tmpdir(), "berth-check-"));
const N = ["--network", "none"];
let layout = "";
let registry: Registry;
let image = "";

before(async () => {
  if (skip) return;
  layout = busyboxLayout(dir);
  derive(layout, "busybox", "second", (root) => writeFileSync(join(root, "etc/second"), "second\n"));
  twoPlatforms(layout, "second", "multi");
  registry = await Registry.start();
  image = `${registry.host}/check/app:1`;
  const copy = ["copy", "--all", "--quiet", "--insecure-policy", "--dest-tls-verify=false"];
  tool("skopeo", ...copy, `oci:${layout}:multi`, `docker://${image}`);
});

after(async () => {
  if (!skip) await registry[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

const blobs = (store: Store): string => join(store.dir, "data/content/sha256");
const snapshots = (store: Store): string => join(store.dir, "data/snapshots");

function flip(path: string): void {
  const bytes = readFileSync(path);
  writeFileSync(
    path,
    bytes.map((byte, i) => (i === bytes.length >> 1 ? byte ^ 1 : byte)),
  );
}

t("system check: a sound store has no problems, and is not changed", async () => {
  await using store = new Store();
  ok(store.berth("pull", "-q", image));
  ok(store.berth("create", ...N, image));
  assert.match(ok(store.berth("system", "check")), /^Checked 5 blobs \(.*B\), 2 layers, 1 images: no problems\n$/);
  assert.equal(ok(store.berth("system", "check", "--repair", "-q")), "");
});

t("system check --repair: every damaged blob of a pulled image is fetched again", async () => {
  await using store = new Store();
  ok(store.berth("pull", "-q", image));
  const files = readdirSync(blobs(store));
  assert.equal(files.length, 5);
  for (const [i, file] of files.entries()) {
    const path = join(blobs(store), file);
    const how = i % 3;
    if (how === 0) flip(path);
    else if (how === 1) truncateSync(path, 3);
    else rmSync(path);
  }
  const found = store.berth("system", "check");
  assert.equal(found.code, 1);
  const why = [/ has digest sha256:/, / has 3 bytes, not \d+\n/, / is missing\n/];
  for (const [i, file] of files.entries()) {
    const line = found.out.split("\n").find((text) => text.startsWith(`blob sha256:${file}: `));
    assert.match(`${line}\n`, why[i % 3] ?? /never/);
  }
  const repaired = ok(store.berth("system", "check", "--repair"));
  assert.match(repaired, new RegExp(`image ${image}: its blob .*: fetched again from ${image.replace(/:1$/, "")}\n`));
  assert.deepEqual(readdirSync(blobs(store)), files);
  assert.match(ok(store.berth("system", "check")), /: no problems\n/);
});

t("system check --repair: layers that lost their directories are unpacked again", async () => {
  await using store = new Store();
  ok(store.berth("load", "-q", "-i", layout));
  const [first = ""] = readdirSync(snapshots(store)).sort();
  rmSync(join(snapshots(store), first, "fs"), { recursive: true });
  const found = store.berth("system", "check");
  assert.equal(found.code, 1);
  assert.match(found.out, new RegExp(`^layer sha256:\\w+: \\S+/snapshots/${first}/fs is missing\n`));
  const user = ok(store.berth("create", ...N, "second", "true")).trim();
  const kept = store.berth("system", "check", "--repair");
  assert.equal(kept.code, 1);
  assert.match(kept.out, /^layer \S+: \S+ is missing: cannot be repaired while a container uses it\n/);
  ok(store.berth("rm", user));
  assert.match(
    ok(store.berth("system", "check", "--repair")),
    /image \S+: its layer \S+ is not unpacked: unpacked again\n/,
  );
  assert.equal(ok(store.berth("run", "--rm", ...N, "second", "cat", "/etc/second")), "second\n");
  assert.match(ok(store.berth("system", "check")), /: no problems\n/);
});

t("system check --repair: what no registry has is removed, unless a container uses it", async () => {
  await using store = new Store();
  ok(store.berth("load", "-q", "-i", layout));
  const id = ok(store.berth("create", ...N, "second", "cat", "/etc/second")).trim();
  const config = ok(store.berth("image", "inspect", "-f", "{{.Id}}", "second"))
    .trim()
    .slice("sha256:".length);
  flip(join(blobs(store), config));
  const kept = store.berth("system", "check", "--repair");
  assert.equal(kept.code, 1);
  assert.match(
    kept.out,
    /image \S+: its blob \S+ is missing or damaged: cannot be repaired while a container uses it\n/,
  );
  assert.equal(ok(store.berth("start", "-a", id)), "second\n");
  ok(store.berth("rm", id));
  assert.match(ok(store.berth("system", "check", "--repair")), /: removed: it is to be pulled or loaded again\n/);
  assert.match(ok(store.berth("system", "check")), /: no problems\n/);
  assert.equal(ok(store.berth("run", "--rm", ...N, "busybox", "echo", "unharmed")), "unharmed\n");
  ok(store.berth("load", "-q", "-i", layout));
  assert.equal(ok(store.berth("run", "--rm", ...N, "second", "cat", "/etc/second")), "second\n");
});

t("system check --repair: with the registry gone the image goes, with its layers", async () => {
  await using store = new Store();
  ok(store.berth("pull", "-q", image));
  await registry[Symbol.asyncDispose]();
  for (const file of readdirSync(blobs(store))) rmSync(join(blobs(store), file));
  assert.match(ok(store.berth("system", "check", "-r")), /: removed: it is to be pulled or loaded again\n/);
  assert.equal(ok(store.berth("images", "-q")), "");
  assert.deepEqual(readdirSync(snapshots(store)), []);
});

t("system check: what a served repository has lost is told, and with --repair the next push brings it", async () => {
  await using store = Store.with(layout);
  await using other = new Store();
  await using served = await Served.start(other.env);
  const name = `${served.host}/check/served:1`;
  ok(store.berth("tag", "second", name));
  ok(store.berth("push", "-q", name));
  const files = readdirSync(blobs(other));
  for (const file of files) {
    rmSync(join(blobs(other), file));
    const found = other.berth("system", "check");
    assert.equal(found.code, 1);
    assert.match(
      found.out,
      new RegExp(`^repository check/served: its (blob|manifest) sha256:${file} is missing or damaged$`, "m"),
    );
    assert.match(ok(other.berth("system", "check", "--repair")), /: removed: it is to be pushed again\n/);
    assert.match(ok(other.berth("system", "check")), /no problems/);
    ok(store.berth("push", "-q", name));
    assert.deepEqual(readdirSync(blobs(other)).sort(), [...files].sort());
    assert.match(ok(other.berth("system", "check")), /no problems/);
  }
});
