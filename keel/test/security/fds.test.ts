/** What of the runtime itself a container could get hold of: descriptors, its memory, its program. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { bundle, KEEL, keel, type Loose, run, skip, sleeping, stateDir, until, withoutNamespace } from "../harness.ts";
import { attacker, skipRace } from "./attack.ts";

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);

/** Calls keel with descriptors 10 to 12 open on places of the host, as a careless caller does. */
function keelWithOpenFds(root: string, ...args: readonly string[]): { code: number | null; out: string; err: string } {
  const open = [openSync("/etc", "r"), openSync("/", "r"), openSync(join(root, "caller"), "a")];
  const done = spawnSync(KEEL, ["--root", root, ...args], {
    stdio: ["ignore", "pipe", "pipe", ...Array.from({ length: 7 }, () => "ignore" as const), ...open],
    encoding: "utf8",
  });
  for (const fd of open) closeSync(fd);
  return { code: done.status, out: done.stdout, err: done.stderr };
}

t("fds: what the caller left open does not reach the program, at run and at exec (CVE-2024-21626)", () => {
  const list = [
    "sh",
    "-c",
    "ls /proc/self/fd | wc -l; for fd in 10 11 12; do test -e /proc/self/fd/$fd && echo $fd; done",
  ];
  const made = bundle(list);
  const ran = keelWithOpenFds(made.dir, "run", "-b", made.dir, made.id);
  assert.equal(ran.out, "4\n", ran.err);
  const target = sleeping();
  const executed = keelWithOpenFds(dirname(stateDir("x")), "exec", target.id, ...list);
  assert.equal(executed.out, "4\n", executed.err);
});

t("fds: a cwd through a descriptor that the caller left open is refused (CVE-2024-21626)", () => {
  for (let fd = 3; fd <= 20; fd++) {
    const made = bundle(["true"], (s) => {
      s.process.cwd = `/proc/self/fd/${fd}`;
    });
    const ran = keelWithOpenFds(made.dir, "run", "-b", made.dir, made.id);
    assert.equal(ran.code, 1, `fd ${fd}: ${ran.out}`);
  }
  const target = sleeping();
  for (let fd = 3; fd <= 20; fd++) {
    const ran = keelWithOpenFds(dirname(stateDir("x")), "exec", "--cwd", `/proc/self/fd/${fd}`, target.id, "true");
    assert.equal(ran.code, 255, `fd ${fd}: ${ran.out}`);
  }
});

t("fds: hooks get stdio and nothing else", () => {
  const made = bundle(["true"]);
  const spec = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8")) as Loose;
  const log = join(made.dir, "fds");
  const hook = (kind: string, file: string) => ({
    path: "/bin/sh",
    args: ["sh", "-c", `echo ${kind} $(ls /proc/self/fd | wc -l) >>${file}`],
    env: ["PATH=/bin:/usr/bin"],
  });
  spec.hooks = {
    prestart: [hook("prestart", log)],
    createRuntime: [hook("createRuntime", log)],
    createContainer: [hook("createContainer", log)],
    startContainer: [hook("startContainer", "/fds")],
    poststart: [hook("poststart", log)],
    poststop: [hook("poststop", log)],
  };
  writeFileSync(join(made.dir, "config.json"), JSON.stringify(spec));
  const ran = keelWithOpenFds(made.dir, "run", "-b", made.dir, made.id);
  assert.equal(ran.code, 0, ran.err);
  const expected = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
  assert.equal(readFileSync(log, "utf8"), expected.map((kind) => `${kind} 4\n`).join(""));
  assert.equal(readFileSync(join(made.rootfs, "fds"), "utf8"), "startContainer 4\n");
});

