/** Users, capabilities, limits and cgroups: what a program may be and what it may touch. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bundle, KEEL, keel, type Loose, run, sh, skip, sleeping, state } from "../harness.ts";
import { attacker, skipRace } from "./attack.ts";

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);

const STATUS = "grep -E '^(Uid|Gid|Groups|Cap)' /proc/self/status";

t("ids: a number is an id, also for a user of that name, at exec (CVE-2016-3697)", () => {
  const target = sleeping();
  assert.equal(keel("exec", "-u", "31337", target.id, "id", "-u").out, "31337\n");
  assert.match(keel("exec", "-u", "root", target.id, "id", "-u").err, /--user: must be UID\[:GID\] in numbers/);
});

t("ids: a uid alone is not dropped at exec (CVE-2026-30892)", () => {
  const target = sleeping();
  assert.match(keel("exec", "-u", "1", target.id, "sh", "-c", STATUS).out, /Uid:\s+1\s+1\s+1\s+1\nGid:\s+0\s/);
});

t("ids: an id that the kernel takes for 'no change' or cuts to 0 is refused at run and exec", () => {
  for (const uid of [4294967295, 4294967296, -1, 1.5]) {
    const ran = sh("id -u", (s) => {
      s.process.user = { uid, gid: 1000 };
    });
    assert.match(ran.err, /process\.user\.uid: must be an integer from 0 to 4294967294/);
  }
  const target = sleeping();
  for (const user of ["4294967295", "4294967296", "1:4294967295"])
    assert.match(keel("exec", "-u", user, target.id, "id", "-u").err, /--user: must be a whole number from 0 to/);
});

t("ids: the caller's groups do not reach the program (edge 20: setgroups when there are none)", () => {
  for (const uid of [0, 1000]) {
    const made = bundle(["id", "-G"], (s) => {
      s.process.user = { uid, gid: 1000 };
    });
    const call = [KEEL, "--root", join(made.dir, "state"), "run", "-b", made.dir, made.id];
    const script =
      "const [keel, ...args] = process.argv.slice(1); process.setgroups([5, 6]); " +
      'require("node:child_process").spawnSync(keel, args, { stdio: "inherit" })';
    const ran = spawnSync(process.execPath, ["-e", script, ...call], { encoding: "utf8" });
    assert.equal(ran.stdout, "1000\n", ran.stderr);
  }
});

t(
  "caps: nothing is inheritable unless asked for, at run and exec --cap (CVE-2022-29162, CVE-2022-27650, CVE-2025-27612)",
  () => {
    assert.match(sh(STATUS).out, /CapInh:\s+0{16}/);
    const target = sleeping();
    const ran = keel("exec", "--cap", "CAP_NET_RAW", target.id, "sh", "-c", STATUS).out;
    assert.match(ran, /CapInh:\s+0{16}/);
    assert.match(ran, /CapEff:\s+0{8}20002420/);
    assert.match(ran, /CapAmb:\s+0{16}/);
  },
);

t("caps: a plain user has none at exec, with --cap too", () => {
  const target = sleeping();
  for (const flags of [[], ["--cap", "CAP_SYS_ADMIN"]]) {
    const ran = keel("exec", "-u", "1000", ...flags, target.id, "sh", "-c", STATUS).out;
    assert.match(ran, /CapPrm:\s+0{16}\nCapEff:\s+0{16}/);
  }
});

test("caps: a set-user-id program gains nothing past the bounding set, and nothing at all with no_new_privs", {
  skip: skipRace,
}, () => {
  const setuid = (noNewPrivileges: boolean): string => {
    const made = bundle(["/tool", "status"], (s) => {
      s.process.user = { uid: 1000, gid: 1000 };
      s.process.noNewPrivileges = noNewPrivileges;
      s.process.capabilities = { bounding: ["CAP_KILL"], effective: [], permitted: [] };
    });
    copyFileSync(attacker(), join(made.rootfs, "tool"));
    chmodSync(join(made.rootfs, "tool"), 0o4755);
    return run(made).out;
  };
  assert.match(setuid(false), /Uid:\s+1000\s+0\s+0\s+0\n[\s\S]*CapEff:\s+0{14}20\nCapBnd:\s+0{14}20/);
  assert.match(setuid(true), /Uid:\s+1000\s+1000\s+1000\s+1000\n[\s\S]*CapEff:\s+0{16}/);
});

t("limits: rlimits and the OOM score are in force, and need no right of the program", () => {
  const ran = sh("ulimit -n; cat /proc/self/oom_score_adj", (s) => {
    s.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 64, hard: 64 }];
    s.process.oomScoreAdj = 500;
    s.process.capabilities = { bounding: [], effective: [], permitted: [] };
    s.process.user = { uid: 1000, gid: 1000 };
  });
  assert.equal(ran.out, "64\n500\n", ran.err);
});

t("cgroups: without a cgroup namespace the container sees its own group only, read-only (CVE-2023-25809)", () => {
  const script =
    "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/x 2>/dev/null && echo made $d; " +
    "touch $d/cgroup.procs 2>/dev/null && echo opened $d; done; cat /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/pids/cgroup.procs 2>/dev/null | sort -u";
  const ran = sh(script, (s) => {
    s.linux.namespaces = s.linux.namespaces.filter((ns: Loose) => ns.type !== "cgroup");
    s.linux.namespaces.push({ type: "user" });
    s.linux.uidMappings = s.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }];
  });
  assert.doesNotMatch(ran.out, /made|opened/);
  // its shell and what that runs; "0" would be a process outside of its pid namespace
  assert.match(ran.out, /^1\n/, ran.err);
  assert.doesNotMatch(ran.out, /^0$/m);
});

t("mounts: nosymfollow holds, and rro reaches the mounts below", () => {
  const script = "cat /data/link; awk '$5 ~ \"^/tree\" {print $6}' /proc/self/mountinfo | grep -vc '^ro'";
  const made = bundle(["sh", "-c", script], (s) => {
    s.mounts.push({ destination: "/data", type: "bind", source: "src", options: ["bind", "nosymfollow"] });
    s.mounts.push({ destination: "/tree", type: "bind", source: "/sys", options: ["rbind", "rro"] });
  });
  mkdirSync(join(made.dir, "src"));
  writeFileSync(join(made.dir, "src/file"), "");
  symlinkSync("file", join(made.dir, "src/link"));
  const ran = run(made);
  assert.match(ran.err, /\/data\/link'?: (Symbolic link loop|Too many levels of symbolic links)/);
  assert.equal(ran.out, "0\n");
});

t("devices: a rule for one device does not allow others, and a container cannot widen it", () => {
  const target = sleeping((s) => {
    for (const set of ["bounding", "effective", "permitted"]) s.process.capabilities[set].push("CAP_MKNOD");
    s.linux.resources.devices = [
      { allow: false, access: "rwm" },
      { allow: true, type: "c", major: 10, minor: 229, access: "rwm" },
    ];
  });
  for (const [type, major, minor] of [
    ["c", 1, 1],
    ["b", 7, 0],
    ["c", 10, 228],
  ] as const) {
    const ran = keel("exec", target.id, "sh", "-c", `rm -f /d; mknod /d ${type} ${major} ${minor} && cat /d`);
    assert.match(ran.err, /Operation not permitted/, `${type} ${major}:${minor}`);
  }
  assert.equal(state(target.id).status, "running");
});
