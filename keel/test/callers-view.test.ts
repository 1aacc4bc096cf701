import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Bundle, bundle, KEEL, keel, keelDetached, type Loose, run, skip, sleeping, until } from "./harness.ts";

/** What the OCI's validation programs and runc's and crun's suites look at, in our own words. */
const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);

const HYBRID = existsSync("/sys/fs/cgroup/unified/cgroup.procs");
const mountinfo = (): string => readFileSync("/proc/self/mountinfo", "utf8");

function detached(made: Bundle): void {
  const ran = keelDetached("run", "-d", "-b", made.dir, made.id);
  assert.equal(ran.code, 0, ran.err);
}

function pidOf(id: string): number {
  return (JSON.parse(keel("state", id).out) as { pid: number }).pid;
}

t("capabilities: unknown ones are left out with a warning, and so are ambient ones that cannot be", () => {
  const made = bundle(["grep", "Cap", "/proc/self/status"], (s) => {
    s.process.capabilities = {
      bounding: ["CAP_KILL", "CAP_NONE"],
      permitted: ["CAP_KILL"],
      effective: ["CAP_KILL"],
      inheritable: ["CAP_KILL"],
      ambient: ["CAP_KILL", "CAP_CHOWN"],
    };
  });
  const ran = run(made);
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /CapAmb:\t0000000000000020/);
  assert.match(ran.err, /level=warning msg="ignoring unknown or unavailable capabilities: \[CAP_NONE\]"/);
  assert.match(ran.err, /can't raise ambient capability CAP_CHOWN/);
});

t("capabilities: what this process does not have itself is left out with a warning", () => {
  const made = bundle(["grep", "CapPrm", "/proc/self/status"], (s) => {
    for (const set of ["bounding", "permitted", "effective"])
      s.process.capabilities[set] = ["CAP_KILL", "CAP_SYS_TIME", "CAP_SETPCAP"];
  });
  const state = join(made.dir, "state");
  const without = ["--bounding-set", "-sys_time", KEEL, "--root", state, "run", "-b", made.dir, made.id];
  const ran = spawnSync("setpriv", without, { encoding: "utf8" });
  assert.equal(ran.stdout, "CapPrm:\t0000000000000120\n", ran.stderr);
  assert.match(ran.stderr, /ignoring unknown or unavailable capabilities: \[CAP_SYS_TIME\]/);
});

t("exec --cap: becomes ambient too when it is inheritable", () => {
  const made = bundle(["sleep", "100"], (s) => {
    s.process.capabilities = { bounding: ["CAP_KILL"], inheritable: ["CAP_KILL"], permitted: [], effective: [] };
  });
  detached(made);
  const ran = keel("exec", "--cap", "CAP_KILL", made.id, "grep", "CapAmb", "/proc/self/status");
  assert.match(ran.out, /0000000000000020/);
  keel("delete", "-f", made.id);
});

t("cwd: one that only root may enter works for a user that may not", () => {
  const made = bundle(["sh", "-c", "pwd; id -u"], (s) => {
    s.process.cwd = "/closed";
    s.process.user = { uid: 1000, gid: 1000 };
  });
  mkdirSync(join(made.rootfs, "closed"));
  chmodSync(join(made.rootfs, "closed"), 0o700);
  assert.equal(run(made).out, "/closed\n1000\n");
});

