import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { bundle, keel, type Loose, run, sh, skip, sleeping } from "./harness.ts";

const base = mkdtempSync(join(tmpdir(), "keel-seccomp-"));
after(() => rmSync(base, { recursive: true, force: true }));
const program = join(base, "agent");

/** Why no agent can be made here, or false. */
const noAgent: string | false =
  skip ||
  (spawnSync("gcc", ["-O", "-o", program, join(import.meta.dirname, "native/seccomp-agent.c")]).status === 0
    ? false
    : "needs gcc with the kernel's headers");

interface Agent {
  readonly path: string;
  readonly process: ChildProcess;
  /** Lines it printed. */
  lines(): string[];
}

let agents = 0;
async function startAgent(): Promise<Agent> {
  const path = join(base, `agent-${++agents}.sock`);
  const process = spawn(program, [path], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  process.stdout.on("data", (data) => {
    text += data;
  });
  await once(process.stdout, "data");
  return { path, process, lines: () => text.split("\n").slice(0, -1) };
}

const rule = (names: readonly string[], action: string): Loose => ({ names, action });

test("seccomp: an agent answers the calls of SCMP_ACT_NOTIFY, and gets state and metadata", {
  skip: noAgent,
}, async () => {
  const agent = await startAgent();
  const made = bundle(["sh", "-c", "mkdir /tmp/a; echo then"], (spec) => {
    spec.linux.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      listenerPath: agent.path,
      listenerMetadata: "for the agent",
      flags: ["SECCOMP_FILTER_FLAG_LOG"],
      syscalls: [rule(["mkdir", "mkdirat"], "SCMP_ACT_NOTIFY")],
    };
  });
  const ran = run(made);
  assert.match(ran.err, /can't create directory '\/tmp\/a': No anode/);
  assert.equal(ran.out, "then\n");
  await once(agent.process, "exit");
  const told = JSON.parse(agent.lines()[1] ?? "");
  assert.deepEqual([told.fds, told.metadata, told.state.id], [["seccompFd"], "for the agent", made.id]);
  assert.ok(told.pid > 1);
  assert.equal(told.state.pid, told.pid);
  assert.equal(told.state.bundle, made.dir);
});

test("seccomp: even a profile that asks about every call reaches its program", {
  skip: noAgent,
  timeout: 20_000,
}, async () => {
  const agent = await startAgent();
  const ran = sh("echo reached", (spec) => {
    spec.process.noNewPrivileges = false;
    spec.linux.seccomp = { defaultAction: "SCMP_ACT_NOTIFY", listenerPath: agent.path };
  });
  assert.equal(ran.out, "reached\n", ran.err);
  await once(agent.process, "exit");
});

test("seccomp: an exec has a listener of its own, and create and start apart as well", {
  skip: noAgent,
  timeout: 20_000,
}, async () => {
  const first = await startAgent();
  const { id } = sleeping((spec) => {
    spec.linux.seccomp = {
      defaultAction: "SCMP_ACT_ALLOW",
      listenerPath: first.path,
      syscalls: [rule(["mkdir", "mkdirat"], "SCMP_ACT_NOTIFY")],
    };
  });
  while (first.lines().length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(JSON.parse(first.lines()[1] ?? "").state.id, id);
  assert.match(keel("exec", id, "true").err, /failed to connect with seccomp agent at linux\.seccomp\.listenerPath /);
  keel("delete", "--force", id);
  await once(first.process, "exit");
});

test("seccomp: an agent that is not there or not named is told before anything is made", { skip }, () => {
  const told = (listenerPath: string | undefined) =>
    sh("true", (spec) => {
      spec.linux.seccomp = { defaultAction: "SCMP_ACT_NOTIFY", listenerPath };
    }).err;
  assert.match(told(undefined), /linux\.seccomp\.listenerPath: is required with SCMP_ACT_NOTIFY/);
  assert.match(told("/nowhere/agent.sock"), /agent at linux\.seccomp\.listenerPath \/nowhere\/agent\.sock: no such/);
});

test("seccomp: a call newer than the profile is answered ENOSYS, one that it could have named as it says", {
  skip,
}, () => {
  const profile = (names: readonly string[]) => (spec: Loose) => {
    spec.linux.seccomp = { defaultAction: "SCMP_ACT_ERRNO", syscalls: [rule(names, "SCMP_ACT_ALLOW")] };
  };
  // all of a shell's calls, and for the second profile one with a number past that of faccessat2
  const old = (
    "access arch_prctl brk chdir close dup dup2 dup3 execve exit exit_group fcntl fork fstat getcwd " +
    "getegid geteuid getgid getpid getppid getuid ioctl lseek mmap mprotect munmap newfstatat open openat " +
    "pipe pipe2 poll read readlink rt_sigaction rt_sigprocmask rt_sigreturn set_robust_list " +
    "set_tid_address setgid setuid stat uname vfork wait4 write writev clone prctl prlimit64 getrandom " +
    "rseq mkdir"
  ).split(" ");
  const probe = "mkdir /tmp/x && echo allowed; umount /tmp/x; echo end";
  const ran = sh(probe, profile(old));
  assert.match(ran.out, /allowed/, ran.err);
  // umount2 is older than what the profile names
  assert.match(ran.err, /Operation not permitted/);
  const narrow = sh(probe, profile(old.filter((name) => !["prlimit64", "getrandom", "rseq"].includes(name))));
  assert.match(narrow.out, /end/);
});

test("seccomp: names the library does not know are skipped, unknown actions, flags and operators are told", {
  skip,
}, () => {
  const told = (seccomp: Loose) =>
    sh("echo ran", (spec) => {
      spec.linux.seccomp = seccomp;
    });
  const skipped = told({
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [rule(["no_such_call", "mkdir"], "SCMP_ACT_ERRNO")],
  });
  assert.equal(skipped.out, "ran\n");
  assert.match(told({ defaultAction: "SCMP_ACT_MAYBE" }).err, /linux\.seccomp\.defaultAction: unknown action/);
  assert.match(told({ defaultAction: "SCMP_ACT_ALLOW", flags: ["X"] }).err, /linux\.seccomp\.flags\[0\]: unknown flag/);
  const waiting = told({ defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] });
  assert.equal(waiting.out, "ran\n");
  assert.match(
    told({ defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_Z80"] }).err,
    /linux\.seccomp\.architectures\[0\]: unknown architecture/,
  );
});
