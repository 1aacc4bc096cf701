/** A data root that runs full at every step: errors say what and where, nothing is lost, and it works when there is space. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { busyboxLayout, changeEverything, derive } from "./fixtures.ts";
import { BERTH, ok, probe, type Ran, Store, tool } from "./harness.ts";
import { Registry } from "./registry.ts";
import { Served } from "./served.ts";

const skip = probe("docker-registry", "skopeo", "umoci");
const dir = mkdtempSync(join(tmpdir(), "berth-full-"));
const KEPT = "r.test/kept:1";
const ROUNDS = 8;
const ROOMY = 200 << 20;
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

/** A file system of its own, as large as the test says. */
class Disk implements Disposable {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
    mkdirSync(root);
    tool("mount", "-t", "tmpfs", "-o", `size=${ROOMY}`, "tmpfs", root);
  }

  get used(): number {
    const { blocks, bfree, bsize } = statfsSync(this.root);
    return (blocks - bfree) * bsize;
  }

  resize(bytes: number): void {
    tool("mount", "-o", `remount,size=${bytes}`, this.root);
  }

  /** Leaves so many bytes, at least for the files that are there. */
  leave(bytes: number): void {
    // No size at all would be no limit.
    this.resize(Math.max(this.used + bytes, 4096));
  }

  /** Names of files that take space although nobody needs them; an upload that was never begun is an empty one. */
  left(): readonly string[] {
    const all = readdirSync(join(this.root, "ingest"));
    return all.filter((name) => statSync(join(this.root, "ingest", name)).size > 0);
  }

  [Symbol.dispose](): void {
    this.resize(2 * ROOMY);
    tool("umount", "-l", this.root);
  }
}

/** A data root on a disk of its own, with an image in it. */
class SmallDisk extends Disk implements AsyncDisposable {
  readonly store: Store;

  constructor(store = new Store()) {
    super(join(store.dir, "data"));
    this.store = store;
    ok(this.store.berth("load", "-q", "-i", kept));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
    await this.store[Symbol.asyncDispose]();
  }
}

/** What a full disk is told by: what was done, with errno or SQLite's words, and what to do. */
function tellsFull({ err }: Ran): void {
  assert.match(err, /^berth: \w+.*(no space left|ENOSPC|disk is full)/, err);
  assert.match(err, /hint: .*(free now on the file system of|[Ff]ree space)/, err);
  assert.doesNotMatch(err, /internal error|bug of Berth/);
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
      tellsFull(ran);
    }
    // What was there can be listed while the disk is still full.
    assert.match(store.berth("images").out, /kept/, "the other image");
    disk.resize(ROOMY);
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
  disk.resize(ROOMY);
  sound(store);
  ok(store.berth("pull", "-q", image));
});

/** What the database may take for one change, and less. */
const SMALL: readonly number[] = [0, 4, 8, 12, 20, 40].map((kib) => kib << 10);

t(
  "tag, untag, push and save while the data root has no room: done whole or told, and the names are as before",
  async () => {
    await using disk = new SmallDisk();
    const { store } = disk;
    const [other, out] = [`${registry?.host}/full/kept:1`, join(store.dir, "out")];
    const names = (): readonly string[] =>
      ok(store.berth("images", "--format", "{{.Repository}}:{{.Tag}}"))
        .split("\n")
        .filter(Boolean)
        .sort();
    const before = names();
    const commands: readonly (readonly [readonly string[], boolean])[] = [
      [["tag", KEPT, other], true],
      [["push", "-q", other], false],
      [["save", "-o", out, other], false],
      [["save", "-o", out, "--format", "docker-archive", other], false],
      [["untag", KEPT, other], true],
    ];
    let failed = 0;
    for (const free of SMALL) {
      for (const [command, changes] of commands) {
        const was = names();
        disk.leave(free);
        const ran = store.berth(...command);
        if (ran.code !== 0) {
          failed++;
          tellsFull(ran);
          assert.ok(!existsSync(out), "half an archive");
        }
        assert.equal(names().join() !== was.join(), changes && ran.code === 0, `${command[0]} with ${free} free`);
        disk.resize(ROOMY);
        if (ran.code !== 0) ok(store.berth(...command));
        assert.deepEqual(disk.left(), []);
        rmSync(out, { force: true });
      }
      assert.deepEqual(names(), before);
      sound(store);
    }
    assert.ok(failed >= 5, `${failed} failed`);
  },
);

