import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { helloSkip, mounts, probe, Store, until } from "./harness.ts";

const skip = probe() || helloSkip();
const IMAGE = "berth.local/hello";
let store: Store;

before(() => {
  if (!skip) store = new Store();
});

after(async () => {
  if (!skip) await store[Symbol.asyncDispose]();
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 60_000 }, body);
const detached = (name: string, ...rest: readonly string[]): string =>
  store.berth("run", "-d", "--name", name, "--network", "none", ...rest).out.trim();

t("the hello image says what isolation is in use", () => {
  const ran = store.berth("run", "--rm", "--network", "none", IMAGE);
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /Hello from a container[\s\S]*capabilities +14 of[\s\S]*seccomp +on[\s\S]*time +\d+\.\d ms/);
});

t("--init: process 1 reaps orphans, passes signals on and returns the program's code", () => {
  detached("init", "--init", IMAGE, "sh", "-c", "trap 'exit 9' TERM; (sleep 0.1 &) ; while :; do sleep 0.1; done");
  const zombies = store.berth("exec", "init", "sh", "-c", "sleep 0.5; cat /proc/[0-9]*/stat | grep -c ') Z '");
  assert.equal(zombies.out, "0\n");
  assert.match(store.berth("exec", "init", "cat", "/proc/1/cmdline").out, /init/);
  assert.equal(store.berth("stop", "init").code, 0);
  assert.equal(store.berth("wait", "init").out, "9\n");
  store.berth("rm", "init");
});

t("restart: the same container, with the files it wrote, in a new process", () => {
  detached("again", IMAGE, "sh", "-c", "echo run >>/runs; wc -l </runs; sleep 1000");
  const pid = (): number => JSON.parse(store.berth("inspect", "again").out)[0].State.Pid;
  const first = pid();
  assert.equal(store.berth("restart", "-t", "0", "again").out, "again\n");
  assert.notEqual(pid(), first);
  assert.equal(store.berth("logs", "again").out, "1\n2\n");
  store.berth("rm", "-f", "again");
});

t("kill: a signal by name or number, and what does not run is told", async () => {
  detached("target", IMAGE, "sh", "-c", "trap 'echo got' USR1; echo up; while :; do sleep 0.05; done");
  await until("the trap", () => store.berth("logs", "target").out === "up\n");
  assert.equal(store.berth("kill", "-s", "USR1", "target").out, "target\n");
  await until("the signal", () => store.berth("logs", "target").out === "up\ngot\n");
  assert.equal(store.berth("kill", "target").code, 0);
  assert.equal(store.berth("wait", "target").out, "137\n");
  const late = store.berth("kill", "target");
  assert.equal(late.code, 1);
  assert.match(late.err, /not running/);
  store.berth("rm", "target");
});

t("logs -f: follows to the end of the container, tail and timestamps as docker's", async () => {
  detached("talk", IMAGE, "sh", "-c", "echo one; echo two; sleep 0.5; echo three");
  const following = store.spawn("logs", "-f", "--tail", "1", "talk");
  let out = "";
  following.stdout?.on("data", (chunk) => {
    out += String(chunk);
  });
  await once(following, "close");
  assert.match(out, /three\n$/);
  assert.match(store.berth("logs", "-t", "--tail", "1", "talk").out, /^\d{4}-\d\d-\d\dT[\d:.]+Z three\n$/);
  store.berth("rm", "talk");
});

t("a monitor that is killed: the container is told as ended, and can be removed", async () => {
  detached("orphan", IMAGE, "sleep", "1000");
  const [id = ""] = store.berth("ps", "-q", "--no-trunc").out.split("\n");
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    let command = "";
    try {
      command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      continue;
    }
    if (command.includes("\0monitor\0") && command.includes(id.slice(0, 32))) process.kill(Number(pid), "SIGKILL");
  }
  assert.equal(store.berth("rm", "-f", "orphan").code, 0);
  assert.equal(store.berth("ps", "-aq").out, "");
  await until("the mounts to go", () => !mounts().includes(store.dir));
});

t("a reboot: what ran is told as ended with 255, and starts again", async () => {
  detached("survivor", IMAGE, "sleep", "1000");
  const pid: number = JSON.parse(store.berth("inspect", "survivor").out)[0].State.Pid;
  const parent = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  // What a power cut does: monitor and container are gone at once, and so is /run.
  process.kill(parent, "SIGKILL");
  process.kill(pid, "SIGKILL");
  await until("the container to go", () => !readdirSync("/proc").includes(String(pid)));
  const { spawnSync } = await import("node:child_process");
  for (const line of mounts().split("\n")) {
    const target = line.split(" ")[4] ?? "";
    if (target.startsWith(store.dir)) spawnSync("umount", ["-l", target]);
  }
  rmSync(join(store.dir, "run"), { recursive: true, force: true });
  assert.match(store.berth("ps", "-a").out, /Exited \(255\)/);
  assert.equal(store.berth("start", "survivor").out, "survivor\n");
  assert.match(store.berth("ps").out, /survivor/);
  store.berth("rm", "-f", "survivor");
});
