import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { openState, type State } from "@berth/state";
import { migrations, openVolumes, type Volumes } from "./index.ts";
import * as store from "./store.ts";

interface Scratch extends Disposable {
  readonly dir: string;
  readonly state: State;
  readonly volumes: Volumes;
  /** A root file system with `files` in it. */
  rootfs(files: Readonly<Record<string, string>>): string;
}

function scratch(): Scratch {
  const dir = mkdtempSync(join(tmpdir(), "berth-volumes-"));
  const state = openState(join(dir, "berth.db"), migrations);
  return {
    dir,
    state,
    volumes: openVolumes({ state, root: dir }),
    rootfs(files) {
      const root = mkdtempSync(join(dir, "root-"));
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(join(root, path, ".."), { recursive: true });
        writeFileSync(join(root, path), text);
      }
      return root;
    },
    [Symbol.dispose]() {
      state[Symbol.dispose]();
      rmSync(dir, { recursive: true });
    },
  };
}

const nobody = (): readonly string[] => [];

test("ensure: makes a volume once, with an empty directory, and finds it afterwards", () => {
  using s = scratch();
  const made = s.volumes.ensure("data");
  assert.equal(made.path, join(s.dir, "volumes/data/_data"));
  assert.deepEqual(readdirSync(made.path), []);
  writeFileSync(join(made.path, "x"), "kept");
  assert.deepEqual(s.volumes.ensure("data"), made);
  assert.equal(readFileSync(join(made.path, "x"), "utf8"), "kept");
  assert.deepEqual(s.volumes.list(), [made]);
});

test("ensure: names that docker refuses are InvalidArgument and make nothing", () => {
  using s = scratch();
  for (const name of ["", "a", "../x", ".hidden", "a/b", "a b", "-x", "ä1", "x".repeat(256)]) {
    assert.throws(
      () => s.volumes.ensure(name),
      (e) => isCode(e, "InvalidArgument"),
      name,
    );
  }
  assert.equal(existsSync(join(s.dir, "volumes")), false);
});

test("ensure: in a transaction that fails, no volume is left, and recover removes its directory", async () => {
  using s = scratch();
  assert.throws(() =>
    s.state.transaction(() => {
      s.volumes.ensure("half");
      throw new Error("stop");
    }),
  );
  assert.equal(s.volumes.find("half"), undefined);
  await s.volumes.recover();
  assert.deepEqual(readdirSync(join(s.dir, "volumes")), []);
});

test("ensure: what a lost volume of the same name left is not seen in the new one", async () => {
  using s = scratch();
  const { path } = s.volumes.ensure("again");
  writeFileSync(join(path, "old"), "");
  store.removeVolume(s.state.db, "again");
  assert.deepEqual(readdirSync(s.volumes.ensure("again").path), []);
  await s.volumes.recover();
  assert.deepEqual(readdirSync(join(s.dir, "volumes")), ["again"]);
});

test("noteHostIds: of a new volume only; one with content keeps what was said of it", () => {
  using s = scratch();
  const { name, path, hasHostIds } = s.volumes.ensure("ids");
  assert.deepEqual([hasHostIds, s.volumes.isNew(name)], [false, true]);
  s.volumes.noteHostIds(name, true);
  assert.equal(s.volumes.get(name).hasHostIds, true);
  writeFileSync(join(path, "x"), "");
  s.volumes.noteHostIds(name, false);
  assert.deepEqual([s.volumes.get(name).hasHostIds, s.volumes.isNew(name)], [true, false]);
  // What a copy that was cut off has left is no content.
  store.setPopulating(s.state.db, name, true);
  s.volumes.noteHostIds(name, true);
  assert.ok(s.volumes.isNew(name));
});