t(
  "save: to a disk that has no room, as file, directory and stream: nothing of it stays, and it works with space",
  async () => {
    await using store = Store.with(archive);
    using disk = new Disk(join(store.dir, "target"));
    const path = join(disk.root, "saved");
    const toStdout = (): Ran => {
      const fd = openSync(path, "w");
      try {
        const { status, stderr } = spawnSync(BERTH, ["save", "r.test/app:1"], {
          env: store.env,
          stdio: ["ignore", fd, "pipe"],
          encoding: "utf8",
        });
        return { code: status ?? 1, out: "", err: stderr };
      } finally {
        closeSync(fd);
      }
    };
    const save = (format: string): Ran =>
      format === "stdout" ? toStdout() : store.berth("save", "--format", format, "-o", path, "r.test/app:1");
    const clear = (): void => rmSync(path, { recursive: true, force: true });
    const look = {
      stdout: "oci-archive",
      "oci-archive": "oci-archive",
      "oci-dir": "oci",
      "docker-archive": "docker-archive",
    };
    for (const [format, transport] of Object.entries(look)) {
      const empty = disk.used;
      ok(save(format));
      const need = disk.used - empty;
      clear();
      for (let round = 0; round < ROUNDS; round++) {
        disk.leave(Math.floor((need * round) / ROUNDS));
        const ran = save(format);
        assert.equal(ran.code, 1, `${format}, round ${round}`);
        tellsFull(ran);
        // Who redirects has the file.
        if (format !== "stdout") assert.deepEqual(readdirSync(disk.root), []);
        clear();
        disk.resize(ROOMY);
      }
      ok(save(format));
      tool("skopeo", "inspect", `${transport}:${path}`);
      clear();
    }
    // As many files as there may be, too; and a directory that was there, a mount point for one, stays and is empty.
    for (const inodes of [1, 2, 3, 4, 5, 6, 7, 8]) {
      tool("mount", "-o", `remount,nr_inodes=${inodes}`, disk.root);
      const ran = store.berth("save", "--format", "oci-dir", "-o", disk.root, "r.test/app:1");
      tellsFull(ran);
      assert.deepEqual(readdirSync(disk.root), []);
    }
    tool("mount", "-o", "remount,nr_inodes=1000", disk.root);
    ok(store.berth("save", "--format", "oci-dir", "-o", disk.root, "r.test/app:1"));
    tool("skopeo", "inspect", `oci:${disk.root}`);
  },
);

t("registry serve: a push to a full disk is told at once, gives its space back, and works with space", async () => {
  await using store = Store.with(archive);
  let need = 0;
  let failed = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await using disk = new SmallDisk();
    await using served = await Served.start(disk.store.env);
    const name = `${served.host}/full/app:1`;
    ok(store.berth("tag", "r.test/app:1", name));
    const before = disk.used;
    // The first round only measures.
    if (round > 0) {
      disk.leave(Math.floor((need * (round - 1)) / (ROUNDS - 1)));
      const ran = store.berth("push", "-q", ...(round % 2 === 0 ? [] : ["--chunk-size", "100k"]), name);
      if (ran.code !== 0) {
        failed++;
        tellsFull(ran);
        assert.match(ran.err, new RegExp(`${served.host} has no space left`));
        assert.deepEqual(disk.left(), []);
      }
      disk.resize(ROOMY);
      sound(disk.store);
    }
    ok(store.berth("push", "-q", name));
    need ||= disk.used - before;
    tool("skopeo", "inspect", "--tls-verify=false", `docker://${name}`);
    ok(store.berth("untag", name, name));
    // A client that does not take its upload back.
    disk.leave(64 << 10);
    const uploads = `${served.url}/v2/full/app/blobs/uploads/`;
    const { headers } = await fetch(uploads, { method: "POST" });
    const place = new URL(headers.get("location") ?? "", served.url);
    const refused = await fetch(place, { method: "PATCH", body: new Uint8Array(1 << 20) });
    assert.deepEqual([refused.status, disk.left()], [507, []]);
    assert.equal((await fetch(place)).status, 404);
  }
  assert.ok(failed >= ROUNDS / 2, `${failed} failed`);
});

t("artifact pull: to a disk that has no room leaves none of its files, and works with space", async () => {
  await using store = new Store();
  using disk = new Disk(join(store.dir, "target"));
  const files = ["first", "second"].map((name) => join(store.dir, name));
  for (const file of files) writeFileSync(file, Buffer.alloc(500_000, file));
  const name = `${registry?.host}/full/files:1`;
  ok(store.berth("artifact", "push", "-q", "--type", "text/x", name, ...files));
  for (const free of [0, 100_000, 490_000, 600_000, 900_000]) {
    disk.leave(free);
    const ran = store.berth("artifact", "pull", "-o", disk.root, name);
    assert.equal(ran.code, 1, `${free} free`);
    tellsFull(ran);
    assert.deepEqual(readdirSync(disk.root), []);
  }
  disk.resize(ROOMY);
  ok(store.berth("artifact", "pull", "-o", disk.root, name));
  assert.deepEqual(readdirSync(disk.root).sort(), ["first", "second"]);
});
