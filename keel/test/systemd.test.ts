import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Bundle, bundle, KEEL, keel, keelDetached, type Loose, type Ran, skip } from "./harness.ts";

const booted = existsSync("/run/systemd/system") && readFileSync("/proc/1/comm", "utf8") === "systemd\n";
const reason: string | false =
  skip || (booted ? false : "process 1 is not systemd (./run-tests vm has a guest with it)");
const unified = existsSync("/sys/fs/cgroup/cgroup.controllers");

const made: string[] = [];
let count = 0;

const sd = (...args: readonly string[]): Ran => keel("--systemd-cgroup", ...args);

function host(...argv: readonly string[]): string {
  const done = spawnSync(argv[0] as string, argv.slice(1), { encoding: "utf8", timeout: 60_000 });
  return `${done.stdout}${done.stderr}`;
}

interface Started extends Bundle {
  readonly unit: string;
}

/** A sleeping container in a scope whose name is `keeltest-N.scope` in `slice`. */
function started(change: (spec: Loose) => void = () => {}, slice = "keeltest.slice"): Started {
  const name = `${process.pid}-${++count}`;
  const bundled = bundle(["sleep", "1000"], (spec) => {
    spec.linux.cgroupsPath = `${slice}:keeltest:${name}`;
    change(spec);
  });
  made.push(bundled.id);
  const created = keelDetached("--systemd-cgroup", "create", "-b", bundled.dir, bundled.id);
  assert.equal(created.code, 0, created.err);
  const begun = sd("start", bundled.id);
  assert.equal(begun.code, 0, begun.err);
  return { ...bundled, unit: `keeltest-${name}.scope` };
}

after(() => {
  for (const id of made) sd("delete", "--force", id);
});

function pidOf(id: string): number {
  return JSON.parse(keel("state", id).out).pid as number;
}

/** Path by hierarchy, as /proc/PID/cgroup tells: "" for version 2. */
function cgroups(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split(":").slice(1) as [string, string]));
}

function show(unit: string, ...properties: readonly string[]): Record<string, string> {
  const lines = host("systemctl", "show", unit, ...properties.map((name) => `--property=${name}`))
    .trim()
    .split("\n");
  return Object.fromEntries(lines.map((line) => [line.replace(/=.*/, ""), line.replace(/^[^=]*=/, "")]));
}

function limited(spec: Loose): void {
  spec.linux.resources.memory = { limit: 200 << 20, reservation: 100 << 20, ...(unified ? { swap: 300 << 20 } : {}) };
  spec.linux.resources.cpu = { shares: 262144, quota: 42_500, period: 100_000, ...(unified ? { cpus: "0-1" } : {}) };
  spec.linux.resources.pids = { limit: 42 };
}

const PLACE = [
  "Slice",
  "Delegate",
  "DefaultDependencies",
  "ActiveState",
  "CPUAccounting",
  "MemoryAccounting",
  "TasksAccounting",
];
const LIMITS = unified
  ? [
      "MemoryMax",
      "MemoryLow",
      "MemorySwapMax",
      "CPUWeight",
      "TasksMax",
      "AllowedCPUs",
      "CPUQuotaPerSecUSec",
      "IOAccounting",
    ]
  : ["MemoryLimit", "CPUShares", "TasksMax", "CPUQuotaPerSecUSec", "BlockIOAccounting"];

test("systemd: without systemd the flag is refused with what was tried, and nothing is left", {
  skip: skip || (booted && "systemd is there"),
}, () => {
  const bundled = bundle(["true"]);
  const ran = sd("run", "-b", bundled.dir, bundled.id);
  assert.equal(ran.code, 1);
  assert.match(ran.err, /connect to systemd: nobody listens at \/run\/systemd\/private, .*leave out --systemd-cgroup/);
  assert.equal(keel("state", bundled.id).code, 1);
});

test("systemd: the container is in a cgroup of its own in a scope of its slice", { skip: reason }, () => {
  const { id, unit } = started(() => {}, "keeltest-a.slice");
  const paths = cgroups(pidOf(id));
  const scope = `/keeltest.slice/keeltest-a.slice/${unit}`;
  for (const [controllers, path] of Object.entries(paths)) assert.equal(path, `${scope}/container`, controllers);
  assert.deepEqual(show(unit, "ActiveState", "ControlGroup", "Description"), {
    ActiveState: "active",
    ControlGroup: scope,
    Description: `keel container ${id}`,
  });
});

