import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { busyboxLayout, changeEverything, deepen, derive } from "./fixtures.ts";
import { BERTH, mounts, ok, probe, Store, sleep, tool, until } from "./harness.ts";

const skip = probe("umoci");
const dir = mkdtempSync(join(tmpdir(), "berth-ways-"));
const N = ["--network", "none"];
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

/** Why fuse-overlayfs cannot be tested, or false. */
const noFuse = ((): string | false => {
  const missing = probe("fuse-overlayfs", "umoci");
  return missing || (spawnSync("test", ["-c", "/dev/fuse"]).status === 0 ? false : "needs /dev/fuse");
})();

const numbers = (store: Store): readonly string[] =>
  readdirSync(join(store.dir, "data/snapshots")).filter((name) => /^\d+$/.test(name));

for (const way of ["overlayfs", "fuse-overlayfs", "native"]) {
  const why = way === "fuse-overlayfs" ? noFuse : skip;
  t(
    `${way}: layers are shown whole, a container keeps what it wrote, and nothing stays of it`,
    async () => {
      await using store = loaded({ BERTH_SNAPSHOTTER: way });
      const layers = numbers(store).length;
      const look =
        "ls /www; test -e /etc/removed || echo gone; stat -c %a /bin/su-busybox; cat /etc/passwd-link | head -1";
      const seen = ok(store.berth("run", "--rm", ...N, "changed", "sh", "-c", look));
      assert.equal(seen, "new\ngone\n4755\nroot:x:0:0:root:/root:/bin/sh\n");
      const write = "id -u; echo first >>/tmp/mine; rm -f /tmp/none; mkdir -p /tmp/d; cat /tmp/mine";
      const args = ["--name", "box", "-u", "www", ...N, "changed", "sh", "-c", write];
      assert.equal(ok(store.berth("run", ...args)), "33\nfirst\n");
      assert.equal(ok(store.berth("start", "-a", "box")), "33\nfirst\nfirst\n");
      ok(store.berth("export", "-o", join(store.dir, "box.tar"), "box"));
      assert.equal(tool("tar", "-xOf", join(store.dir, "box.tar"), "tmp/mine"), "first\nfirst\n");
      const { Driver } = JSON.parse(ok(store.berth("info", "-f", "json"))) as { Driver: string };
      assert.equal(Driver, way);
      assert.match(ok(store.berth("info")), new RegExp(`^Storage Driver: ${way}\n Reason: asked for by the conf`, "m"));
      // A container is shown as it was made, whatever is asked for later.
      const other = { ...store.env, BERTH_SNAPSHOTTER: way === "native" ? "overlayfs" : "native" };
      const again = spawnSync(join(import.meta.dirname, "../../berth"), ["start", "-a", "box"], { env: other });
      assert.equal(again.stdout.toString(), "33\nfirst\nfirst\nfirst\n", again.stderr.toString());
      ok(store.berth("rm", "box"));
      assert.equal(numbers(store).length, layers);
      await until("the mounts to go", () => !mounts().includes(store.dir));
    },
    why,
  );
}

