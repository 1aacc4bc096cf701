import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  bundle,
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

t("run: the program's exit code is keel's, 128 + n for a signal", () => {
  assert.equal(sh("exit 7").code, 7);
  // the kernel shields a namespace's pid 1 from its own signals
  const shared = sh("kill -9 $$", (s) => {
    s.linux.namespaces = s.linux.namespaces.filter((ns: Loose) => ns.type !== "pid");
  });
  assert.equal(shared.code, 137, shared.err);
});

t("run: the program is pid 1 with its own hostname, cwd and environment", () => {
  const ran = sh('echo $$ $(hostname) $PWD "$A" $HOME', (s) => {
    s.process.cwd = "/made/here";
    s.process.env.push("A=1", "A=2");
  });
  assert.equal(ran.out, "1 keel /made/here 2 /root\n");
});

t("run: state directory and cgroups are gone afterwards", () => {
  const made = bundle(["true"]);
  assert.equal(run(made).code, 0);
  assert.equal(existsSync(stateDir(made.id)), false);
  assert.equal(readFileSync("/proc/self/mountinfo", "utf8").includes(made.dir), false);
});

t("namespaces: the loopback interface is alone and up", () => {
  assert.match(sh("ip -o link").out, /^1: lo: <LOOPBACK,UP/);
});

t("namespaces: a network namespace that the kernel refuses is told with its limit, and nothing is left", () => {
  const made = bundle(["true"], (s) => {
    s.mounts = s.mounts.filter((m: Loose) => !/cgroup|mqueue|sys/.test(m.destination));
    s.linux.resources = {};
    withoutNamespace(s, "cgroup");
  });
  const script = 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$1" --root "$2/state" run -b "$2" x';
  const argv = ["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", KEEL, made.dir];
  const ran = spawnSync("unshare", argv, { encoding: "utf8", timeout: 30_000 });
  assert.match(ran.stderr, /make the container's namespaces: no space left on device .*raise user\.max_\*_namespaces/s);
  assert.equal(ran.status, 1);
  assert.deepEqual(readdirSync(join(made.dir, "state")), []);
});

t("namespaces: joined by path; a path of the wrong type is named", () => {
  const target = sleeping();
  const { pid } = state(target.id);
  const join = (type: string) => (s: Loose) => {
    for (const ns of s.linux.namespaces) if (ns.type === "network") ns.path = `/proc/${pid}/ns/${type}`;
  };
  const inside = sh("readlink /proc/self/ns/net", join("net"));
  assert.equal(inside.out, keel("exec", target.id, "readlink", "/proc/self/ns/net").out);
  assert.match(sh("true", join("ipc")).err, /linux\.namespaces\[1\]\.path: .* is an ipc namespace, type says network/);
});

t("namespaces: a user namespace maps ids, and mounts and devices still work in it", () => {
  const ran = sh("cat /proc/self/uid_map; id -u; echo x >/dev/null && mount | grep -c ' /proc '", (s) => {
    s.linux.namespaces.push({ type: "user" });
    s.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 1000 }];
    s.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 1000 }];
  });
  assert.match(ran.out, /^ +0 +100000 +1000\n0\n\d+\n$/, ran.err);
});

t("mounts: the defaults are there with their options", () => {
  const mounts = sh("cat /proc/mounts").out;
  for (const line of [
    /^proc \/proc proc rw/m,
    / \/dev tmpfs rw,nosuid/m,
    / \/dev\/pts devpts rw,nosuid,noexec/m,
    / \/dev\/shm tmpfs rw,nosuid,nodev,noexec/m,
    / \/sys sysfs ro,nosuid,nodev,noexec/m,
  ]) {
    assert.match(mounts, line);
  }
});

t("mounts: a read-only bind of a file and of a directory, made in the rootfs", () => {
  const made = bundle(["sh", "-c", "cat /a/b/file; cat /dir/x; echo y >/dir/x; echo z >/a/b/file"], (s) => {
    s.mounts.push({ destination: "/a/b/file", type: "bind", source: "src/x", options: ["bind", "ro"] });
    s.mounts.push({ destination: "/dir", source: "src", options: ["rbind", "ro"] });
  });
  mkdirSync(join(made.dir, "src"));
  writeFileSync(join(made.dir, "src/x"), "data\n");
  const ran = run(made);
  assert.equal(ran.out, "data\ndata\n");
  assert.match(ran.err, /Read-only file system[\s\S]*Read-only file system/);
  assert.equal(readFileSync(join(made.dir, "src/x"), "utf8"), "data\n");
});

