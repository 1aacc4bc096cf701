import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  bundle,
  inUserNamespace,
  KEEL,
  keel,
  type Loose,
  run,
  skip,
  sleeping,
  state,
  withoutNamespace,
} from "./harness.ts";

/** What callers of crun have beyond runc's: annotations, options and defaults. */
const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);

t("user namespace: without mappings its root is the caller alone", () => {
  const made = bundle(["cat", "/proc/self/uid_map", "/proc/self/gid_map"], (s) => {
    s.linux.namespaces.push({ type: "user" });
  });
  const ran = run(made);
  assert.equal(ran.out.replace(/ +/g, " "), " 0 0 1\n 0 0 1\n", ran.err);
});

t("user namespace: devices of the config have its owner and mode, also those that the host has no node of", () => {
  const made = bundle(["sh", "-c", "stat -c '%F %t:%T %u:%g %a' /dev/foo; head -c 2 /dev/nil | wc -c"], (s) => {
    inUserNamespace(s);
    s.linux.devices = [
      { path: "/dev/foo", type: "b", major: 7, minor: 3, uid: 10, gid: 11, fileMode: 0o157 },
      { path: "/dev/nil", type: "c", major: 1, minor: 5, fileMode: 0o666 },
    ];
  });
  const ran = run(made);
  assert.equal(ran.out, "block special file 7:3 10:11 157\n2\n", ran.err);
});

t("user namespace: with the host's network it has the host's /sys, without the cgroups", () => {
  const made = bundle(["sh", "-c", "ls -d /sys/class/net/lo; ls /sys/fs/cgroup | wc -l; touch /sys/x"], (s) => {
    inUserNamespace(s);
    withoutNamespace(s, "network");
    s.mounts = s.mounts.filter((m: Loose) => m.destination !== "/sys/fs/cgroup");
  });
  const ran = run(made);
  assert.equal(ran.out, "/sys/class/net/lo\n0\n", ran.err);
  assert.match(ran.err, /Read-only file system/);
});

t("bind mounts: src-nofollow, dest-nofollow and copy-symlink take links for what they are", () => {
  const linked = (command: string[], options: string[], dest = "/target") => {
    const made = bundle(command, (s) => {
      s.mounts.push({ destination: dest, type: "bind", source: "link", options });
    });
    symlinkSync("file", join(made.dir, "link"));
    writeFileSync(join(made.dir, "file"), "content\n");
    symlinkSync("nowhere", join(made.rootfs, "target"));
    return { ...run(made), made };
  };
  assert.equal(linked(["readlink", "/target"], ["bind", "src-nofollow", "dest-nofollow"]).out, "file\n");
  const onto = linked(["cat", "/target"], ["bind", "dest-nofollow"]);
  assert.equal(onto.out, "content\n", onto.err);
  assert.ok(!existsSync(join(onto.made.rootfs, "nowhere")), "nothing was made where the link points");
  assert.equal(linked(["readlink", "/a/b"], ["rbind", "copy-symlink"], "/a/b").out, "file\n");
  assert.match(linked(["true"], ["bind", "copy-symlink"]).err, /something else is there/);
  const own = linked(["readlink", "/proc/self"], ["bind", "src-nofollow", "dest-nofollow"], "/proc/self");
  assert.match(own.err, /a link of procfs cannot be mounted over/);
});

t("mounts: rro and its like hold for a single mount too", () => {
  const made = bundle(["grep", " /mnt ", "/proc/mounts"], (s) => {
    s.mounts.push({ destination: "/mnt", type: "tmpfs", source: "tmpfs", options: ["rro", "rnosuid"] });
  });
  assert.match(run(made).out, /^tmpfs \/mnt tmpfs ro,nosuid/);
});