test("createAnonymous: listed with its container, and removed like any other", async () => {
  using s = scratch();
  const volume = s.volumes.createAnonymous("c1");
  s.volumes.createAnonymous("c2");
  assert.match(volume.name, /^[0-9a-f]{64}$/);
  assert.deepEqual(s.volumes.listOf("c1"), [volume]);
  await s.volumes.remove(volume.name, nobody);
  assert.deepEqual(s.volumes.listOf("c1"), []);
});

test("remove: refused while a container uses the volume, idempotent, and the content is gone", async () => {
  using s = scratch();
  const { path } = s.volumes.ensure("used");
  await assert.rejects(
    s.volumes.remove("used", () => ["web", "db"]),
    (e) => isCode(e, "FailedPrecondition") && /web, db/.test(e.message),
  );
  assert.ok(existsSync(path));
  await s.volumes.remove("used", nobody);
  await s.volumes.remove("used", nobody);
  assert.deepEqual(readdirSync(join(s.dir, "volumes")), []);
  assert.throws(
    () => s.volumes.get("used"),
    (e) => isCode(e, "NotFound"),
  );
});

test("populate: an empty volume gets the image's content and mode; one with content is left alone", async () => {
  using s = scratch();
  const rootfs = s.rootfs({ "srv/data/a/b": "image", "srv/data/c": "" });
  spawnSync("chmod", ["2750", join(rootfs, "srv/data")]);
  const { path } = s.volumes.ensure("vol");
  await s.volumes.populate("vol", rootfs, "/srv/data");
  assert.equal(readFileSync(join(path, "a/b"), "utf8"), "image");
  assert.equal(statSync(path).mode & 0o7777, 0o2750);
  rmSync(join(path, "a"), { recursive: true });
  await s.volumes.populate("vol", rootfs, "/srv/data");
  assert.deepEqual(readdirSync(path), ["c"]);
});

test("populate: without a directory at the target nothing happens", async () => {
  using s = scratch();
  const rootfs = s.rootfs({ file: "" });
  const { path } = s.volumes.ensure("vol");
  for (const target of ["/none", "/file", "/file/below"]) await s.volumes.populate("vol", rootfs, target);
  assert.deepEqual(readdirSync(path), []);
});

test("populate: a link in the image that points out of it is followed inside", async () => {
  using s = scratch();
  const rootfs = s.rootfs({ "etc/inside": "image" });
  symlinkSync("/../../../etc", join(rootfs, "conf"));
  const { path } = s.volumes.ensure("vol");
  await s.volumes.populate("vol", rootfs, "/conf");
  assert.deepEqual(readdirSync(path), ["inside"]);
});

test("populate: what a crash cut off is done again", async () => {
  using s = scratch();
  const rootfs = s.rootfs({ "d/one": "whole", "d/two": "whole" });
  const { path } = s.volumes.ensure("vol");
  store.setPopulating(s.state.db, "vol", true);
  writeFileSync(join(path, "one"), "ha");
  await s.volumes.populate("vol", rootfs, "/d");
  assert.deepEqual(
    readdirSync(path).map((name) => readFileSync(join(path, name), "utf8")),
    ["whole", "whole"],
  );
  assert.equal(store.findVolume(s.state.db, "vol")?.isPopulating, false);
});

test("populate: interrupted, it is Cancelled, and the next call does it", async () => {
  using s = scratch();
  const rootfs = s.rootfs({ "d/one": "x" });
  const { path } = s.volumes.ensure("vol");
  await assert.rejects(s.volumes.populate("vol", rootfs, "/d", AbortSignal.abort()), (e) => isCode(e, "Cancelled"));
  await s.volumes.populate("vol", rootfs, "/d");
  assert.deepEqual(readdirSync(path), ["one"]);
});

test("populate: two at once give one whole copy", async () => {
  using s = scratch();
  const rootfs = s.rootfs(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`d/${i}`, `${i}`])));
  const { path } = s.volumes.ensure("vol");
  await Promise.all([s.volumes.populate("vol", rootfs, "/d"), s.volumes.populate("vol", rootfs, "/d")]);
  assert.equal(readdirSync(path).length, 50);
});