t("tmpcopyup: the tmpfs begins with what it hides: owners, modes, symlinks, also when it is read-only", () => {
  const list =
    "cd /data && stat -c '%n %a %u %F' . a b b/c; readlink l; cat b/c; touch x 2>&1; grep -c ' /data tmpfs ' /proc/mounts";
  const made = bundle(["sh", "-c", list], (s) => {
    s.mounts.push({ destination: "/data", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup", "ro"] });
  });
  const data = join(made.rootfs, "data");
  mkdirSync(join(data, "b"), { recursive: true });
  writeFileSync(join(data, "a"), "");
  writeFileSync(join(data, "b/c"), "text\n");
  chmodSync(join(data, "a"), 0o4711);
  chmodSync(data, 0o710);
  symlinkSync("/etc/passwd", join(data, "l"));
  spawnSync("chown", ["1000", join(data, "a")]);
  chmodSync(join(data, "a"), 0o4711);
  const ran = run(made);
  assert.equal(
    ran.out,
    ". 710 0 directory\na 4711 1000 regular empty file\nb 755 0 directory\nb/c 644 0 regular file\n/etc/passwd\ntext\n" +
      "touch: x: Read-only file system\n1\n",
    ran.err,
  );
});

t("mounts: a read-only tmpfs on /dev has its devices and what is mounted below it", () => {
  const made = bundle(["sh", "-c", "test -c /dev/null && test -e /dev/pts/ptmx && ! touch /dev/x"], (s) => {
    s.mounts.find((m: Loose) => m.destination === "/dev").options.push("ro");
  });
  assert.equal(run(made).code, 0);
});

t("mounts: sources below the root see what earlier mounts put there, and destinations may name the root", () => {
  for (const user of [false, true]) {
    const made = bundle(["cat", "/final/x/word"], (s) => {
      if (!user) return;
      s.linux.namespaces.push({ type: "user" });
      s.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 65536 }];
      s.linux.gidMappings = s.linux.uidMappings;
    });
    for (const name of ["a/x", "b"]) mkdirSync(join(made.dir, name), { recursive: true });
    writeFileSync(join(made.dir, "b/word"), "found\n");
    const spec = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8")) as Loose;
    const add = (source: string, destination: string): void =>
      void spec.mounts.push({ type: "bind", source, destination, options: ["rbind"] });
    add(join(made.dir, "a"), "/mnt");
    add(join(made.dir, "b"), "/mnt/x");
    add(join(made.rootfs, "mnt"), join(made.rootfs, "final"));
    writeFileSync(join(made.dir, "config.json"), JSON.stringify(spec));
    const ran = run(made);
    assert.equal(ran.out, "found\n", ran.err);
  }
});

t("hooks: a failure quotes what the hook wrote; the environment and directory are as runc's", () => {
  const failing = bundle(["true"], (s) => {
    s.hooks = { startContainer: [{ path: "/bin/busybox", args: ["cat", "/none"] }] };
  });
  const ran = run(failing);
  assert.notEqual(ran.code, 0);
  assert.match(
    ran.err,
    /error running startContainer hook #0: \/bin\/busybox: exit status 1, it wrote: cat: can't open '\/none'/,
  );
  const made = bundle(["cat", "/env", "/here"], (s) => {
    s.process.env = ["PATH=/bin", "WORD=inherited"];
    s.hooks = {
      createContainer: [{ path: "/bin/sh", args: ["sh", "-c", "pwd >here"] }],
      startContainer: [{ path: "/bin/sh", args: ["sh", "-c", "echo $WORD >/env"] }],
    };
  });
  assert.equal(run(made).out, `inherited\n${made.rootfs}\n`);
});

t("hooks: one on the host without an environment has the runtime's PATH, an empty environment stays empty", () => {
  const made = bundle(["true"]);
  const hook = (file: string, env?: readonly string[]): Loose => ({
    // no shell: some export a PATH of their own
    path: "/bin/cp",
    args: ["cp", "/proc/self/environ", join(made.dir, file)],
    ...(env && { env }),
  });
  const spec = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8")) as Loose;
  spec.hooks = {
    prestart: [hook("prestart")],
    createRuntime: [hook("createRuntime", [])],
    createContainer: [hook("createContainer")],
    poststop: [hook("poststop", ["PATH=/own"])],
  };
  writeFileSync(join(made.dir, "config.json"), JSON.stringify(spec));
  const ran = run(made);
  assert.equal(ran.code, 0, ran.err);
  const path = (file: string): string | undefined =>
    /^PATH=(.*)$/m.exec(readFileSync(join(made.dir, file), "utf8").replaceAll("\0", "\n"))?.[1];
  assert.equal(path("prestart"), process.env["PATH"]);
  assert.equal(path("createRuntime"), undefined);
  assert.equal(path("createContainer"), process.env["PATH"]);
  assert.equal(path("poststop"), "/own");
});

t("devices: /dev/ptmx leads to the container's own terminals, also when config.json has it as a device", () => {
  for (const user of [false, true]) {
    const made = bundle(["readlink", "/dev/ptmx"], (s) => {
      s.linux.devices = [{ path: "/dev/ptmx", type: "c", major: 5, minor: 2 }];
      if (!user) return;
      s.linux.namespaces.push({ type: "user" });
      s.linux.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
      s.linux.gidMappings = s.linux.uidMappings;
    });
    if (user) spawnSync("chown", ["-R", "100000:100000", made.rootfs]);
    const ran = run(made);
    assert.equal(ran.out, "pts/ptmx\n", ran.err);
  }
});