t("fds: a hook gets no variable of the caller but PATH", () => {
  const made = bundle(["true"]);
  const spec = JSON.parse(readFileSync(join(made.dir, "config.json"), "utf8")) as Loose;
  spec.hooks = { createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", `export -p >${made.dir}/env`] }] };
  writeFileSync(join(made.dir, "config.json"), JSON.stringify(spec));
  const done = spawnSync(KEEL, ["--root", join(made.dir, "state"), "run", "-b", made.dir, made.id], {
    env: { ...process.env, TOKEN: "secret" },
  });
  assert.equal(done.status, 0, String(done.stderr));
  assert.doesNotMatch(readFileSync(join(made.dir, "env"), "utf8"), /secret/);
});

test("fds: a process of the container cannot look into one that joins it (CVE-2016-9962)", {
  skip: skipRace,
}, async () => {
  const target = bundle(["/bin/attacker", "watch", "/bin/", "/seen"]);
  copyFileSync(attacker(), join(target.rootfs, "bin/attacker"));
  const root = join(target.dir, "state");
  const child = spawn(KEEL, ["--root", root, "run", "-b", target.dir, target.id], { stdio: "ignore" });
  try {
    await until(() => existsSync(join(target.rootfs, "seen")));
    const script = 'i=0; while [ $i -lt 300 ]; do i=$((i+1)); "$@" >/dev/null 2>&1; done';
    spawnSync("sh", ["-c", script, "sh", KEEL, "--root", root, "exec", target.id, "true"]);
    // a container that shares the pid namespace is born among hostile processes too
    const state = JSON.parse(spawnSync(KEEL, ["--root", root, "state", target.id], { encoding: "utf8" }).stdout);
    const sharing = bundle(["true"], (s) => {
      for (const ns of s.linux.namespaces) if (ns.type === "pid") ns.path = `/proc/${state.pid}/ns/pid`;
    });
    const again = 'i=0; while [ $i -lt 100 ]; do i=$((i+1)); "$@" >/dev/null 2>&1; done';
    spawnSync("sh", ["-c", again, "sh", KEEL, "--root", root, "run", "-b", sharing.dir, sharing.id]);
    assert.equal(readFileSync(join(target.rootfs, "seen"), "utf8"), "");
  } finally {
    spawnSync(KEEL, ["--root", root, "delete", "--force", target.id]);
    child.kill("SIGKILL");
  }
});

t("binary: a container cannot write to keel through /proc/PID/exe (CVE-2019-5736)", () => {
  const own = bundle(["sleep", "100"], (s) => withoutNamespace(s, "pid"));
  const binary = join(own.dir, "keel");
  copyFileSync(KEEL, binary);
  chmodSync(binary, 0o755);
  const before = readFileSync(binary);
  const root = join(own.dir, "state");
  const call = (...args: string[]) =>
    spawnSync("sh", ["-c", '"$@" </dev/null >/dev/null 2>&1', "sh", binary, "--root", root, ...args]);
  // created, not started: the process of this container is keel itself
  assert.equal(call("create", "-b", own.dir, own.id).status, 0);
  const { pid } = JSON.parse(spawnSync(KEEL, ["--root", root, "state", own.id], { encoding: "utf8" }).stdout);
  const script =
    `exec 3</proc/${pid}/exe || exit 9; kill -KILL ${pid}; sleep 0.2; ` +
    "(exec 4>/proc/self/fd/3) && echo opened; echo overwritten >/proc/self/fd/3 && echo written; true";
  const evil = bundle(["sh", "-c", script], (s) => {
    withoutNamespace(s, "pid");
    for (const set of ["bounding", "effective", "permitted"])
      s.process.capabilities[set].push("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN");
  });
  const ran = run(evil);
  call("delete", "--force", own.id);
  assert.equal(ran.out, "");
  assert.match(ran.err, /Read-only file system|Operation not permitted|Permission denied/);
  assert.ok(before.equals(readFileSync(binary)), "the program on the host was changed");
});

t("binary: /proc/self/exe as the program shows a file that nobody can write to (CVE-2019-5736)", () => {
  // the entry point is the runtime's own program: what then runs in the container is keel's file
  const ran = run(bundle(["/proc/self/exe", "--version"]));
  if (ran.code === 0) assert.match(ran.out, /version \d/);
  const target = sleeping();
  const flags = keel("exec", target.id, "/proc/self/exe", "--help");
  assert.ok(flags.code === 0 || /permission denied|no such file|exec/i.test(flags.err), flags.err);
});

t("state: the directory and all in it are for the owner only", () => {
  const target = sleeping();
  mkdirSync(stateDir(target.id), { recursive: true });
  const modeOf = (path: string): string => (lstatSync(path).mode & 0o777).toString(8);
  assert.equal(modeOf(stateDir(target.id)), "700");
  const names = readdirSync(stateDir(target.id));
  assert.ok(names.includes("state.json"));
  for (const name of names) assert.equal(modeOf(join(stateDir(target.id), name)), "600", name);
});
