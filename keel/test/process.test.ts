import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { release } from "node:os";
import { test } from "node:test";
import { bundle, KEEL, keel, type Loose, sh, skip, sleeping, stateRoot } from "./harness.ts";

/** Field of /proc/self/sched or stat that shows what was asked for. */
const stat = (field: number): string => `cut -d' ' -f${field} /proc/self/stat`;

test("scheduler: policy, nice and priority are the program's", { skip }, () => {
  const policy = (scheduler: Loose, field: number) =>
    sh(stat(field), (spec) => {
      spec.process.scheduler = scheduler;
    });
  // fields of proc(5): 19 nice, 40 rt_priority, 41 policy
  assert.equal(policy({ policy: "SCHED_BATCH", nice: 7 }, 41).out.trim(), "3");
  assert.equal(policy({ policy: "SCHED_OTHER", nice: 7 }, 19).out.trim(), "7");
  assert.equal(policy({ policy: "SCHED_IDLE" }, 41).out.trim(), "5");
  const fifo = policy({ policy: "SCHED_FIFO", priority: 11, flags: ["SCHED_FLAG_RESET_ON_FORK"] }, 40);
  // cgroup v1 kernels with realtime groups refuse it while the group has no runtime
  if (fifo.code === 0) assert.equal(fifo.out.trim(), "11");
  else assert.match(fifo.err, /apply process\.scheduler: operation not permitted \(.*cpu\.rt_runtime_us/);
});

test("scheduler: what does not go together is told with its field", { skip }, () => {
  const told = (scheduler: Loose) =>
    sh("true", (spec) => {
      spec.process.scheduler = scheduler;
    }).err;
  assert.match(told({ policy: "SCHED_NICE" }), /process\.scheduler\.policy: must be one of SCHED_OTHER, /);
  assert.match(told({ policy: "constructor" }), /process\.scheduler\.policy: must be one of/);
  assert.match(told({ policy: "SCHED_OTHER", priority: 3 }), /process\.scheduler\.priority: goes with SCHED_FIFO/);
  assert.match(told({ policy: "SCHED_OTHER", nice: 30 }), /process\.scheduler\.nice: must be from -20 to 19/);
  assert.match(told({ policy: "SCHED_RR", runtime: 5 }), /process\.scheduler: runtime, deadline and period go with/);
});

test("ioPriority: class and level are the program's, in exec as well", { skip }, () => {
  const ionice = "ionice -p $$";
  const run = sh(ionice, (spec) => {
    spec.process.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 3 };
  });
  assert.equal(run.out.trim(), "best-effort: prio 3");
  const idle = sh(ionice, (spec) => {
    spec.process.ioPriority = { class: "IOPRIO_CLASS_IDLE" };
  });
  assert.match(idle.out, /^idle/);
  const bad = sh("true", (spec) => {
    spec.process.ioPriority = { class: "IOPRIO_CLASS_BE", priority: 9 };
  });
  assert.match(bad.err, /process\.ioPriority\.priority: must be from 0 to 7, is 9/);
});

test("personality: a 32-bit domain shows in uname", {
  skip: skip || (process.arch !== "x64" && "needs x86_64"),
}, () => {
  const run = sh("uname -m", (spec) => {
    spec.linux.personality = { domain: "LINUX32" };
  });
  assert.equal(run.out.trim(), "i686");
  const bad = sh("true", (spec) => {
    spec.linux.personality = { domain: "BSD" };
  });
  assert.match(bad.err, /linux\.personality\.domain: must be one of LINUX, LINUX32, is "BSD"/);
});

const numa = existsSync("/proc/self/numa_maps") ? false : "needs a kernel with CONFIG_NUMA";

test("memoryPolicy: shows in the program's numa_maps", { skip: skip || numa }, () => {
  const maps = (memoryPolicy: Loose) =>
    sh("head -n 1 /proc/self/numa_maps", (spec) => {
      spec.linux.memoryPolicy = memoryPolicy;
    });
  assert.match(maps({ mode: "MPOL_BIND", nodes: "0" }).out, / bind:0 /);
  assert.match(
    maps({ mode: "MPOL_INTERLEAVE", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] }).out,
    / interleave=static:0 /,
  );
  assert.match(maps({ mode: "MPOL_LOCAL" }).out, / local /);
});