t("exec --cap: a capability that this keel does not know is told and left out", () => {
  const target = sleeping();
  const ran = keel("exec", "--cap", "CAP_UNKNOWN", "--cap", "kill", target.id, "grep", "CapEff", "/proc/self/status");
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.err, /ignoring unknown or unavailable capabilities: \[CAP_UNKNOWN\]/);
  assert.ok(BigInt(`0x${/CapEff:\s+(\w+)/.exec(ran.out)?.[1]}`) & (1n << 5n), ran.out);
});

t("hooks: startContainer hooks are confined by the program's filter", () => {
  const made = bundle(["true"], (s) => {
    s.hooks = { startContainer: [{ path: "/bin/busybox", args: ["mkdir", "/tmp/made"] }] };
    s.linux.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_KILL" }],
    };
  });
  assert.match(run(made).err, /startContainer hook #0: \/bin\/busybox: killed by signal 31 \(bad system call/);
  assert.equal(existsSync(join(made.rootfs, "tmp/made")), false);
});

t("exec: the umask is that of config.json, also for another user", () => {
  const made = bundle(["sleep", "100"], (s) => {
    s.process.user.umask = 0o77;
  });
  detached(made);
  assert.match(keel("exec", made.id, "grep", "Umask", "/proc/self/status").out, /0077/);
  assert.match(keel("exec", "-u", "1000", made.id, "grep", "Umask", "/proc/self/status").out, /0077/);
  keel("delete", "-f", made.id);
});

t("namespaces: one that joins another container's user and pid namespace is known by its pid on the host", () => {
  const mappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const first = bundle(["sleep", "100"], (s) => {
    s.linux.namespaces.push({ type: "user" });
    s.linux.uidMappings = mappings;
    s.linux.gidMappings = mappings;
  });
  spawnSync("chown", ["-R", "100000:100000", first.rootfs]);
  detached(first);
  const pid = pidOf(first.id);
  const second = bundle(["sleep", "101"], (s) => {
    const own = (type: string): Loose => ({ type, path: `/proc/${pid}/ns/${type === "network" ? "net" : type}` });
    s.linux.namespaces = [{ type: "mount" }, ...["user", "pid", "network", "ipc", "uts"].map(own)];
    s.hostname = "";
  });
  spawnSync("chown", ["-R", "100000:100000", second.rootfs]);
  detached(second);
  assert.match(readFileSync(`/proc/${pidOf(second.id)}/cmdline`, "utf8"), /^sleep.101/);
  assert.match(keel("exec", second.id, "cat", "/proc/1/cmdline").out, /^sleep.100/);
  assert.equal(keel("delete", "-f", second.id).code, 0);
  assert.equal(keel("state", first.id).code, 0);
  assert.equal(keel("delete", "-f", first.id).code, 0);
});

t("no mount namespace: the program runs in its root, exec too, and delete leaves no mount", () => {
  const made = bundle(["sleep", "100"], (s) => {
    s.linux.namespaces = s.linux.namespaces.filter((ns: Loose) => ns.type !== "mount");
  });
  detached(made);
  assert.ok(mountinfo().includes(` ${made.rootfs}/proc `));
  assert.equal(keel("exec", made.id, "ls", "/bin/busybox").out, "/bin/busybox\n");
  assert.equal(keel("exec", made.id, "test", "-e", made.rootfs).code, 1, "exec sees the host's root");
  assert.equal(keel("delete", "-f", made.id).code, 0);
  assert.equal(mountinfo().includes(made.rootfs), false);
  assert.ok(existsSync(join(made.rootfs, "bin/busybox")));
});

t("no mount namespace: a create that fails leaves no mount either", () => {
  const made = bundle(["/absent"], (s) => {
    s.linux.namespaces = s.linux.namespaces.filter((ns: Loose) => ns.type !== "mount");
  });
  assert.notEqual(keel("create", "-b", made.dir, made.id).code, 0);
  assert.equal(mountinfo().includes(made.rootfs), false);
});

t("no process: create makes the rest, start refuses, run refuses at once", () => {
  const made = bundle([], (s) => {
    delete s.process;
  });
  assert.equal(keelDetached("create", "-b", made.dir, made.id).code, 0);
  assert.match(keel("start", made.id).err, /its config.json has no process/);
  assert.equal(keel("delete", "-f", made.id).code, 0);
  assert.match(keel("run", "-b", made.dir, made.id).err, /its config.json has no process/);
});

