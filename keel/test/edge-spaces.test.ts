/** Corner cases that runtimes get wrong, by their number (docs/security-tests.md): processes, namespaces, cgroups, mounts. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  alive,
  bundle,
  inUserNamespace,
  joinNamespace,
  KEEL,
  keel,
  keelDetached,
  type Loose,
  run,
  sh,
  skip,
  sleeping,
  state,
  stateDir,
  until,
  withoutNamespace,
} from "./harness.ts";

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);

const UNIFIED = existsSync("/sys/fs/cgroup/cgroup.controllers");

t("edge 1: an init that nobody has reaped yet is stopped, for state, exec, kill and delete", async () => {
  const made = bundle(["sleep", "1000"]);
  const child = spawn(KEEL, ["--root", join(stateDir("x"), ".."), "run", "-b", made.dir, made.id], { stdio: "ignore" });
  await until(() => state(made.id)?.status === "running");
  const { pid } = state(made.id);
  // init's parent sleeps, so init stays a zombie
  child.kill("SIGSTOP");
  try {
    process.kill(pid, "SIGKILL");
    await until(() => !alive(pid));
    assert.ok(existsSync(`/proc/${pid}`), "the test's own premise: there is a zombie");
    assert.equal(state(made.id).status, "stopped");
    assert.equal(state(made.id).pid, 0);
    assert.match(keel("exec", made.id, "true").err, /cannot exec in a stopped container/);
    assert.match(keel("kill", made.id, "TERM").err, /container not running/);
    assert.equal(keel("delete", made.id).code, 0);
  } finally {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
  }
});

t("edge 2: another process with init's number is never taken for it", async () => {
  const target = sleeping();
  // start times are counted in ticks of 10 ms, and keel can be done within the one in which init began
  await sleep(25);
  const other = spawn("sleep", ["1000"], { stdio: "ignore" });
  const file = join(stateDir(target.id), "state.json");
  const record = JSON.parse(readFileSync(file, "utf8"));
  try {
    // as after init's end and as many new processes as there are numbers: the number is there, its start time is not
    writeFileSync(file, JSON.stringify({ ...record, pid: other.pid }));
    assert.equal(state(target.id).status, "stopped");
    assert.match(keel("exec", target.id, "true").err, /cannot exec in a stopped container/);
    assert.match(keel("kill", target.id, "TERM").err, /container not running/);
    keel("kill", target.id, "KILL");
    assert.equal(keel("delete", "--force", target.id).code, 0);
    assert.ok(alive(other.pid as number), "a process of the host was killed");
  } finally {
    other.kill("SIGKILL");
  }
});

t("edge 3: a joined pid namespace holds the program, and its pid is told as the caller sees it", () => {
  const target = sleeping();
  const { pid } = state(target.id);
  const made = bundle(["sleep", "1000"], (s) => joinNamespace(s, "pid", `/proc/${pid}/ns/pid`));
  assert.equal(keelDetached("create", "-b", made.dir, made.id).code, 0);
  try {
    const second = state(made.id).pid;
    assert.equal(
      spawnSync("readlink", [`/proc/${second}/ns/pid`], { encoding: "utf8" }).stdout,
      spawnSync("readlink", [`/proc/${pid}/ns/pid`], { encoding: "utf8" }).stdout,
    );
    assert.match(readFileSync(`/proc/${second}/status`, "utf8"), new RegExp(`NSpid:\\s+${second}\\s+[2-9]`));
  } finally {
    keel("delete", "--force", made.id);
  }
});

t("edge 4: namespaces of the host and of a user namespace are joined in an order that works", () => {
  const mapped = sleeping((s) => inUserNamespace(s));
  const plain = sleeping();
  const ns = (made: { id: string }, name: string): string => `/proc/${state(made.id).pid}/ns/${name}`;
  const link = (path: string): string => spawnSync("readlink", [path], { encoding: "utf8" }).stdout;
  const ran = sh("for ns in user net ipc uts; do readlink /proc/self/ns/$ns; done; id -u", (s) => {
    delete s.hostname;
    // the kernel lets nobody but its owner mount the queues of an ipc namespace
    s.mounts = s.mounts.filter((m: Loose) => m.type !== "mqueue");
    joinNamespace(s, "user", ns(mapped, "user"));
    joinNamespace(s, "network", ns(mapped, "net"));
    joinNamespace(s, "ipc", ns(plain, "ipc"));
    joinNamespace(s, "uts", ns(mapped, "uts"));
  });
  const expected = [ns(mapped, "user"), ns(mapped, "net"), ns(plain, "ipc"), ns(mapped, "uts")].map(link);
  assert.equal(ran.out, `${expected.join("")}0\n`, ran.err);
  const exec = keel("exec", mapped.id, "readlink", "/proc/self/ns/user");
  assert.equal(exec.out, expected[0]);
});

t("edge 5: sources that only the host's root may read are bound in a user namespace", () => {
  const made = bundle(["cat", "/secret/file", "/proc/self/setgroups"], (s) => {
    inUserNamespace(s);
    s.process.user = { uid: 0, gid: 0, additionalGids: [5] };
    s.mounts.push({ destination: "/secret", type: "bind", source: "closed/secret", options: ["bind"] });
  });
  mkdirSync(join(made.dir, "closed/secret"), { recursive: true });
  mkdirSync(join(made.rootfs, "secret"));
  writeFileSync(join(made.dir, "closed/secret/file"), "read\n");
  chmodSync(join(made.dir, "closed"), 0o700);
  const ran = run(made);
  assert.equal(ran.out, "read\nallow\n", ran.err);
});

t("edge 6: offsets of a time namespace hold for the first process and for exec", () => {
  if (!existsSync("/proc/self/ns/time")) return;
  const target = sleeping((s) => {
    s.linux.namespaces.push({ type: "time" });
    s.linux.timeOffsets = { boottime: { secs: 864000, nanosecs: 0 } };
  });
  const uptime = (text: string): number => Number(text.split(" ")[0]);
  const outside = uptime(readFileSync("/proc/uptime", "utf8"));
  const offsets = keel("exec", target.id, "cat", "/proc/1/timens_offsets").out;
  assert.match(offsets, /boottime\s+864000\s+0/);
  const inside = uptime(keel("exec", target.id, "cat", "/proc/uptime").out);
  assert.ok(inside > outside + 863000, `${inside} inside, ${outside} outside`);
});

t("edge 7: the root of the cgroup namespace is the container's own cgroup", () => {
  const ran = sh("grep -v ':/$' /proc/self/cgroup", (s) => {
    if (!s.linux.namespaces.some((ns: Loose) => ns.type === "cgroup")) s.linux.namespaces.push({ type: "cgroup" });
  });
  assert.equal(ran.out, "", "the container sees where it is on the host");
});

t("edge 8: exec joins init's cgroups, also when init has moved below", () => {
  const target = sleeping();
  const { pid } = state(target.id);
  const ofInit = readFileSync(`/proc/${pid}/cgroup`, "utf8");
  const child = keelDetached("exec", "-d", "--pid-file", join(target.dir, "pid"), target.id, "sleep", "100");
  assert.equal(child.code, 0, child.err);
  assert.equal(readFileSync(`/proc/${readFileSync(join(target.dir, "pid"), "utf8")}/cgroup`, "utf8"), ofInit);
  if (!UNIFIED) return;
  const own = `/sys/fs/cgroup${/^0::(.*)$/m.exec(ofInit)?.[1]}`;
  mkdirSync(`${own}/below`);
  for (const moved of readFileSync(`${own}/cgroup.procs`, "utf8").trim().split("\n"))
    writeFileSync(`${own}/below/cgroup.procs`, moved);
  writeFileSync(`${own}/cgroup.subtree_control`, "+pids");
  assert.equal(keel("exec", target.id, "true").code, 0);
});

t("edge 9: a frozen cgroup and one that is not empty are refused at create, at once", () => {
  const name = `keel-edge-${process.pid}`;
  const group = UNIFIED ? `/sys/fs/cgroup/${name}` : `/sys/fs/cgroup/freezer/${name}`;
  const [file, frozen, thawed] = UNIFIED ? ["cgroup.freeze", "1", "0"] : ["freezer.state", "FROZEN", "THAWED"];
  const create = () => sh("true", (s) => Object.assign(s.linux, { cgroupsPath: `/${name}` }));
  mkdirSync(group);
  const other = spawn("sleep", ["1000"], { stdio: "ignore" });
  try {
    writeFileSync(join(group, file as string), frozen as string);
    assert.match(create().err, /container's cgroup unexpectedly frozen/);
    mkdirSync(group, { recursive: true });
    writeFileSync(join(group, file as string), thawed as string);
    writeFileSync(join(group, "cgroup.procs"), String(other.pid));
    assert.match(create().err, new RegExp(`container's cgroup is not empty: .* holds process ${other.pid}`));
    assert.ok(alive(other.pid as number));
  } finally {
    other.kill("SIGKILL");
    spawnSync("sleep", ["0.1"]);
    if (existsSync(group)) rmdirSync(group);
  }
});

t("edge 10: a paused container can be killed and deleted, and is thawed for it", async () => {
  const killed = sleeping();
  keel("pause", killed.id);
  assert.equal(keel("kill", killed.id, "KILL").code, 0);
  await until(() => state(killed.id).status === "stopped");
  const deleted = sleeping();
  keel("pause", deleted.id);
  assert.equal(keel("delete", "--force", deleted.id).code, 0);
});

t(
  "edge 10: delete ends every process of a container without its own pid namespace, also those that fork on",
  async () => {
    const script = "forks() { while :; do sleep 0.001 & done; }; forks & forks & echo $$ >/pid; wait";
    const made = bundle(["sh", "-c", script], (s) => {
      withoutNamespace(s, "pid");
      s.linux.resources.pids = { limit: 100 };
    });
    assert.equal(keelDetached("create", "-b", made.dir, made.id).code, 0);
    const { pid } = state(made.id);
    const line = readFileSync(`/proc/${pid}/cgroup`, "utf8")
      .split("\n")
      .find((l) => /^\d+:pids:|^0::/.test(l)) as string;
    const [, controller, path] = line.split(":") as [string, string, string];
    const procs = `/sys/fs/cgroup/${controller}${path}/cgroup.procs`;
    keel("start", made.id);
    await until(() => existsSync(join(made.rootfs, "pid")) && readFileSync(procs, "utf8").split("\n").length > 10);
    // init first, as when its program ends: what it leaves behind is the container's all the same
    process.kill(pid, "SIGKILL");
    await until(() => state(made.id).status === "stopped");
    assert.equal(keel("delete", made.id).code, 0);
    assert.equal(existsSync(procs), false, "its cgroup is still there");
  },
);

t("edge 11: sources are relative to the bundle; destinations are dangling links, `..`, and below other mounts", () => {
  const made = bundle(["sh", "-c", "cat /a/deep/file /via/file; ls -d /made/by/link/x"], (s) => {
    s.mounts.push({ destination: "/a", type: "tmpfs", source: "tmpfs" });
    s.mounts.push({ destination: "/a/deep", type: "bind", source: "src/../src", options: ["bind"] });
    s.mounts.push({ destination: "/etc/../via", type: "bind", source: "./src", options: ["rbind"] });
    s.mounts.push({ destination: "/dangling/x", type: "tmpfs", source: "tmpfs" });
  });
  mkdirSync(join(made.dir, "src"));
  writeFileSync(join(made.dir, "src/file"), "source\n");
  symlinkSync("/made/by/link", join(made.rootfs, "dangling"));
  const ran = run(made);
  assert.equal(ran.out, "source\nsource\n/made/by/link/x\n", ran.err);
});

t("edge 12: in a user namespace a read-only bind keeps the source's locked flags, and clearing one is an error", () => {
  const bind = (options: string[]) => {
    const made = bundle(["grep", " /src ", "/proc/mounts"], (s) => {
      s.mounts = s.mounts.filter((m: Loose) => !/cgroup|mqueue|sys/.test(m.destination));
      s.mounts.push({ destination: "/src", type: "bind", source: "src", options });
      s.linux.resources = {};
      withoutNamespace(s, "cgroup");
    });
    mkdirSync(join(made.dir, "src"));
    const script =
      'mount -t tmpfs -o nosuid,nodev,noexec tmpfs "$1/src" && ' +
      'exec unshare --user --map-root-user --mount --net "$2" --root "$1/state" run -b "$1" x';
    return spawnSync("unshare", ["--mount", "sh", "-c", script, "sh", made.dir, KEEL], { encoding: "utf8" });
  };
  const kept = bind(["bind", "ro"]);
  assert.match(kept.stdout, /^tmpfs \/src tmpfs ro,nosuid,nodev,noexec/, kept.stderr);
  assert.match(bind(["bind", "ro", "suid"]).stderr, /bind .*\/src at \/src: set its options: operation not permitted/);
});

t("edge 12: what a mount of the host refuses, the config of a container in a user namespace cannot allow", () => {
  const bind = (host: string, options: string[], change = inUserNamespace) => {
    const made = bundle(["grep", " /src ", "/proc/mounts"], (s) => {
      s.mounts.push({ destination: "/src", type: "bind", source: "src", options });
      change(s);
    });
    for (const dir of [made.dir, made.rootfs]) mkdirSync(join(dir, "src"));
    const script =
      'mount -t tmpfs tmpfs "$1/src" && mount -o "remount,bind,$3" "$1/src" && exec "$2" --root "$1/state" run -b "$1" x';
    return spawnSync("unshare", ["--mount", "sh", "-c", script, "sh", made.dir, KEEL, host], { encoding: "utf8" });
  };
  const refused = /keel run failed: .*error mounting ".*\/src" to rootfs at "\/src": .*operation not permitted/;
  assert.match(bind("ro,nodev", ["bind", "rw"], () => {}).stdout, /^tmpfs \/src tmpfs rw,/);
  const taken = [
    ["ro", "rw"],
    ["nosuid", "suid"],
    ["noexec", "exec"],
    ["nodev", "dev"],
    ["noatime", "relatime"],
    ["relatime", "noatime"],
    ["noatime", "strictatime"],
    ["relatime", "nodiratime"],
  ] as const;
  for (const [host, asked] of taken) assert.match(bind(host, ["bind", asked]).stderr, refused, `${host}, ${asked}`);
  const kept = bind("ro,nosuid,noatime", ["bind", "nodev"]);
  assert.match(kept.stdout, /^tmpfs \/src tmpfs ro,nosuid,nodev,noatime/, kept.stderr);
});
