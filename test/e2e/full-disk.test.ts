/** A data root that runs full at every step: errors say what and where, nothing is lost, and it works when there is space. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { busyboxLayout, changeEverything, derive } from "./fixtures.ts";
import { ok, probe, Store, tool } from "./harness.ts";
import { Registry } from "./registry.ts";

const skip = probe("docker-registry", "skopeo", "umoci");
const dir = mkdtempSync(join(tmpdir(), "berth-full-"));
const KEPT = "r.test/kept:1";
const ROUNDS = 8;
/** Not there when no test of this file was chosen: then the set-up is not waited for. */
let registry: Registry | undefined;
let image = "";
let archive = "";
let kept = "";

before(async () => {
  if (skip) return;
  const layout = busyboxLayout(dir);
  derive(layout, "busybox", "changed", changeEverything);
  archive = join(dir, "app.tar");
  kept = join(dir, "kept.tar");
  const copy = (from: string, to: string): string => tool("skopeo", "copy", "--quiet", "--insecure-policy", from, to);
  copy(`oci:${layout}:changed`, `oci-archive:${archive}:r.test/app:1`);
  copy(`oci:${layout}:busybox`, `docker-archive:${kept}:${KEPT}`);
  registry = await Registry.start();
  image = registry.fill(`oci:${layout}:changed`, "test/app:1");
});

after(async () => {
  await registry?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

function sound(store: Store): void {
  const { out, err } = store.berth("system", "check");
  assert.match(out, /no problems/, `${out}${err}`);
}

/** A data root on a file system of its own, with an image in it. */
class SmallDisk implements AsyncDisposable {
  readonly store: Store = new Store();
  readonly #root: string = join(this.store.dir, "data");

  constructor() {
    mkdirSync(this.#root);
    tool("mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", this.#root);
    ok(this.store.berth("load", "-q", "-i", kept));
  }

  get used(): number {
    const { blocks, bfree, bsize } = statfsSync(this.#root);
    return (blocks - bfree) * bsize;
  }

  resize(bytes: number): void {
    tool("mount", "-o", `remount,size=${bytes}`, this.#root);
  }

  /** Names of what stays although nobody needs it. */
  left(): readonly string[] {
    return readdirSync(join(this.#root, "ingest"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resize(400 << 20);
    tool("umount", "-l", this.#root);
    await this.store[Symbol.asyncDispose]();
  }
}

/** Runs the command with less and less missing, from nothing left up to enough. */
async function sweep(
  command: readonly string[],
  undo: readonly string[],
): Promise<{ failed: number; messages: string[] }> {
  await using disk = new SmallDisk();
  const { store } = disk;
  const before = disk.used;
  ok(store.berth(...command));
  const need = disk.used - before;
  ok(store.berth(...undo));
  assert.ok(need > 0, "the command takes no space");
  let failed = 0;
  const messages: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    disk.resize(disk.used + 4096 + Math.floor((need * round) / (ROUNDS - 1)));
    const ran = store.berth(...command);
    if (ran.code !== 0) {
      failed++;
      messages.push(ran.err);
      assert.match(ran.err, /no space left|disk is full/, ran.err);
      assert.match(ran.err, /hint: .*(free now on the file system of|free space)/, ran.err);
    }
    // What was there can be listed while the disk is still full.
    assert.match(store.berth("images").out, /kept/, "the other image");
    disk.resize(200 << 20);
    sound(store);
    ok(store.berth(...command));
    sound(store);
    ok(store.berth(...undo));
    ok(store.berth("system", "prune", "-f"));
    assert.deepEqual(disk.left(), []);
  }
  ok(store.berth("create", "--network", "none", KEPT, "sh"));
  return { failed, messages };
}

const t = (name: string, body: () => Promise<void>): void => void test(name, { skip, timeout: 180_000 }, body);

t("pull: fails with what and where, whichever step runs out of space", async () => {
  const { failed, messages } = await sweep(["pull", "-q", image], ["rmi", image]);
  assert.ok(failed >= ROUNDS / 2, `${failed} of ${ROUNDS} failed`);
  assert.ok(
    messages.some((message) => /unpack layer/.test(message)) || messages.some((m) => /data\//.test(m)),
    messages.join(""),
  );
});

t("load: the same from an archive", async () => {
  const { failed } = await sweep(["load", "-q", "-i", archive], ["rmi", "r.test/app:1"]);
  assert.ok(failed >= ROUNDS / 2, `${failed} of ${ROUNDS} failed`);
});

t("import: the same from a root file system", async () => {
  const tar = join(dir, "root.tar");
  tool("tar", "-C", "/usr/lib", "-cf", tar, "os-release", "tmpfiles.d");
  const { failed } = await sweep(["import", tar, "r.test/imported:1"], ["rmi", "r.test/imported:1"]);
  assert.ok(failed > 0);
});

t("rmi and prune give space back on a disk that has none left", async () => {
  await using disk = new SmallDisk();
  const { store } = disk;
  ok(store.berth("pull", "-q", image));
  disk.resize(disk.used);
  const first = store.berth("rmi", image);
  // The database may want a page of its own: then it says so, and the disk is as it was.
  if (first.code !== 0) {
    assert.match(first.err, /disk is full/);
    assert.match(store.berth("images", "-q").out, /\w/);
    disk.resize(disk.used + (256 << 10));
    ok(store.berth("rmi", image));
  }
  const after = disk.used;
  ok(store.berth("image", "prune", "-a", "-f"));
  assert.ok(disk.used < after);
  disk.resize(200 << 20);
  sound(store);
  ok(store.berth("pull", "-q", image));
});
