import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { busyboxLayout, changeEverything, derive } from "./fixtures.ts";
import { BERTH, mounts, probe, Store, sleep, until } from "./harness.ts";
import { Registry } from "./registry.ts";

const skip = probe("docker-registry", "skopeo", "umoci");
const dir = mkdtempSync(join(tmpdir(), "berth-crash-"));
let registry: Registry;
let image = "";

before(async () => {
  if (skip) return;
  const layout = busyboxLayout(dir);
  derive(layout, "busybox", "changed", changeEverything);
  registry = await Registry.start();
  image = registry.fill(`oci:${layout}:changed`, "test/changed:1");
});

after(async () => {
  if (skip) return;
  await registry[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

/** Starts berth and kills it with its whole session after `ms`. */
async function killAfter(store: Store, ms: number, ...args: readonly string[]): Promise<void> {
  const child = spawn(BERTH, args, { env: store.env, stdio: "ignore" });
  await sleep(ms);
  child.kill("SIGKILL");
  await new Promise((resolve) =>
    child.exitCode !== null || child.signalCode !== null ? resolve(0) : child.on("close", resolve),
  );
}

const check = "ls /www; test -e /etc/removed || echo gone; stat -c %a /bin/su-busybox";

test("kill -9 of the CLI during pull and unpack: the next run works and sees whole layers", {
  skip,
  timeout: 300_000,
}, async () => {
  await using store = new Store();
  for (let round = 0; round < 12; round++) {
    await killAfter(store, 40 + round * 15, "pull", image);
    if (round % 3 === 2) {
      const ran = store.berth("run", "--rm", "--network", "none", image, "sh", "-c", check);
      assert.equal(ran.out, "new\ngone\n4755\n", ran.err);
      assert.equal(store.berth("rmi", image).code, 0);
    }
  }
});

test("kill -9 of the CLI during run: whatever is left can be listed and removed, and a next run works", {
  skip,
  timeout: 300_000,
}, async () => {
  await using store = new Store();
  store.berth("pull", "-q", image);
  for (let round = 0; round < 15; round++)
    await killAfter(store, 30 + round * 8, "run", "--rm", "--network", "none", image, "sleep", "0.05");
  assert.equal(store.berth("run", "--rm", "--network", "none", image, "sh", "-c", check).out, "new\ngone\n4755\n");
  await until("the containers with --rm to go", () => {
    const left = store.berth("ps", "-aq").out;
    return left === "";
  });
  await until("the mounts to go", () => !mounts().includes(store.dir));
});

test("kill -9 of the CLI while the container runs: it goes on, and its log and exit code are kept", {
  skip,
}, async () => {
  await using store = new Store();
  store.berth("pull", "-q", image);
  const child = spawn(
    BERTH,
    ["run", "--name", "survivor", "--network", "none", image, "sh", "-c", "echo before; sleep 1; echo after; exit 9"],
    { env: store.env, stdio: "ignore" },
  );
  await until("the container to run", () => store.berth("logs", "survivor").out.includes("before"));
  child.kill("SIGKILL");
  assert.equal(store.berth("wait", "survivor").out, "9\n");
  assert.equal(store.berth("logs", "survivor").out, "before\nafter\n");
  assert.match(store.berth("ps", "-a").out, /Exited \(9\)/);
});
