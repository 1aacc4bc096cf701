import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { KEEL, keel, skip, sleeping, state, stateRoot } from "./harness.ts";

const UNIFIED = existsSync("/sys/fs/cgroup/cgroup.controllers");

/** What a file of the container's cgroup holds: `v1` is `controller/file`. */
function limit(id: string, v1: string, v2: string): string {
  const lines = readFileSync(`/proc/${state(id).pid}/cgroup`, "utf8").split("\n");
  if (UNIFIED) return read(`/sys/fs/cgroup${lines.find((line) => line.startsWith("0::"))?.slice(3)}/${v2}`);
  const [controller = "", file = ""] = v1.split("/");
  const own = lines.find((line) => line.split(":")[1]?.split(",").includes(controller))?.split(":")[2];
  return read(`/sys/fs/cgroup/${controller}${own}/${file}`);
}

const read = (path: string): string => readFileSync(path, "utf8").trim();
const memory = (id: string): string => limit(id, "memory/memory.limit_in_bytes", "memory.max");
const pids = (id: string): string => limit(id, "pids/pids.max", "pids.max");

test("update: flags change one limit each and leave the others", { skip }, () => {
  const { id } = sleeping((spec) => {
    spec.linux.resources.memory = { limit: 64 << 20 };
    spec.linux.resources.pids = { limit: 100 };
  });
  assert.equal(keel("update", "--memory", "32M", id).code, 0);
  assert.deepEqual([memory(id), pids(id)], [String(32 << 20), "100"]);
  assert.equal(keel("update", "--pids-limit", "55", "--cpu-quota", "50000", "--cpu-period", "100000", id).code, 0);
  assert.deepEqual([memory(id), pids(id)], [String(32 << 20), "55"]);
  const quota = limit(id, "cpu/cpu.cfs_quota_us", "cpu.max");
  assert.equal(quota, UNIFIED ? "50000 100000" : "50000");
  assert.equal(keel("update", "--pids-limit", "-1", id).code, 0);
  assert.equal(pids(id), "max");
});

test("update: memory and swap grow and shrink together, whatever order the kernel wants", { skip }, () => {
  const { id } = sleeping((spec) => {
    spec.linux.resources.memory = { limit: 32 << 20, swap: 32 << 20 };
  });
  for (const size of ["128M", "24M", "96M"]) {
    const told = keel("update", "--memory", size, "--memory-swap", size, id);
    assert.equal(told.code, 0, told.err);
    assert.equal(memory(id), String(Number.parseInt(size, 10) << 20));
  }
});

