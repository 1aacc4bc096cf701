import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isCode } from "@berth/base";
import type { Digest } from "@berth/oci";
import { openState } from "@berth/state";
import { migrations, openSnapshots } from "./index.ts";
import { parseChanges, planChoice, planMount } from "./plan.ts";
import type { Choice } from "./types.ts";

const id = (c: string): Digest => `sha256:${c.repeat(64)}` as Digest;
const OVERLAY: Choice = { driver: "overlayfs", reason: "the test says so", idmap: "", options: ["index=off"] };
const nothing = async (): Promise<void> => {};

function scratch() {
  const root = mkdtempSync(join(tmpdir(), "berth-snapshots-"));
  const state = openState(join(root, "berth.db"), migrations);
  return {
    root,
    state,
    snapshots: openSnapshots({ state, root, keelPath: "/none", choose: async () => OVERLAY }),
    dirs: () => (existsSync(join(root, "snapshots")) ? readdirSync(join(root, "snapshots")).sort() : []),
    [Symbol.dispose]() {
      state[Symbol.dispose]();
      rmSync(root, { recursive: true });
    },
  };
}

test("planMount: bind without lowers, overlay with them in their order", () => {
  assert.deepEqual(planMount("overlayfs", { upper: "/s/1/fs", work: "/s/1/work", lowers: [] }), {
    type: "bind",
    source: "/s/1/fs",
    options: ["rbind", "rw"],
  });
  assert.deepEqual(planMount("overlayfs", { upper: "/s/3/fs", work: "/s/3/work", lowers: ["/s/2/fs", "/s/1/fs"] }), {
    type: "overlay",
    source: "overlay",
    options: ["lowerdir=/s/2/fs:/s/1/fs", "upperdir=/s/3/fs", "workdir=/s/3/work"],
  });
});

test("commitLayer: a layer is there only after apply, with its lowers top first", async () => {
  using s = scratch();
  const seen: (readonly string[])[] = [];
  const commit = (chainId: Digest, parent: Digest | undefined): Promise<void> =>
    s.snapshots.commitLayer({
      chainId,
      parent,
      apply: async ({ upper, work, lowers }) => {
        assert.ok(existsSync(upper) && existsSync(work) && !s.snapshots.has(chainId));
        seen.push(lowers);
      },
    });
  await commit(id("a"), undefined);
  await commit(id("b"), id("a"));
  await commit(id("c"), id("b"));
  await commit(id("c"), id("b"));
  const fs = (n: number): string => join(s.root, `snapshots/${n}/fs`);
  assert.deepEqual(seen, [[], [fs(1)], [fs(2), fs(1)]]);
  await s.snapshots.prepare("box", id("c"));
  assert.deepEqual(s.snapshots.mount("box").options.slice(0, 2), ["index=off", `lowerdir=${fs(3)}:${fs(2)}:${fs(1)}`]);
});

test("commitLayer: when apply fails, neither row nor directory stays, and it may be tried again", async () => {
  using s = scratch();
  const apply = (): Promise<void> => Promise.reject(new Error("bad tar"));
  await assert.rejects(s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply }), /bad tar/);
  assert.deepEqual([s.snapshots.has(id("a")), s.dirs()], [false, []]);
  await s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply: nothing });
  assert.ok(s.snapshots.has(id("a")));
});

test("commitLayer: a layer may be begun on one that is not committed yet, and is committed after it", async () => {
  using s = scratch();
  const [lower, upper] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const first = s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply: () => lower.promise });
  await new Promise(setImmediate);
  const parentDone = (): Promise<void> => first;
  const second = s.snapshots.commitLayer({ chainId: id("b"), parent: id("a"), parentDone, apply: () => upper.promise });
  upper.resolve();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual([s.snapshots.has(id("a")), s.snapshots.has(id("b"))], [false, false]);
  lower.resolve();
  await second;
  assert.deepEqual([s.snapshots.has(id("a")), s.snapshots.has(id("b"))], [true, true]);
});