test("systemd: limits are on the unit as runc and crun put them, and exact on the container's cgroup", {
  skip: reason,
}, () => {
  const { id, unit, dir } = started(limited);
  const ours = show(unit, ...PLACE, ...LIMITS);
  assert.equal(ours[LIMITS[0] as string], String(200 << 20));
  assert.equal(ours["CPUQuotaPerSecUSec"], "430ms", "rounded up to whole percents");
  const [memory, cpu] = unified ? ["memory.max", "cpu.max"] : ["memory.limit_in_bytes", "cpu.cfs_quota_us"];
  const base = unified ? ["", ""] : ["/memory", "/cpu,cpuacct"];
  const own = `/keeltest.slice/${unit}/container`;
  assert.equal(readFileSync(`/sys/fs/cgroup${base[0]}${own}/${memory}`, "utf8"), `${200 << 20}\n`);
  assert.match(readFileSync(`/sys/fs/cgroup${base[1]}${own}/${cpu}`, "utf8"), /^42500\b/);
  sd("delete", "--force", id);
  for (const peer of ["runc", "crun"]) {
    const spec = JSON.parse(readFileSync(join(dir, "config.json"), "utf8")) as Loose;
    spec.linux.cgroupsPath = `keeltest.slice:${peer}:1`;
    // crun 1.8 refuses versions that it does not know
    spec.ociVersion = "1.0.2";
    writeFileSync(join(dir, "config.json"), JSON.stringify(spec));
    const created = host(
      "sh",
      "-c",
      `exec ${peer} --systemd-cgroup create -b ${dir} peer </dev/null >/dev/null 2>${dir}/err`,
    );
    const theirs = show(`${peer}-1.scope`, ...PLACE, ...LIMITS);
    host(peer, "delete", "--force", "peer");
    const told = `${created}${readFileSync(join(dir, "err"), "utf8")}`;
    assert.equal(theirs["ActiveState"], "active", told);
    for (const name of Object.keys(theirs)) {
      // crun 1.8 tells systemd of few limits, and asks for no accounting of its own
      if (peer === "crun" && (LIMITS.includes(name) || /Accounting/.test(name))) continue;
      assert.equal(ours[name], theirs[name], `${name} of ${peer}`);
    }
  }
});

test("systemd: delete ends the unit and leaves no cgroup in any hierarchy", { skip: reason }, () => {
  const { id, unit } = started();
  assert.equal(sd("delete", "--force", id).code, 0);
  assert.equal(show(unit, "LoadState")["LoadState"], "not-found");
  assert.equal(host("find", "/sys/fs/cgroup", "-name", unit), "");
  assert.equal(keel("state", id).code, 1);
});

test("systemd: a container whose program ends by itself is deleted as well", { skip: reason }, () => {
  const bundled = bundle(["true"]);
  const ran = sd("run", "-b", bundled.dir, bundled.id);
  assert.equal(ran.code, 0, ran.err);
  assert.equal(show(`keel-${bundled.id}.scope`, "LoadState")["LoadState"], "not-found");
  assert.equal(host("find", "/sys/fs/cgroup", "-name", `keel-${bundled.id}.scope`), "");
});

test("systemd: without a path the unit is keel-ID in system.slice", { skip: reason }, () => {
  const bundled = bundle(["cat", "/proc/self/cgroup"], (spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter((ns: Loose) => ns.type !== "cgroup");
  });
  const ran = sd("run", "-b", bundled.dir, bundled.id);
  assert.match(ran.out, new RegExp(`:/system\\.slice/keel-${bundled.id}\\.scope/container$`, "m"), ran.err);
});

test("systemd: a create that fails leaves no unit", { skip: reason }, () => {
  for (const change of [
    (spec: Loose) => {
      spec.process.args = ["/no/such/program"];
    },
    (spec: Loose) => {
      spec.linux.resources.hugepageLimits = [{ pageSize: "3MB", limit: 1 }];
    },
  ]) {
    const bundled = bundle(["true"], change);
    assert.equal(sd("run", "-b", bundled.dir, bundled.id).code, 1);
    assert.equal(show(`keel-${bundled.id}.scope`, "LoadState")["LoadState"], "not-found");
    assert.equal(host("find", "/sys/fs/cgroup", "-name", `keel-${bundled.id}.scope`), "");
  }
});

test("systemd: a unit that is there already is not taken over", { skip: reason }, () => {
  const first = started();
  const second = bundle(["true"], (spec) => {
    spec.linux.cgroupsPath = `keeltest.slice:keeltest:${first.unit.replace(/^keeltest-|\.scope$/g, "")}`;
  });
  const ran = sd("run", "-b", second.dir, second.id);
  assert.equal(ran.code, 1);
  assert.match(ran.err, new RegExp(`start systemd unit ${first.unit}: .*already.*systemctl status`));
  assert.equal(JSON.parse(keel("state", first.id).out).status, "running");
  assert.equal(show(first.unit, "ActiveState")["ActiveState"], "active");
});

