import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { busyboxLayout, changeEverything, derive } from "./fixtures.ts";
import { BERTH, mounts, ok, probe, Store, sleep } from "./harness.ts";

const skip = probe("umoci");
const dir = mkdtempSync(join(tmpdir(), "berth-mount-"));
let layout = "";

before(() => {
  if (skip) return;
  layout = busyboxLayout(dir);
  derive(layout, "busybox", "changed", changeEverything);
});

after(() => rmSync(dir, { recursive: true, force: true }));

const t = (name: string, body: () => void | Promise<void>, why: string | false = skip): void =>
  void test(name, { skip: why, timeout: 180_000 }, body);

const loaded = (env?: NodeJS.ProcessEnv): Store => Store.with(layout, env);

/** What the store has outside of its database: snapshots, mount points, mounts. */
function traces(store: Store): readonly string[] {
  const list = (path: string): readonly string[] => (existsSync(path) ? readdirSync(path) : []);
  const numbers = list(join(store.dir, "data/snapshots")).filter((name) => /^\d+$/.test(name));
  const own = mounts()
    .split("\n")
    .filter((line) => line.includes(store.dir));
  return [`${numbers.length} snapshots`, ...list(join(store.dir, "run/images")), ...own];
}

t("image diff: what the top layer adds, changes and deletes, as podman tells it", async () => {
  await using store = loaded();
  const lines = ok(store.berth("image", "diff", "changed"))
    .trim()
    .split("\n");
  for (const line of [
    "A /bin/su-busybox",
    "A /etc/abs",
    "A /etc/passwd-link",
    "A /www/new",
    "C /bin",
    "C /etc",
    "D /etc/removed",
    "D /www/index.html",
  ])
    assert.ok(lines.includes(line), `${line} in ${lines.join(", ")}`);
  assert.ok(!lines.some((line) => / \/(tmp|bin\/sh)$/.test(line)), lines.join());
  const json = JSON.parse(ok(store.berth("image", "diff", "--format", "json", "changed"))) as Record<string, string[]>;
  assert.deepEqual(json["deleted"], ["/etc/removed", "/www/index.html"]);
  assert.ok(json["added"]?.includes("/www/new") && json["changed"]?.includes("/etc"));
  const first = JSON.parse(ok(store.berth("image", "diff", "--format", "json", "busybox"))) as Record<string, string[]>;
  assert.deepEqual(Object.keys(first), ["added"], "what is below the first layer is nothing");
  assert.equal(store.berth("image", "diff", "nosuch").code, 1);
});

for (const way of ["overlayfs", "native"]) {
  t(`image mount with ${way}: shown read-only, listed, kept from removal, and gone without a trace`, async () => {
    await using store = loaded({ BERTH_SNAPSHOTTER: way });
    const before = traces(store);
    const path = ok(store.berth("image", "mount", "changed")).trim();
    assert.equal(readFileSync(join(path, "www/new"), "utf8"), "new\n");
    assert.ok(!existsSync(join(path, "etc/removed")));
    assert.equal(statSync(join(path, "bin/su-busybox")).mode & 0o7777, 0o4755);
    assert.throws(() => writeFileSync(join(path, "x"), ""), /EROFS/);
    assert.equal(ok(store.berth("image", "mount", "changed")).trim(), path, "a second time it is the same");
    assert.match(ok(store.berth("image", "mount")), new RegExp(`^\\S*changed:?\\S* ${path}\n$`));
    const [row] = JSON.parse(ok(store.berth("image", "mount", "--format", "json"))) as {
      mountpoint: string;
      id: string;
    }[];
    assert.equal(row?.mountpoint, path);
    for (const force of [[], ["-f"]]) {
      const refused = store.berth("rmi", ...force, "changed");
      assert.equal(refused.code, 1);
      assert.match(
        refused.err,
        /remove image changed: it is mounted\nhint: unmount it first: berth image unmount changed/,
      );
    }
    ok(store.berth("image", "prune", "-a", "-f"));
    assert.equal(readFileSync(join(path, "www/new"), "utf8"), "new\n", "prune leaves it");
    assert.match(ok(store.berth("image", "unmount", "changed")), new RegExp(`^${row?.id}\n$`));
    assert.equal(existsSync(path), false);
    const again = store.berth("image", "unmount", "changed");
    assert.match(again.err, /unmount image changed: it is not mounted/);
    assert.equal(ok(store.berth("image", "mount")), "");
    ok(store.berth("load", "-q", "-i", layout));
    assert.deepEqual(traces(store), before);
    assert.equal(
      ok(store.berth("image", "mount", "--all"))
        .trim()
        .split("\n").length,
      2,
    );
    ok(store.berth("image", "unmount", "--all"));
    ok(store.berth("rmi", "changed", "busybox"));
    assert.deepEqual(traces(store), ["0 snapshots"]);
  });
}

t(
  "image mount: after a reboot, or umount by hand, the image is not mounted, and can be mounted again or removed",
  async () => {
    await using store = loaded();
    const before = traces(store);
    for (const how of ["mount", "rmi"]) {
      const path = ok(store.berth("image", "mount", "changed")).trim();
      assert.equal(spawnSync("umount", [path]).status, 0);
      if (how === "mount") {
        assert.equal(ok(store.berth("image", "mount")), "");
        assert.deepEqual(traces(store), before);
      } else ok(store.berth("rmi", "changed"));
    }
    assert.ok(!mounts().includes(store.dir));
  },
);

for (const way of ["overlayfs", "native"]) {
  t(`kill -9 of image mount and unmount with ${way}: the next command finds a whole mount or none`, async () => {
    await using store = loaded({ BERTH_SNAPSHOTTER: way });
    const before = traces(store);
    const killed = async (ms: number, ...args: readonly string[]): Promise<void> => {
      const child = spawn(BERTH, args, { env: store.env, stdio: "ignore" });
      await sleep(ms);
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null)
        await new Promise((resolve) => child.on("close", resolve));
    };
    for (let round = 0; round < 12; round++) {
      await killed(30 + round * 8, "image", round % 3 === 2 ? "unmount" : "mount", "changed");
      const listed = ok(store.berth("image", "mount"));
      const path = listed.trim().split(" ")[1];
      if (path === undefined) assert.deepEqual(traces(store), before, `round ${round}`);
      else assert.equal(readFileSync(join(path, "www/new"), "utf8"), "new\n", `round ${round}`);
    }
    ok(store.berth("image", "mount", "changed"));
    ok(store.berth("image", "unmount", "changed"));
    assert.deepEqual(traces(store), before);
    assert.match(ok(store.berth("system", "check")), /no problems|0 problems/i);
  });
}
