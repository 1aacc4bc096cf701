/** Berth as root of a user namespace: layers, containers and what the kernel refuses there. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { busyboxLayout, changeEverything, derive } from "./fixtures.ts";
import { ok, probe, Store, until } from "./harness.ts";

const skip = probe("umoci", "unshare", "nsenter");
const dir = mkdtempSync(join(tmpdir(), "berth-inside-"));
const N = ["--network", "none"];
let layout = "";
let holder: ChildProcess | undefined;

before(async () => {
  if (skip) return;
  layout = busyboxLayout(dir);
  derive(layout, "busybox", "changed", (root) => {
    changeEverything(root);
    spawnSync("mknod", [join(root, "dev-null"), "c", "1", "3"]);
    spawnSync("chown", ["33:50", join(root, "www/new")]);
  });
  holder = spawn("unshare", ["--user", "--mount", "sleep", "600"], { stdio: "ignore" });
  const { pid } = holder;
  await until("unshare", () =>
    spawnSync("readlink", [`/proc/${pid}/exe`])
      .stdout.toString()
      .includes("sleep"),
  );
  for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${pid}/${map}`, "0 0 65536\n");
});

after(() => {
  holder?.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => void | Promise<void>, why: string | false = skip): void =>
  void test(name, { skip: why, timeout: 180_000 }, body);

function inside(env: NodeJS.ProcessEnv = {}): Store {
  const enter = ["nsenter", "--target", String(holder?.pid), "--user", "--mount", "-S", "0", "-G", "0", "--"];
  const store = new Store(env, enter);
  ok(store.berth("load", "-q", "-i", layout));
  return store;
}

for (const way of ["overlayfs", "fuse-overlayfs", "native"]) {
  const why = skip || (way === "fuse-overlayfs" ? probe("fuse-overlayfs") : false);
  const look =
    "ls /www; test -e /etc/removed || echo gone; stat -c %u:%g /www/new; test -e /dev-null || echo no device";
  t(
    `${way} in a user namespace: whiteouts, owners, no device nodes, and what is written`,
    async () => {
      await using store = inside({ BERTH_SNAPSHOTTER: way });
      assert.equal(ok(store.berth("info", "-f", "{{.Driver}}")), `${way}\n`);
      assert.equal(ok(store.berth("run", "--rm", ...N, "changed", "sh", "-c", look)), "new\ngone\n33:50\nno device\n");
      const write = "rm -r /www && mkdir /www && echo x >/www/own && rm -f /bin/cat && ls /www";
      assert.equal(ok(store.berth("run", "--name", "kept", ...N, "changed", "sh", "-c", write)), "own\n");
      ok(store.berth("start", "kept"));
      assert.equal(ok(store.berth("wait", "kept")), "0\n");
      assert.equal(ok(store.berth("run", "--rm", ...N, "changed", "ls", "/www")), "new\n");
    },
    why,
  );
}

t("a container's life in a user namespace: its ids, exec, stop and rm", async () => {
  await using store = inside();
  const id = ok(store.berth("run", "-d", "--name", "one", ...N, "-v", "data:/data", "changed", "sleep", "600")).trim();
  assert.match(ok(store.berth("exec", "one", "cat", "/proc/self/uid_map")), /^\s*0\s+0\s+65536\s*$/);
  assert.equal(ok(store.berth("exec", "-u", "33", "one", "id", "-u")), "33\n");
  ok(store.berth("exec", "one", "sh", "-c", "echo x >/data/x && chown 33 /data/x"));
  assert.match(ok(store.berth("ps")), new RegExp(`^${id.slice(0, 12)} `, "m"));
  ok(store.berth("stop", "-t", "1", "one"));
  assert.match(ok(store.berth("ps", "-a", "--format", "{{.Status}}")), /^Exited \(137\)/);
  ok(store.berth("rm", "one"));
  const look = ["run", "--rm", ...N, "-v", "data:/data", "changed", "stat", "-c", "%u", "/data/x"];
  assert.equal(ok(store.berth(...look)), "33\n");
});

t(
  "a bridge network in a user namespace is refused with the way out, and nothing is left of the container",
  async () => {
    await using store = inside();
    const refused = store.berth("run", "--rm", "changed", "true");
    assert.equal(refused.code, 125);
    assert.match(refused.err, /--network none or host/);
    assert.equal(ok(store.berth("ps", "-aq")), "");
    assert.match(ok(store.berth("run", "--rm", "--network", "host", "changed", "echo", "here")), /^here$/m);
  },
);