test("systemd: annotations set properties; one that systemd does not know is named", { skip: reason }, () => {
  const { unit } = started((spec) => {
    spec.annotations = {
      "org.systemd.property.TimeoutStopSec": "uint64 7",
      "org.systemd.property.CollectMode": "'inactive-or-failed'",
    };
  });
  assert.deepEqual(show(unit, "TimeoutStopUSec", "CollectMode"), {
    TimeoutStopUSec: "7s",
    CollectMode: "inactive-or-failed",
  });
  const wrong = bundle(["true"], (spec) => {
    spec.annotations = { "org.systemd.property.NoSuchThing": "true" };
  });
  const ran = sd("run", "-b", wrong.dir, wrong.id);
  assert.equal(ran.code, 1);
  assert.match(ran.err, /NoSuchThing/);
});

test("systemd: the subgroup's name is the annotation's; empty, the container lives in the scope's own cgroup", {
  skip: reason,
}, () => {
  const named = started((spec) => {
    spec.annotations = { "run.oci.systemd.subgroup": "inner" };
  });
  for (const path of Object.values(cgroups(pidOf(named.id)))) assert.equal(path, `/keeltest.slice/${named.unit}/inner`);
  const flat = started((spec) => {
    limited(spec);
    spec.annotations = { "run.oci.systemd.subgroup": "" };
  });
  for (const path of Object.values(cgroups(pidOf(flat.id)))) assert.equal(path, `/keeltest.slice/${flat.unit}`);
  assert.equal(sd("delete", "--force", flat.id).code, 0);
  assert.equal(host("find", "/sys/fs/cgroup", "-name", flat.unit), "");
});

test("systemd: exec joins the container's cgroup; pause and resume work", { skip: reason }, () => {
  const { id, unit } = started((spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter((ns: Loose) => ns.type !== "cgroup");
  });
  const inside = sd("exec", id, "cat", "/proc/self/cgroup");
  assert.equal(inside.code, 0, inside.err);
  for (const line of inside.out.trim().split("\n"))
    assert.equal(line.split(":")[2], `/keeltest.slice/${unit}/container`, inside.out);
  assert.equal(sd("pause", id).code, 0);
  assert.equal(JSON.parse(keel("state", id).out).status, "paused");
  assert.equal(sd("resume", id).code, 0);
  assert.deepEqual(JSON.parse(sd("ps", "-f", "json", id).out), [pidOf(id)]);
});

test("systemd: a daemon-reload changes neither limits nor devices of a running container", { skip: reason }, () => {
  const { id, unit } = started((spec) => {
    limited(spec);
    spec.process.capabilities.bounding.push("CAP_MKNOD");
    spec.process.capabilities.effective.push("CAP_MKNOD");
    spec.process.capabilities.permitted.push("CAP_MKNOD");
  });
  const probe = (): string =>
    sd("exec", id, "sh", "-c", "rm -f /k; mknod /k c 1 11; head -c 1 /k; head -c 1 /dev/zero | wc -c").err +
    readFileSync(
      `/sys/fs/cgroup${unified ? "" : "/memory"}/keeltest.slice/${unit}/container/memory.${unified ? "max" : "limit_in_bytes"}`,
      "utf8",
    );
  const before = probe();
  assert.match(before, /Operation not permitted/);
  assert.match(before, new RegExp(`${200 << 20}`));
  assert.equal(host("systemctl", "daemon-reload"), "");
  assert.equal(probe(), before);
  assert.equal(show(unit, "ActiveState")["ActiveState"], "active");
});

test("systemd: update changes the unit's properties and the cgroup's files", { skip: reason }, () => {
  const { id, unit } = started(limited);
  const updated = sd("update", "--memory", String(150 << 20), "--pids-limit", "50", "--cpu-quota", "60000", id);
  assert.equal(updated.code, 0, updated.err);
  const memory = unified ? "MemoryMax" : "MemoryLimit";
  assert.deepEqual(show(unit, memory, "TasksMax", "CPUQuotaPerSecUSec"), {
    [memory]: String(150 << 20),
    TasksMax: "50",
    CPUQuotaPerSecUSec: "600ms",
  });
  const path = `/sys/fs/cgroup${unified ? "" : "/pids"}/keeltest.slice/${unit}`;
  assert.equal(readFileSync(`${path}/pids.max`, "utf8"), "50\n");
  assert.equal(readFileSync(`${path}/container/pids.max`, "utf8"), "50\n");
});

test("systemd: stopping the unit from outside ends the container, which can then be deleted", { skip: reason }, () => {
  const { id, unit } = started((spec) => {
    spec.process.args = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"];
  });
  assert.equal(host("systemctl", "stop", unit), "");
  assert.equal(JSON.parse(keel("state", id).out).status, "stopped");
  assert.equal(sd("delete", id).code, 0);
});