test("update: resources from a file and from stdin, and the next update begins with them", { skip }, (t) => {
  const { id, dir } = sleeping();
  const file = join(dir, "resources.json");
  writeFileSync(file, JSON.stringify({ memory: { limit: 40 << 20 }, pids: { limit: 77 } }));
  assert.equal(keel("update", "-r", file, id).code, 0);
  assert.deepEqual([memory(id), pids(id)], [String(40 << 20), "77"]);
  t.assert.equal(JSON.parse(readFileSync(join(stateRoot, id, "config.json"), "utf8")).linux.resources.pids.limit, 77);
  const child = spawn(KEEL, ["--root", stateRoot, "update", "--resources=-", id], {
    stdio: ["pipe", "inherit", "inherit"],
  });
  child.stdin.end(JSON.stringify({ pids: { limit: 78 }, memory: null }));
  return new Promise<void>((resolve, reject) => {
    child.on("exit", (code) => {
      try {
        assert.equal(code, 0);
        assert.deepEqual([memory(id), pids(id)], [String(40 << 20), "78"]);
        resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
});

test("update: what the kernel refuses takes back what was written before it", { skip }, () => {
  const { id } = sleeping((spec) => {
    spec.linux.resources.memory = { limit: 64 << 20 };
    spec.linux.resources.cpu = { shares: 512 };
  });
  const shares = (): string => limit(id, "cpu/cpu.shares", "cpu.weight");
  const before = shares();
  const told = keel("update", "--cpu-share", "2048", "--cpuset-cpus", "4000", id);
  assert.equal(told.code, 1);
  assert.match(told.err, /apply linux\.resources\.cpu\.cpus: write "4000"/);
  assert.equal(shares(), before);
});

test("update: bad values and stopped containers are told before anything changes", { skip }, () => {
  const { id, dir } = sleeping();
  assert.match(keel("update", "--memory", "lots", id).err, /--memory: must be a whole number/);
  const file = join(dir, "resources.json");
  writeFileSync(file, "{");
  assert.match(keel("update", "-r", file, id).err, /parse resources/);
  assert.match(keel("update", "--blkio-weight", "5", id).err, /blockIO\.weight: must be from 10 to 1000/);
  assert.match(keel("update", "--pids-limit", "5", "nothing").err, /container does not exist/);
  keel("kill", id, "KILL");
  while (state(id).status !== "stopped");
  assert.match(keel("update", "--pids-limit", "5", id).err, /container not running/);
});

test("update: checkBeforeUpdate refuses a limit below what is in use", { skip }, () => {
  const { id, dir } = sleeping((spec) => {
    spec.linux.resources.memory = { limit: 64 << 20, checkBeforeUpdate: true };
  });
  const file = join(dir, "resources.json");
  writeFileSync(file, JSON.stringify({ memory: { limit: 4096 } }));
  assert.match(keel("update", "-r", file, id).err, /the container uses \d+ bytes/);
  assert.equal(memory(id), String(64 << 20));
});

test("update: new device rules take the place of the old ones", { skip }, () => {
  const { id, dir } = sleeping((spec) => {
    spec.process.capabilities = undefined;
  });
  const open = (): number =>
    keel("exec", id, "sh", "-c", "rm -f /tmp/kmsg; mknod /tmp/kmsg c 1 11; : < /tmp/kmsg").code;
  assert.notEqual(open(), 0);
  const file = join(dir, "resources.json");
  const rules = [
    { allow: false, access: "rwm" },
    { allow: true, type: "c", major: 1, minor: 11, access: "rwm" },
  ];
  writeFileSync(file, JSON.stringify({ devices: rules }));
  const told = keel("update", "-r", file, id);
  assert.equal(told.code, 0, told.err);
  assert.equal(open(), 0);
  writeFileSync(file, JSON.stringify({ devices: rules.slice(0, 1) }));
  assert.equal(keel("update", "-r", file, id).code, 0);
  assert.notEqual(open(), 0);
  assert.equal(keel("exec", id, "sh", "-c", ": < /dev/null").code, 0);
});

test("events --stats: what the container uses, in runc's shape", { skip }, () => {
  const { id } = sleeping((spec) => {
    spec.linux.resources.memory = { limit: 64 << 20 };
    spec.linux.resources.pids = { limit: 100 };
  });
  const told = keel("events", "--stats", id);
  assert.equal(told.code, 0, told.err);
  const event = JSON.parse(told.out);
  assert.deepEqual([event.type, event.id], ["stats", id]);
  assert.equal(event.data.memory.usage.limit, 64 << 20);
  assert.ok(event.data.memory.usage.usage > 0);
  assert.deepEqual(event.data.pids, { current: 1, limit: 100 });
  assert.ok(event.data.cpu.usage.total > 0);
  assert.match(keel("events", "--stats", "nothing").err, /container does not exist/);
  assert.match(keel("events", "--interval", "0s", id).err, /interval must be greater than 0/);
});

test("events: tells of a kill for lack of memory, and ends with the container", { skip, timeout: 20_000 }, async () => {
  const { id } = sleeping((spec) => {
    spec.linux.resources.memory = { limit: 16 << 20, swap: 16 << 20 };
  });
  const child = spawn(KEEL, ["--root", stateRoot, "events", "--interval", "100ms", id]);
  let text = "";
  child.stdout.on("data", (data) => {
    text += data;
  });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  while (!text.includes('"stats"')) await new Promise((resolve) => setTimeout(resolve, 20));
  keel("exec", id, "sh", "-c", "x=$(head -c 100000000 /dev/zero | tr '\\0' x)");
  while (!text.includes('"oom"')) await new Promise((resolve) => setTimeout(resolve, 20));
  keel("kill", id, "KILL");
  assert.equal(await ended, 0);
});