t("a data root on overlayfs: what cannot work says so with its code, what can is chosen and told", async () => {
  const base = mkdtempSync(join(dir, "on-"));
  for (const name of ["l", "l2", "u", "w", "m"]) mkdirSync(join(base, name));
  const options = `lowerdir=${base}/l:${base}/l2,upperdir=${base}/u,workdir=${base}/w`;
  tool("mount", "-t", "overlay", "-o", options, "overlay", `${base}/m`);
  try {
    await using store = new Store();
    const here = ["--root", `${base}/m/data`];
    ok(store.berth(...here, "load", "-q", "-i", layout));
    const forced = store.berth(
      ...here,
      "--debug",
      "--snapshotter",
      "overlayfs",
      "run",
      "--rm",
      ...N,
      "changed",
      "true",
    );
    assert.equal(forced.code, 125);
    assert.match(forced.err, /use snapshotter overlayfs: the file system takes no whiteouts/);
    assert.match(forced.err, /hint: leave the choice to Berth .*native, which works everywhere/);
    assert.match(forced.err, /\[FailedPrecondition\]/);
    const info = ok(store.berth(...here, "info"));
    assert.match(
      info,
      /^Storage Driver: (fuse-overlayfs|native)\n Reason: overlayfs does not work: the file system takes/m,
    );
    assert.equal(ok(store.berth(...here, "run", "--rm", ...N, "changed", "cat", "/www/new")), "new\n");
    const look = "ls /www; test -e /etc/removed || echo gone";
    for (const way of ["fuse-overlayfs", "native"]) {
      if (way === "fuse-overlayfs" && noFuse) continue;
      const seen = store.berth(...here, "--snapshotter", way, "run", "--rm", ...N, "changed", "sh", "-c", look);
      assert.equal(ok(seen), "new\ngone\n", "layers are whole where the file system takes no whiteouts");
    }
    assert.match(ok(store.berth(...here, "image", "diff", "changed")), /^D \/etc\/removed$/m);
    // No program: the last resort.
    const env = { ...store.env, PATH: join(base, "none"), BERTH_ROOT: `${base}/m/data` };
    const cli = [join(import.meta.dirname, "../../dist/berth.cjs"), "info", "-f", "{{.Driver}}"];
    const native = spawnSync(process.execPath, cli, { env, encoding: "utf8" });
    assert.equal(native.stdout, "native\n", native.stderr);
  } finally {
    tool("umount", `${base}/m`);
  }
});

t("a container with --rm writes nothing back to the disk, one that stays does", async () => {
  await using store = loaded();
  const options = (name: string): string =>
    mounts()
      .split("\n")
      .find((line) => line.includes(`/${name.slice(0, 32)}/`)) ?? "";
  for (const [flags, volatile] of [
    [["--rm"], true],
    [[], false],
  ] as const) {
    const id = ok(store.berth("run", "-d", ...flags, ...N, "changed", "sleep", "60")).trim();
    assert.equal(/[,=]volatile/.test(options(id)), volatile, options(id));
    assert.match(options(id), /- overlay /);
    ok(store.berth("rm", "-f", id));
  }
});

t(
  "kill -9 of run while native copies the image: nothing stays of the container, and the next one is whole",
  async () => {
    await using store = loaded({ BERTH_SNAPSHOTTER: "native" });
    const layers = numbers(store).length;
    for (let round = 0; round < 10; round++) {
      const child = spawn(BERTH, ["run", "--rm", ...N, "changed", "true"], { env: store.env, stdio: "ignore" });
      await sleep(40 + round * 10);
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null)
        await new Promise((resolve) => child.on("close", resolve));
    }
    assert.equal(ok(store.berth("run", "--rm", ...N, "changed", "cat", "/www/new")), "new\n");
    await until("the containers to go", () => ok(store.berth("ps", "-aq")) === "");
    await until("the copies to go", () => numbers(store).length === layers);
    assert.ok(!mounts().includes(store.dir));
  },
);

t("an image of 150 layers and one of 499 run; one of more than 500 is refused", async () => {
  await using store = new Store();
  for (const count of [150, 499]) {
    deepen(layout, "busybox", `deep${count}`, count - 1);
    ok(store.berthWith({ timeout: 170_000 }, "load", "-q", "-i", layoutOf(`deep${count}`)));
    const script = `ls /deep | wc -l; cat /deep/${count - 2} /top; echo x >/top; cat /top`;
    const out = ok(store.berth("run", "--rm", ...N, `deep${count}`, "sh", "-c", script));
    assert.equal(out, `${count - 1}\n${count - 2}\n${count - 2}\nx\n`);
  }
  deepen(layout, "busybox", "deeper", 500);
  const refused = store.berth("load", "-q", "-i", layoutOf("deeper"));
  assert.notEqual(refused.code, 0);
  assert.match(refused.err, /500/);
});

/** A layout with that image alone. */
function layoutOf(name: string): string {
  const alone = join(dir, `alone-${name}`);
  mkdirSync(alone, { recursive: true });
  spawnSync("cp", ["-al", `${layout}/.`, alone]);
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
    manifests: { annotations?: Record<string, string> }[];
  };
  index.manifests = index.manifests.filter((one) => one.annotations?.["org.opencontainers.image.ref.name"] === name);
  rmSync(join(alone, "index.json"));
  writeFileSync(join(alone, "index.json"), JSON.stringify(index));
  return alone;
}