t("mounts: an absolute symlink in the image stays inside the root (CVE-2019-18837)", () => {
  const made = bundle(["ls", "/inside"], (s) =>
    s.mounts.push({ destination: "/link/x", type: "tmpfs", source: "tmpfs" }),
  );
  symlinkSync("/inside", join(made.rootfs, "link"));
  assert.equal(run(made).out, "x\n");
  assert.equal(existsSync("/inside"), false);
});

t("mounts: /proc as a symlink is refused (CVE-2019-19921)", () => {
  const made = bundle(["true"]);
  symlinkSync("/tmp", join(made.rootfs, "evil"));
  const config = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8"));
  config.mounts[0].destination = "/evil";
  writeFileSync(join(made.dir, "config.json"), JSON.stringify(config));
  const ran = run(made);
  assert.equal(ran.code, 1);
  assert.match(ran.err, /mount at \/evil: it must be mounted on ordinary directory, a symlink/);
});

t("devices: /dev as a symlink makes no nodes on the host (CVE-2026-41579)", () => {
  const made = bundle(["true"], (s) => {
    s.mounts = s.mounts.filter((m: Loose) => !m.destination.startsWith("/dev"));
  });
  const outside = join(made.dir, "outside");
  mkdirSync(outside);
  symlinkSync(outside, join(made.rootfs, "dev2"));
  const config = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8"));
  config.linux.devices = [{ path: "/dev2/n", type: "c", major: 1, minor: 3 }];
  writeFileSync(join(made.dir, "config.json"), JSON.stringify(config));
  run(made);
  assert.deepEqual(readdirSync(outside), []);
});

t("cwd: a path through a leaked descriptor is refused (CVE-2024-21626)", () => {
  for (let fd = 3; fd < 20; fd++) {
    const ran = sh("pwd", (s) => {
      s.process.cwd = `/proc/self/fd/${fd}`;
    });
    assert.notEqual(ran.code, 0, `fd ${fd}: ${ran.out}`);
  }
  const target = sleeping();
  for (let fd = 3; fd < 20; fd++)
    assert.notEqual(keel("exec", "--cwd", `/proc/self/fd/${fd}`, target.id, "pwd").code, 0);
});

t("descriptors: nothing but stdio is open in the container", () => {
  assert.equal(sh("ls /proc/self/fd | wc -l").out.trim(), "4"); // 0 1 2 and ls's own directory
});

t("masked and read-only paths", () => {
  const ran = sh("wc -c </proc/keys; ls /sys/firmware | wc -l; echo 1 >/proc/sys/kernel/pid_max");
  assert.match(ran.out, /^0\n0\n$/);
  assert.match(ran.err, /Read-only file system/);
});

t("root: read-only when asked for", () => {
  const ran = sh("touch /x", (s) => {
    s.root.readonly = true;
  });
  assert.match(ran.err, /Read-only file system/);
});

t("capabilities: exactly the five sets asked for, none for a plain user", () => {
  const caps = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
  const root = sh(caps).out;
  for (const set of ["CapPrm", "CapEff", "CapBnd"]) assert.match(root, new RegExp(`${set}:\\s+0000000020000420`));
  assert.match(root, /CapInh:\s+0{16}/);
  assert.match(root, /NoNewPrivs:\s+1/);
  const user = sh(caps, (s) => {
    s.process.user = { uid: 1000, gid: 1000, additionalGids: [5, 6] };
  }).out;
  assert.match(user, /CapEff:\s+0{16}/);
});

t("user: uid, gid, groups, umask and HOME; a numeric id is never a name (CVE-2016-3697)", () => {
  const ran = sh("id -u; id -G; umask; echo $HOME", (s) => {
    s.process.user = { uid: 31337, gid: 8, additionalGids: [5, 6], umask: 0o27 };
  });
  assert.equal(ran.out, "31337\n8 5 6\n0027\n/\n");
});