test("commitLayer: when the layer below fails, one that was begun on it goes too, and both may be tried again", async () => {
  using s = scratch();
  const lower = Promise.withResolvers<void>();
  const first = s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply: () => lower.promise });
  await new Promise(setImmediate);
  const second = s.snapshots.commitLayer({
    chainId: id("b"),
    parent: id("a"),
    parentDone: () => first,
    apply: nothing,
  });
  lower.reject(new Error("bad tar"));
  await assert.rejects(first, /bad tar/);
  await assert.rejects(second, /bad tar/);
  await s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply: nothing });
  await s.snapshots.commitLayer({ chainId: id("b"), parent: id("a"), apply: nothing });
  assert.ok(s.snapshots.has(id("b")));
});

test("commitLayer: two at once of the same chain id unpack once", async () => {
  using s = scratch();
  let runs = 0;
  const apply = async (): Promise<void> => {
    runs++;
    await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const commit = (): Promise<void> => s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply });
  await Promise.all([commit(), commit()]);
  assert.equal(runs, 1);
});

test("prepare: the same key gives the same mount; a missing parent is FailedPrecondition", async () => {
  using s = scratch();
  await s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply: nothing });
  await s.snapshots.prepare("x", id("a"));
  const mount = s.snapshots.mount("x");
  await s.snapshots.prepare("x", id("a"));
  assert.deepEqual(s.snapshots.mount("x"), mount);
  await s.snapshots.prepare("y", undefined);
  assert.equal(s.snapshots.mount("y").type, "bind");
  await assert.rejects(s.snapshots.prepare("z", id("f")), (e) => isCode(e, "FailedPrecondition"));
  await s.snapshots.remove("x");
  await s.snapshots.remove("x");
  await s.snapshots.remove("y");
  assert.deepEqual(s.dirs(), ["1"]);
});

test("removeLayer and forgetLayers: nothing goes that something stands on or a process holds", async () => {
  using s = scratch();
  await s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply: nothing });
  await s.snapshots.commitLayer({ chainId: id("b"), parent: id("a"), apply: nothing });
  await assert.rejects(s.snapshots.removeLayer(id("a")), (e) => isCode(e, "FailedPrecondition"));
  await s.snapshots.prepare("box", id("b"));
  assert.deepEqual(s.snapshots.forgetLayers([id("a"), id("b")]), []);
  await s.snapshots.remove("box");
  {
    using _hold = s.state.hold([id("b")]);
    await assert.rejects(s.snapshots.removeLayer(id("b")), (e) => isCode(e, "FailedPrecondition"));
    assert.deepEqual(s.snapshots.forgetLayers([id("a"), id("b")]), []);
  }
  assert.deepEqual(s.snapshots.forgetLayers([id("a"), id("b"), id("c")]), [id("b"), id("a")]);
  await s.snapshots.recover();
  assert.deepEqual(s.dirs(), []);
  await s.snapshots.removeLayer(id("a"));
});

test("usage: file sizes, a hard link once", async () => {
  using s = scratch();
  await s.snapshots.prepare("box", undefined);
  const dir = s.snapshots.mount("box").source;
  mkdirSync(join(dir, "sub"));
  writeFileSync(join(dir, "sub/a"), "x".repeat(1000));
  linkSync(join(dir, "sub/a"), join(dir, "b"));
  assert.equal(await s.snapshots.usage("box"), 1000);
});