test("systemd: where its own socket is hidden, the message bus leads to it", { skip: reason }, () => {
  const bundled = bundle(["true"]);
  const script = 'mount --bind /dev/null /run/systemd/private && exec "$@"';
  const command = [KEEL, "--systemd-cgroup", "run", "-b", bundled.dir, bundled.id];
  const done = spawnSync("unshare", ["-m", "sh", "-c", script, "sh", ...command], {
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(done.status, 0, done.stderr);
  assert.match(host("systemctl", "is-active", "dbus.service"), /^active/);
});

test("systemd: paths of the file system and impossible slices are refused before anything is made", {
  skip: reason,
}, () => {
  for (const [path, error] of [
    ["/a/b", /expected cgroupsPath to be of format "slice:prefix:name"/],
    ["a--b.slice:x:y", /invalid slice name "a--b.slice"/],
    ["a.slice:x:y.slice", /is a slice/],
  ] as const) {
    const bundled = bundle(["true"], (spec) => {
      spec.linux.cgroupsPath = path;
    });
    const ran = sd("run", "-b", bundled.dir, bundled.id);
    assert.equal(ran.code, 1);
    assert.match(ran.err, error);
  }
});

// ---- a user's own systemd

const userReason = reason || (unified ? false : "users have no cgroups of version 1");
const RUNTIME = "/run/user/1000";

/** Output goes to a file: a detached container keeps it open. */
function asUser(...args: readonly string[]): Ran {
  const file = join(RUNTIME, `out-${++count}`);
  const drop = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"];
  const command = [KEEL, "--root", `${RUNTIME}/keel`, "--systemd-cgroup", ...args];
  const redirect = 'f=$1; shift; exec "$@" >"$f" 2>&1 </dev/null';
  const env = { PATH: process.env["PATH"], XDG_RUNTIME_DIR: RUNTIME, HOME: "/home/user" };
  const done = spawnSync("sh", ["-c", redirect, "sh", file, ...drop, ...command], { env, timeout: 60_000 });
  const out = readFileSync(file, "utf8");
  return { code: done.status ?? 128, out, err: out };
}

before(() => {
  if (!userReason) host("systemctl", "start", "user@1000.service");
});

/** A bundle that root of a user namespace with one id can run. */
function userBundle(args: readonly string[], change: (spec: Loose) => void): Bundle {
  const bundled = bundle(args, (spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter((ns: Loose) => ns.type !== "network");
    spec.linux.namespaces.push({ type: "user" });
    spec.linux.uidMappings = [{ containerID: 0, hostID: 1000, size: 1 }];
    spec.linux.gidMappings = [{ containerID: 0, hostID: 1000, size: 1 }];
    spec.mounts = spec.mounts.filter((mount: Loose) => mount.type !== "sysfs" && mount.type !== "cgroup");
    for (const mount of spec.mounts)
      if (mount.options) mount.options = mount.options.filter((option: string) => option !== "gid=5");
    spec.linux.resources = {};
    change(spec);
  });
  for (let dir = bundled.dir; dir !== "/tmp"; dir = join(dir, "..")) chmodSync(dir, 0o755);
  host("chown", "-R", "1000:1000", bundled.rootfs);
  mkdirSync(RUNTIME, { recursive: true });
  return bundled;
}

test("systemd: a user's container is in a scope of the user's systemd, with limits", { skip: userReason }, () => {
  const script = "cat /proc/self/cgroup; id -u";
  const bundled = userBundle(["sh", "-c", script], (spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter((ns: Loose) => ns.type !== "cgroup");
    spec.linux.resources = { memory: { limit: 100 << 20 }, pids: { limit: 20 } };
  });
  const ran = asUser("run", "-b", bundled.dir, bundled.id);
  assert.equal(ran.code, 0, ran.err);
  const scope = `/user.slice/user-1000.slice/user@1000.service/user.slice/keel-${bundled.id}.scope`;
  assert.equal(ran.out, `0::${scope}/container\n0\n`);
  assert.ok(!existsSync(`/sys/fs/cgroup${scope}`));
});

test("systemd: exec into a user's container joins its cgroup, which the user could not do alone", {
  skip: userReason,
}, () => {
  const bundled = userBundle(["sleep", "1000"], (spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter((ns: Loose) => ns.type !== "cgroup");
    spec.linux.resources = { pids: { limit: 20 } };
  });
  const run = asUser("run", "-d", "-b", bundled.dir, bundled.id);
  try {
    assert.equal(run.code, 0, run.err);
    const inside = asUser("exec", bundled.id, "cat", "/proc/self/cgroup");
    assert.equal(inside.code, 0, inside.err);
    assert.match(inside.out, new RegExp(`/user@1000\\.service/user\\.slice/keel-${bundled.id}\\.scope/container\\n`));
  } finally {
    assert.equal(asUser("delete", "--force", bundled.id).code, 0);
  }
});