t(
  "seccomp: a refused call fails with its errno, with and without no_new_privs, and the filter is the last word",
  () => {
    for (const noNewPrivileges of [true, false]) {
      const ran = sh("mkdir /x; grep -E '^(Seccomp:|CapEff)' /proc/self/status", (s) => {
        s.process.noNewPrivileges = noNewPrivileges;
        s.linux.seccomp = {
          defaultAction: "SCMP_ACT_ALLOW",
          architectures: ["SCMP_ARCH_X86_64"],
          syscalls: [{ names: ["mkdir", "mkdirat", "no_such_call"], action: "SCMP_ACT_ERRNO", errnoRet: 95 }],
        };
      });
      assert.match(ran.err, /not supported/, ran.err);
      assert.match(ran.out, /Seccomp:\s+2/);
      assert.match(ran.out, /CapEff:\s+0000000020000420/);
    }
  },
);

t("seccomp: a filter that forbids all the set-up calls does not break the set-up", () => {
  const names = [
    "setresuid",
    "capset",
    "getcwd",
    "fstatfs",
    "connect",
    "accept4",
    "accept",
    "socket",
    "close_range",
    "chdir",
  ];
  // not through a shell: that one asks for its directory itself
  const ran = run(
    bundle(["echo", "ok"], (s) => {
      s.process.noNewPrivileges = false;
      s.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names, action: "SCMP_ACT_KILL_PROCESS" }] };
    }),
  );
  assert.equal(ran.out, "ok\n", ran.err);
});

t("rlimits: lowered exactly; raising without the right says which right is missing", () => {
  const ran = sh("ulimit -n; ulimit -Hn", (s) => {
    s.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }];
  });
  assert.equal(ran.out, "100\n200\n");
  const high = sh("true", (s) => {
    s.process.rlimits = [{ type: "RLIMIT_CORE", soft: "18446744073709551615", hard: "18446744073709551615" }];
  });
  assert.ok(high.code === 0 || /CAP_SYS_RESOURCE/.test(high.err), high.err);
});