test("memoryPolicy: bad modes and nodes are told with their field", { skip }, () => {
  const told = (memoryPolicy: Loose) =>
    sh("true", (spec) => {
      spec.linux.memoryPolicy = memoryPolicy;
    }).err;
  assert.match(
    told({ mode: "MPOL_NEAR" }),
    /linux\.memoryPolicy\.mode: invalid memory policy mode "MPOL_NEAR", must be one of/,
  );
  assert.match(told({ mode: "MPOL_BIND" }), /linux\.memoryPolicy\.nodes: MPOL_BIND needs a list/);
  assert.match(
    told({ mode: "MPOL_BIND", nodes: "x" }),
    /linux\.memoryPolicy\.nodes: invalid memory policy node list "x"/,
  );
  assert.match(told({ mode: "MPOL_LOCAL", flags: ["MPOL_F_STATIC_NODES"] }), /MPOL_LOCAL takes no flags/);
});

test("timeOffsets: the container's clocks are moved, and only with a time namespace", { skip }, () => {
  const moved = sh("cat /proc/uptime", (spec) => {
    spec.linux.namespaces.push({ type: "time" });
    spec.linux.timeOffsets = { monotonic: { secs: 50 }, boottime: { secs: 1_000_000_000, nanosecs: 5 } };
  });
  assert.equal(moved.code, 0, moved.err);
  assert.ok(Number.parseFloat(moved.out) > 1_000_000_000);
  const bare = sh("true", (spec) => {
    spec.linux.timeOffsets = { monotonic: { secs: 50 } };
  });
  assert.match(bare.err, /linux\.timeOffsets\.monotonic: needs a new time namespace/);
  const clock = sh("true", (spec) => {
    spec.linux.namespaces.push({ type: "time" });
    spec.linux.timeOffsets = { realtime: { secs: 50 } };
  });
  assert.match(clock.err, /linux\.timeOffsets\.realtime: must be monotonic or boottime/);
});

const cpus = "grep Cpus_allowed_list /proc/self/status | cut -f2";
const online = spawnSync("nproc", ["--all"], { encoding: "utf8" }).stdout.trim();
const twoCpus = Number(online) > 1 ? false : "needs two CPUs";

function isOlder(major: number, minor: number): boolean {
  const [own = 0, sub = 0] = release().split(".").map(Number);
  return own < major || (own === major && sub < minor);
}

test("affinity: a caller bound to one CPU does not bind its container (facts e.22)", { skip: skip || twoCpus }, () => {
  const made = bundle(["sh", "-c", cpus]);
  const run = spawnSync("taskset", ["1", KEEL, "--root", stateRoot, "run", "-b", made.dir, made.id], {
    encoding: "utf8",
  });
  assert.equal(run.stdout.trim(), sh(cpus).out.trim());
  assert.notEqual(run.stdout.trim(), "0");
});

test("execCPUAffinity: the last mask is the exec's", { skip: skip || twoCpus }, () => {
  const { id } = sleeping((spec) => {
    spec.process.execCPUAffinity = { initial: "0", final: "1" };
  });
  assert.equal(keel("exec", id, "sh", "-c", cpus).out.trim(), "1");
  const first = sleeping((spec) => {
    spec.process.execCPUAffinity = { initial: "0" };
  });
  // a kernel before 6.2 forgets the mask when a cpuset takes the process in
  const kept = keel("exec", first.id, "sh", "-c", cpus).out.trim();
  assert.ok(kept === "0" || (kept === sh(cpus).out.trim() && isOlder(6, 2)), kept);
  const bad = sleeping((spec) => {
    spec.process.execCPUAffinity = { initial: "0-x" };
  });
  assert.match(keel("exec", bad.id, "true").err, /process\.execCPUAffinity\.initial: must be a list such as 0-3,8/);
});

const rdt = existsSync("/sys/fs/resctrl/schemata") ? "resctrl is mounted here" : false;

test("intelRdt: without resctrl the reason is told before anything is made", { skip: skip || rdt }, () => {
  const ran = sh("true", (spec) => {
    spec.linux.intelRdt = { closID: "gold", memBwSchema: "MB:0=20" };
  });
  assert.match(ran.err, /apply linux\.intelRdt: no resctrl file system is mounted/);
});
