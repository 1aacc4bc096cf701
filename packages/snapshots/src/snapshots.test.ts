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
import { planMount } from "./plan.ts";

const id = (c: string): Digest => `sha256:${c.repeat(64)}` as Digest;
const nothing = async (): Promise<void> => {};

function scratch() {
  const root = mkdtempSync(join(tmpdir(), "berth-snapshots-"));
  const state = openState(join(root, "berth.db"), migrations);
  return {
    root,
    state,
    snapshots: openSnapshots({ state, root }),
    dirs: () => (existsSync(join(root, "snapshots")) ? readdirSync(join(root, "snapshots")).sort() : []),
    [Symbol.dispose]() {
      state[Symbol.dispose]();
      rmSync(root, { recursive: true });
    },
  };
}

test("planMount: bind without lowers, overlay with them in their order", () => {
  assert.deepEqual(planMount("/s/1/fs", "/s/1/work", []), {
    type: "bind",
    source: "/s/1/fs",
    options: ["rbind", "rw"],
  });
  assert.deepEqual(planMount("/s/3/fs", "/s/3/work", ["/s/2/fs", "/s/1/fs"]), {
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
  assert.equal(s.snapshots.prepare("box", id("c")).options[0], `lowerdir=${fs(3)}:${fs(2)}:${fs(1)}`);
});

test("commitLayer: when apply fails, neither row nor directory stays, and it may be tried again", async () => {
  using s = scratch();
  const apply = (): Promise<void> => Promise.reject(new Error("bad tar"));
  await assert.rejects(s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply }), /bad tar/);
  assert.deepEqual([s.snapshots.has(id("a")), s.dirs()], [false, []]);
  await s.snapshots.commitLayer({ chainId: id("a"), parent: undefined, apply: nothing });
  assert.ok(s.snapshots.has(id("a")));
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
  assert.deepEqual(s.snapshots.prepare("x", id("a")), s.snapshots.prepare("x", id("a")));
  assert.equal(s.snapshots.prepare("y", undefined).type, "bind");
  assert.throws(
    () => s.snapshots.prepare("z", id("f")),
    (e) => isCode(e, "FailedPrecondition"),
  );
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
  s.snapshots.prepare("box", id("b"));
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
  const dir = s.snapshots.prepare("box", undefined).source;
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
    const snapshots = openSnapshots({ state, root: ${JSON.stringify(s.root)} });
    await snapshots.commitLayer({ chainId: ${JSON.stringify(id("b"))}, parent: ${JSON.stringify(id("a"))},
      apply: async () => { console.log("begun"); await new Promise((r) => setTimeout(r, 60000)); } });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: import.meta.dirname,
  });
  await once(child.stdout, "data");
  await s.snapshots.recover();
  assert.deepEqual(s.dirs(), ["1", "2"]);
  assert.throws(
    () => s.snapshots.prepare("box", id("b")),
    (e) => isCode(e, "FailedPrecondition"),
  );
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
      () => openSnapshots({ state: s.state, root }),
      (e) => isCode(e, "InvalidArgument"),
    );
  }
});