t("hooks: all six kinds run in order with the state on stdin; a failing one stops the container", () => {
  const made = bundle(["sh", "-c", "echo program >>/log"]);
  const log = join(made.rootfs, "log");
  const config = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8"));
  const hook = (kind: string, file: string, shell = "/bin/sh") => ({
    path: shell,
    args: ["sh", "-c", `read s; case "$s" in *'"id":"${made.id}"'*) echo ${kind} >>${file};; esac`],
    env: ["PATH=/bin:/usr/bin"],
  });
  config.hooks = {
    prestart: [hook("prestart", log)],
    createRuntime: [hook("createRuntime", log)],
    createContainer: [hook("createContainer", log)],
    startContainer: [hook("startContainer", "/log")],
    poststart: [hook("poststart", join(made.dir, "poststart"))],
    poststop: [hook("poststop", log)],
  };
  writeFileSync(join(made.dir, "config.json"), JSON.stringify(config));
  const ran = run(made);
  assert.equal(ran.code, 0, ran.err);
  assert.equal(
    readFileSync(log, "utf8"),
    "prestart\ncreateRuntime\ncreateContainer\nstartContainer\nprogram\npoststop\n",
  );
  assert.equal(readFileSync(join(made.dir, "poststart"), "utf8"), "poststart\n");

  const failing = bundle(["true"], (s) => {
    s.hooks = { createRuntime: [{ path: "/bin/false" }] };
  });
  const failed = run(failing);
  assert.equal(failed.code, 1);
  assert.match(failed.err, /error running createRuntime hook #0: \/bin\/false: exit status 1/);
  assert.equal(existsSync(stateDir(failing.id)), false);
});

t("hooks: a timeout kills the hook", () => {
  const ran = sh("true", (s) => {
    s.hooks = { createRuntime: [{ path: "/bin/sleep", args: ["sleep", "30"], timeout: 1 }] };
  });
  assert.match(ran.err, /timed out after 1 s/);
});

t("life cycle: create waits, start runs once, delete refuses a running one", async () => {
  const made = bundle(["sh", "-c", "touch /started; sleep 1000"]);
  const pidFile = join(made.dir, "pid");
  assert.equal(keelDetached("create", "-b", made.dir, "--pid-file", pidFile, made.id).code, 0);
  assert.equal(state(made.id).status, "created");
  assert.equal(String(state(made.id).pid), readFileSync(pidFile, "utf8"));
  assert.equal(existsSync(join(made.rootfs, "started")), false);
  assert.match(keelDetached("create", "-b", made.dir, made.id).err, /container with given ID already exists/);
  assert.equal(keel("start", made.id).code, 0);
  assert.equal(state(made.id).status, "running");
  assert.match(keel("start", made.id).err, /cannot start an already running container/);
  assert.match(keel("delete", made.id).err, /cannot delete container .* that is not stopped: running/);
  assert.match(keel("list").out, new RegExp(`${made.id}\\s+\\d+\\s+running`));
  assert.equal(keel("kill", made.id, "KILL").code, 0);
  await until(() => state(made.id).status === "stopped");
  assert.match(keel("exec", made.id, "true").err, /cannot exec in a stopped container/);
  assert.equal(keel("delete", made.id).code, 0);
  assert.match(keel("state", made.id).err, /container does not exist/);
  assert.equal(keel("delete", "--force", made.id).code, 0);
});

t("create: a missing program is told at create as runc does, and nothing is left", () => {
  const made = bundle(["nonesuch"]);
  const created = keelDetached("create", "-b", made.dir, made.id);
  assert.equal(created.code, 1);
  assert.match(created.err, /exec: "nonesuch": executable file not found in \$PATH/);
  assert.equal(existsSync(stateDir(made.id)), false);
  assert.match(run(bundle(["/etc/passwd"])).err, /exec: "\/etc\/passwd": permission denied/);
  assert.match(run(bundle(["/bin/nonesuch"])).err, /stat \/bin\/nonesuch: no such file or directory/);
});

t("exec: exit code, user, cwd, environment; 255 when it cannot run", () => {
  const target = sleeping();
  assert.equal(keel("exec", target.id, "sh", "-c", "exit 9").code, 9);
  const ran = keel(
    "exec",
    "-u",
    "1",
    "--cwd",
    "/tmp",
    "-e",
    "X=y",
    target.id,
    "sh",
    "-c",
    "id -u; id -g; pwd; echo $X; grep CapInh /proc/self/status",
  );
  assert.match(ran.out, /^1\n0\n\/tmp\ny\nCapInh:\s+0{16}\n$/);
  const missing = keel("exec", target.id, "nonesuch");
  assert.equal(missing.code, 255);
  assert.match(missing.err, /executable file not found in \$PATH/);
  assert.match(
    keel("exec", "--cap", "CAP_SYS_ADMIN", target.id, "grep", "CapInh", "/proc/self/status").out,
    /CapInh:\s+0{16}/,
  );
});

t("pause and resume: the status tells, and exec into a paused container is refused", () => {
  const target = sleeping();
  assert.equal(keel("pause", target.id).code, 0);
  assert.equal(state(target.id).status, "paused");
  assert.match(keel("exec", target.id, "true").err, /cannot exec in a paused container/);
  assert.equal(keel("resume", target.id).code, 0);
  assert.equal(state(target.id).status, "running");
});

t("cgroups: memory, pids and cpu limits are in force", () => {
  const target = sleeping((s) => {
    s.linux.resources.memory = { limit: 67108864 };
    s.linux.resources.pids = { limit: 7 };
    s.linux.resources.cpu = { quota: 50000, period: 100000 };
  });
  const forked = keel("exec", target.id, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>&1; kill 0");
  assert.match(forked.out + forked.err, /fork/i);
  const oom = keel("exec", target.id, "sh", "-c", "head -c 200000000 /dev/zero | tail");
  assert.notEqual(oom.code, 0);
});

t("devices: what is not allowed cannot be opened", () => {
  const ran = sh("mknod /d b 7 0 && cat /d", (s) => {
    for (const set of ["bounding", "effective", "permitted"]) s.process.capabilities[set].push("CAP_MKNOD");
  });
  assert.match(ran.err, /Operation not permitted/);
});

t("terminal: a foreground run gets one, with a size and /dev/console", async () => {
  const made = bundle(["sh", "-c", "tty; test -c /dev/console && echo console; stty size"], (s) => {
    s.process.terminal = true;
    s.process.consoleSize = { height: 30, width: 90 };
  });
  const child = spawn(KEEL, ["--root", join(made.dir, "state"), "run", "-b", made.dir, made.id], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  for await (const chunk of child.stdout) out += String(chunk);
  assert.match(out, /\/dev\/(pts\/0|console)\nconsole\n30 90\n/);
});

t("bad input: a broken config.json is refused before anything is touched", () => {
  const made = bundle(["true"]);
  writeFileSync(join(made.dir, "config.json"), '{"ociVersion": "1.0.0", ');
  const ran = run(made);
  assert.equal(ran.code, 1);
  assert.match(ran.err, /parse .*config\.json/);
  assert.equal(existsSync(stateDir(made.id)), false);
  assert.match(keel("run", "../x").err, /invalid container ID format/);
});