t(
  "kill: KILL reaches every process of a container without a pid namespace; signal 0 and --all on a stopped one",
  async () => {
    const made = bundle(["sh", "-c", "sleep 100 & sleep 101 & wait"], (s) => {
      s.linux.namespaces = s.linux.namespaces.filter((ns: Loose) => ns.type !== "pid");
    });
    detached(made);
    const pids = JSON.parse(keel("ps", "-f", "json", made.id).out) as number[];
    assert.ok(pids.length >= 2, String(pids));
    assert.equal(keel("kill", made.id, "0").code, 0);
    assert.equal(keel("kill", made.id, "KILL").code, 0);
    const alive = (pid: number): boolean =>
      existsSync(`/proc/${pid}/stat`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    await until(() => !pids.some(alive));
    assert.match(keel("kill", made.id, "0").err, /container not running/);
    assert.equal(keel("kill", "--all", made.id, "0").code, 0);
    keel("delete", made.id);
  },
);

test("cgroups: beside version 1 the container is in a version 2 cgroup too, and exec joins it", {
  skip: skip || (HYBRID ? false : "the host has no version 2 hierarchy beside version 1"),
}, () => {
  const made = bundle(["sleep", "100"], (s) => {
    s.linux.cgroupsPath = "/keel-test-hybrid/it";
  });
  detached(made);
  assert.match(readFileSync(`/proc/${pidOf(made.id)}/cgroup`, "utf8"), /^0::\/keel-test-hybrid\/it$/m);
  assert.match(keel("exec", made.id, "cat", "/proc/self/cgroup").out, /^0::\/keel-test-hybrid\/it$/m);
  keel("delete", "-f", made.id);
  assert.equal(existsSync("/sys/fs/cgroup/unified/keel-test-hybrid/it"), false);
  spawnSync("sh", ["-c", "rmdir /sys/fs/cgroup/*/keel-test-hybrid"]);
});

t("list: a state root that was asked for must be there", () => {
  assert.notEqual(spawnSync(KEEL, ["--root", "/absent/state", "list"]).status, 0);
});

t("help: of a command, as runc prints it; --debug tells what is done, in the log when there is one", () => {
  assert.match(keel("exec", "--help").out, /^NAME:\n {3}keel exec /);
  const made = bundle(["true"]);
  const log = join(made.dir, "log");
  const ran = keel("--debug", "--log", log, "--log-format", "json", "run", "-b", made.dir, made.id);
  assert.deepEqual([ran.code, ran.err], [0, ""]);
  const first = JSON.parse(readFileSync(log, "utf8").split("\n")[0] ?? "") as { level: string };
  assert.equal(first.level, "debug");
});

t("arguments: flags may follow the container's id where no program does", () => {
  const made = bundle(["sleep", "100"]);
  assert.equal(keelDetached("run", made.id, "-d", "-b", made.dir).code, 0);
  assert.match(keel("update", made.id, "--pids-limit", "x").err, /pids-limit/);
  assert.equal(keel("exec", made.id, "ls", "-d", "/bin").out, "/bin\n");
  assert.equal(keel("delete", made.id, "--force").code, 0);
});

t("bind mounts: an option takes away what is not asked for, none keeps all; a user namespace takes nothing", () => {
  const options = (given: string[], user: boolean): string => {
    const made = bundle(["awk", '$2 == "/mnt" {print $4}', "/proc/mounts"], (s) => {
      s.mounts.push({ destination: "/mnt", type: "bind", source: "source", options: given });
      if (!user) return;
      s.linux.namespaces.push({ type: "user" });
      s.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 65536 }];
      s.linux.gidMappings = s.linux.uidMappings;
    });
    const source = join(made.dir, "source");
    mkdirSync(source);
    spawnSync("mount", ["-t", "tmpfs", "tmpfs", source]);
    spawnSync("mount", ["-o", "remount,bind,ro,nosuid,noexec", source]);
    try {
      const ran = run(made);
      assert.equal(ran.code, 0, ran.err);
      return ran.out.split(",").slice(0, 4).join(",");
    } finally {
      spawnSync("umount", [source]);
    }
  };
  assert.match(options(["bind"], false), /^ro,nosuid,noexec/);
  assert.match(options(["bind", "nodev"], false), /^rw,nodev,relatime/);
  assert.match(options(["bind", "nodev"], true), /^ro,nosuid,nodev,noexec/);
});