test("recover: what a killed process was unpacking goes, what a living one unpacks and what is committed stays", async () => {
  using s = scratch();
  await s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply: nothing });
  mkdirSync(join(s.root, "snapshots/99/fs"), { recursive: true });
  const code = `
    import { openState } from "@berth/state";
    import { openSnapshots, migrations } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    const state = openState(${JSON.stringify(join(s.root, "berth.db"))}, migrations);
    const snapshots = openSnapshots({ state, root: ${JSON.stringify(s.root)}, keelPath: "/none" });
    await snapshots.commitLayer({ chainId: ${JSON.stringify(id("b"))}, parent: ${JSON.stringify(id("a"))},
      apply: async () => { console.log("begun"); await new Promise((r) => setTimeout(r, 60000)); } });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: import.meta.dirname,
  });
  await once(child.stdout, "data");
  await s.snapshots.recover();
  assert.deepEqual(s.dirs(), ["1", "2"]);
  await assert.rejects(s.snapshots.prepare("box", id("b")), (e) => isCode(e, "FailedPrecondition"));
  child.kill("SIGKILL");
  await once(child, "exit");
  await s.snapshots.recover();
  assert.deepEqual([s.dirs(), s.snapshots.has(id("a")), s.snapshots.has(id("b"))], [["1"], true, false]);
  await s.snapshots.commitLayer({ chainId: id("b"), parent: id("a"), apply: nothing });
});

test("openSnapshots: a path that overlayfs cannot express is InvalidArgument", () => {
  using s = scratch();
  for (const root of ["/a:b", "/a,b", "/a\\b"]) {
    assert.throws(
      () => openSnapshots({ state: s.state, root, keelPath: "/none" }),
      (e) => isCode(e, "InvalidArgument"),
    );
  }
});

test("prepare: volatile is an option of the mount but not of a view; a read-only one has no upper directory", async () => {
  using s = scratch();
  await s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply: nothing });
  await s.snapshots.commitLayer({ chainId: id("b"), parent: id("a"), apply: nothing });
  await s.snapshots.prepare("box", id("b"), { volatile: true });
  assert.ok(s.snapshots.mount("box").options.includes("volatile"));
  assert.ok(!s.snapshots.view("box").options.includes("volatile"));
  await s.snapshots.prepare("image:x", id("b"), { readOnly: true, volatile: true });
  const { options } = s.snapshots.mount("image:x");
  assert.deepEqual(options.slice(0, 2), ["ro", "index=off"]);
  assert.ok(!options.some((option) => option.startsWith("upperdir") || option === "volatile"));
  assert.deepEqual(s.snapshots.listKeys("image:"), ["image:x"]);
});

test("prepare: owners of a user namespace are shown on the lower layers, and a view shows the image's own again", async () => {
  using s = scratch();
  const rangeTo = (hostID = 0) => [{ containerID: 0, hostID, size: 1 }];
  const range = rangeTo(process.getuid?.());
  await s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply: nothing });
  await s.snapshots.prepare("box", id("a"), { ids: { uid: range, gid: rangeTo(process.getgid?.()) } });
  assert.equal(s.snapshots.mount("box").idmap?.layers, "all");
  const view = s.snapshots.view("box").idmap;
  assert.deepEqual([view?.layers, view?.uid[0]?.containerID, view?.uid[0]?.hostID], ["top", range[0]?.hostID, 0]);
  const below = s.snapshots.viewBelow("box");
  assert.deepEqual([below.type, below.options, below.idmap], ["bind", ["bind", "ro"], undefined]);
});

test("planChoice: what works first is taken, with the reason; what is asked for or nothing", () => {
  const probe = { overlayfs: "EINVAL", fuse: "", idmap: "" };
  assert.equal(planChoice({ ...probe, overlayfs: "" }, "auto", [])?.driver, "overlayfs");
  assert.deepEqual(planChoice(probe, "auto", []), {
    driver: "fuse-overlayfs",
    reason: "overlayfs does not work: EINVAL",
    idmap: "only overlayfs has id-mapped layers",
    options: [],
  });
  const none = planChoice({ ...probe, fuse: "not installed" }, "auto", []);
  assert.match(`${none?.driver} ${none?.reason}`, /^native .*EINVAL.*not installed/);
  assert.equal(planChoice(probe, "overlayfs", []), undefined);
  assert.equal(planChoice(probe, "native", [])?.driver, "native");
});

test("parseChanges: directories around their entries, sorted by path", () => {
  const output = ["+./d", "A./x", "+./e", "D./gone", "-C", "-A", "+./same", "-", "C./a", ""].join("\0");
  assert.deepEqual(
    parseChanges(output).map(({ kind, path }) => `${kind} ${path}`),
    ["C /a", "A /d", "C /d/e", "D /d/e/gone", "A /d/x"],
  );
  assert.deepEqual(parseChanges(""), []);
});