t("annotations: groups of the caller are kept, unknown system calls refused, on request", () => {
  const groups = (annotations: object) => {
    const made = bundle(["grep", "^Groups:", "/proc/self/status"], (s) => Object.assign(s, { annotations }));
    const words = ["--groups=7,8", KEEL, "--root", join(made.dir, "state"), "run", "-b", made.dir, "x"];
    return spawnSync("setpriv", words, { encoding: "utf8" }).stdout;
  };
  assert.equal(groups({}).trim(), "Groups:");
  assert.equal(groups({ "run.oci.keep_original_groups": "1" }).trim(), "Groups:\t7 8");
  const unknown = (annotations: object) =>
    run(
      bundle(["true"], (s) => {
        const syscalls = [
          {
            names: ["read", "no_such_call"],
            action: "SCMP_ACT_ERRNO",
            args: [{ index: 0, value: 77, op: "SCMP_CMP_EQ" }],
          },
        ];
        s.linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls };
        Object.assign(s, { annotations });
      }),
    );
  assert.equal(unknown({}).code, 0);
  assert.match(
    unknown({ "run.oci.seccomp_fail_unknown_syscall": "1" }).err,
    /syscalls\[0\]\.names\[1\]: unknown system call/,
  );
});

t("hooks: annotations name files for what they write; a poststop hook that fails stops no other", () => {
  const made = bundle(["true"], (s) => {
    const say = { path: "/bin/sh", args: ["sh", "-c", "echo to stdout; echo to stderr >&2"] };
    s.hooks = {
      prestart: [say],
      poststop: [{ path: "/bin/false" }, { path: "/bin/sh", args: ["sh", "-c", "exit 3"] }],
    };
  });
  const config = join(made.dir, "config.json");
  const [out, err] = [join(made.dir, "out"), join(made.dir, "err")];
  const annotations = { "run.oci.hooks.stdout": out, "run.oci.hooks.stderr": err };
  writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), annotations }));
  const ran = run(made);
  assert.equal(ran.code, 0, ran.err);
  assert.deepEqual([readFileSync(out, "utf8"), readFileSync(err, "utf8")], ["to stdout\n", "to stderr\n"]);
  assert.match(ran.err, /poststop hook failed with exit code 1: error running poststop hook #0/);
  assert.match(ran.err, /poststop hook failed with exit code 3: error running poststop hook #1/);
});

t("LISTEN_FDS: a socket that nobody passed is no descriptor of ours", () => {
  const made = bundle(["sh", "-c", "echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd | wc -l"]);
  const env = { ...process.env, LISTEN_FDS: "2" };
  const words = ["--root", join(made.dir, "state"), "run", "-b", made.dir, "x"];
  const ran = spawnSync(KEEL, words, { encoding: "utf8", env });
  // stdio and the directory that ls reads
  assert.equal(ran.stdout, "2 1\n4\n", ran.stderr);
});

t("delete: --regex takes all whose ids match; init is thawed in whatever cgroup it was moved to", () => {
  const target = sleeping();
  assert.match(keel("delete", "--force", "--regex", "*").err, /--regex: .*is "\*"/);
  assert.equal(keel("delete", "--force", "--regex", "^no-such").code, 0);
  assert.equal(state(target.id).status, "running");
  const frozen = "/sys/fs/cgroup/freezer/keel-test-frozen";
  const freezer = existsSync("/sys/fs/cgroup/freezer");
  if (freezer) {
    mkdirSync(frozen);
    writeFileSync(join(frozen, "tasks"), String(state(target.id).pid));
    writeFileSync(join(frozen, "freezer.state"), "FROZEN");
  }
  try {
    const deleted = keel("delete", "--force", "--regex", `^${target.id}$`);
    assert.equal(deleted.code, 0, deleted.err);
    assert.equal(keel("state", target.id).code, 1);
  } finally {
    if (freezer) rmdirSync(frozen);
  }
});

t("help: a command's ends with its usage in crun's form", () => {
  assert.match(keel("exec", "--help").out, /\nUsage: keel \[OPTION\.\.\.\] exec CONTAINER cmd\n$/);
  assert.match(keel("--version").out, /^\+SYSTEMD .*\+SECCOMP/m);
});
