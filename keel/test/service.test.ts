import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Bundle,
  bundle,
  KEEL,
  keel,
  keelDetached,
  type Ran,
  sh,
  skip,
  sleeping,
  state,
  stateDir,
  until,
} from "./harness.ts";

const dir = mkdtempSync(join(tmpdir(), "keel-service-"));
const listeners: ChildProcess[] = [];

after(() => {
  for (const listener of listeners) listener.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 30_000 }, body);

/** keel as a shell starts it: `words` may hold redirections and `$$`. */
function shell(words: string): Ran {
  const root = join(stateDir("x"), "..");
  const done = spawnSync("sh", ["-c", words, "sh", KEEL, root], { encoding: "utf8", timeout: 30_000 });
  return { code: done.status ?? 128, out: done.stdout, err: done.stderr };
}

const LIST = "cd /proc/self/fd; for fd in 3 4 5; do readlink $fd; done; env | grep LISTEN | sort";

t("socket activation: descriptors that are ours go on, with the variables of the container's process 1", () => {
  const made = bundle(["sh", "-c", LIST]);
  const start = `exec "$1" --root "$2" run --preserve-fds 1 -b ${made.dir} ${made.id} 3</etc/hostname 4</etc/passwd`;
  const ours = shell(`LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web ${start}`);
  assert.equal(ours.out, "/etc/hostname\n/etc/passwd\nLISTEN_FDNAMES=web\nLISTEN_FDS=1\nLISTEN_PID=1\n", ours.err);
  const others = shell(`LISTEN_FDS=1 LISTEN_PID=1 ${start}`);
  assert.equal(others.out, "/etc/hostname\n", others.err);
});

t("--preserve-fds: a descriptor that is not open is refused, for run and exec", () => {
  const made = bundle(["true"]);
  const ran = shell(`exec "$1" --root "$2" run --preserve-fds 2 -b ${made.dir} ${made.id} 3</etc/hostname 4<&-`);
  assert.equal(ran.code, 1);
  assert.match(ran.err, /preserve descriptor 4: it is not open/);
  const target = sleeping();
  assert.match(keel("exec", "--preserve-fds", "1", target.id, "true").err, /preserve descriptor 3: it is not open/);
  const given = shell(`exec "$1" --root "$2" exec --preserve-fds 1 ${target.id} cat /proc/self/fd/3 3</etc/hostname`);
  assert.equal(given.out, readFileSync("/etc/hostname", "utf8"), given.err);
});

/** What a service manager hears on its socket, one datagram a line (systemd's own protocol, spoken by perl). */
class Manager {
  readonly address: string;
  heard = "";

  constructor(address: string) {
    this.address = address;
    const script =
      "use Socket; $| = 1; my $a = $ARGV[0]; $a =~ s/^@/\\0/; socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; " +
      'bind(S, pack_sockaddr_un($a)) or die "bind: $!"; print "bound\\n"; ' +
      'while (defined recv(S, my $m, 4096, 0)) { $m =~ s/\\n/|/g; print "$m\\n"; }';
    const child = spawn("perl", ["-e", script, address], { stdio: ["ignore", "pipe", "inherit"] });
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.heard += text;
    });
    listeners.push(child);
  }

  async hears(text: string): Promise<void> {
    for (let attempt = 0; !this.heard.includes(text); attempt++) {
      assert.ok(attempt < 100, `waiting for ${text}, heard ${this.heard}`);
      await sleep(50);
    }
  }
}

/** Where a container of pid `pid` sees its socket. */
const socketOf = (manager: Manager, pid: number): string =>
  `/proc/${pid}/root${manager.address.startsWith("/") ? manager.address : "/run/notify"}/notify`;

/** A word of the container to the socket it sees. */
function say(manager: Manager, pid: number, text: string): void {
  const script =
    "use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0); " +
    'send(S, $ARGV[1], 0, pack_sockaddr_un($ARGV[0])) or die "send: $!"';
  const done = spawnSync("perl", ["-e", script, socketOf(manager, pid), text], {
    encoding: "utf8",
  });
  assert.equal(done.status, 0, done.stderr);
}

function keelWith(manager: Manager, made: Bundle, ...words: readonly string[]): ChildProcess {
  const env = { ...process.env, NOTIFY_SOCKET: manager.address };
  const root = join(stateDir(made.id), "..");
  return spawn(KEEL, ["--root", root, ...words], { env, stdio: ["ignore", "ignore", "inherit"] });
}

const codeOf = (child: ChildProcess): Promise<number | null> =>
  child.exitCode === null ? new Promise((resolve) => child.on("close", resolve)) : Promise.resolve(child.exitCode);

t("NOTIFY_SOCKET: start returns when the container says READY=1, and the manager learns its pid", async () => {
  const manager = new Manager(join(dir, "manager.sock"));
  await manager.hears("bound");
  const made = bundle(["sh", "-c", `test "$NOTIFY_SOCKET" = ${manager.address}/notify && exec sleep 1000`]);
  assert.equal(await codeOf(keelWith(manager, made, "create", "-b", made.dir, made.id)), 0);
  const start = keelWith(manager, made, "start", made.id);
  const { pid } = state(made.id);
  await until(() => existsSync(socketOf(manager, pid)));
  say(manager, pid, "STATUS=working");
  await sleep(200);
  assert.equal(start.exitCode, null, "it must wait");
  say(manager, pid, "READY=1\nSTATUS=done");
  assert.equal(await codeOf(start), 0);
  await manager.hears("BARRIER=1");
  assert.equal(manager.heard, `bound\nREADY=1|MAINPID=${pid}|\nBARRIER=1\n`);
  assert.equal(state(made.id).status, "running");
  keel("delete", "--force", made.id);
});

t(
  "NOTIFY_SOCKET: a foreground run passes it on to an abstract address, a container that ends first ends the wait",
  async () => {
    const manager = new Manager(`@keel-test-${process.pid}`);
    await manager.hears("bound");
    const made = bundle(["sh", "-c", "while ! test -e /go; do sleep 0.05; done; exit 4"]);
    mkdirSync(join(made.rootfs, "run/notify"), { recursive: true });
    const running = keelWith(manager, made, "run", "-b", made.dir, made.id);
    await until(() => state(made.id)?.status === "running");
    const { pid } = state(made.id);
    say(manager, pid, "READY=1");
    await manager.hears(`READY=1|MAINPID=${pid}|`);
    spawnSync("touch", [join(made.rootfs, "go")]);
    assert.equal(await codeOf(running), 4);
    const short = bundle(["true"]);
    assert.equal(await codeOf(keelWith(manager, short, "run", "-d", "-b", short.dir, short.id)), 0);
    keel("delete", "--force", short.id);
  },
);

t("rlimits: another user's process gets them too, in run and exec", () => {
  const limit = (s: { process: { rlimits: unknown; user: unknown } }): void => {
    s.process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 77, hard: 88 }];
    s.process.user = { uid: 1000, gid: 1000 };
  };
  assert.equal(sh("ulimit -n; ulimit -Hn", limit).out, "77\n88\n");
  const target = sleeping(limit);
  const ran = keel("exec", "-u", "1:2", target.id, "sh", "-c", "id -u; ulimit -n; ulimit -Hn");
  assert.equal(ran.out, "1\n77\n88\n", ran.err);
});

t("tmpfs: a new directory is everybody's, one of the image keeps its mode", () => {
  const ran = sh("stat -c %a /new /tmp", (s) => {
    s.mounts.push({ destination: "/new", type: "tmpfs", options: ["nosuid"] }, { destination: "/tmp", type: "tmpfs" });
  });
  assert.equal(ran.out, "1777\n755\n", ran.err);
});

t("cgroups: without a cgroup namespace a relative path is seen as the container's own", () => {
  const ran = sh(
    "cat /proc/1/cgroup; cat /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>&1 | sort | uniq",
    (s) => {
      s.linux.namespaces = s.linux.namespaces.filter((n: { type: string }) => n.type !== "cgroup");
      s.linux.cgroupsPath = "keel-relative";
      s.mounts.push({ destination: "/sys/fs/cgroup", type: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"] });
    },
  );
  assert.equal(ran.code, 0, ran.err);
  assert.match(ran.out, /keel-relative/);
  assert.doesNotMatch(ran.out, /^\d{3,}$/m, "no process of the host is seen");
});

t("--cgroup-manager disabled: the container stays in the caller's cgroup, a limit is refused", () => {
  const made = bundle(["cat", "/proc/1/cgroup"], (s) => {
    s.linux.namespaces = s.linux.namespaces.filter((n: { type: string }) => n.type !== "cgroup");
  });
  const ran = keel("--cgroup-manager", "disabled", "run", "-b", made.dir, made.id);
  assert.equal(ran.out, readFileSync("/proc/self/cgroup", "utf8"), ran.err);
  const limited = bundle(["true"], (s) => {
    s.linux.resources.pids = { limit: 7 };
  });
  const refused = keel("--cgroup-manager=disabled", "run", "-b", limited.dir, limited.id);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /linux\.resources\.pids: --cgroup-manager disabled makes no cgroup/);
});

t("ps: the table is the host's ps cut to the container, with the caller's columns", () => {
  const target = sleeping();
  const { pid } = state(target.id);
  const full = keel("ps", target.id).out.trim().split("\n");
  assert.match(full[0] ?? "", /^UID +PID /);
  assert.equal(full.length, 2);
  const columns = keel("ps", target.id, "-eo", "pid,args").out;
  assert.match(columns, new RegExp(`^ *PID COMMAND\n *${pid} sleep 1000\n$`));
  assert.match(keel("ps", target.id, "-eo", "args").err, /couldn't find PID field/);
  assert.deepEqual(JSON.parse(keel("ps", "--format", "json", target.id).out), [pid]);
});

t("kill 0: sends nothing, and tells whether the container is there", async () => {
  const target = sleeping();
  assert.equal(keel("kill", target.id, "0").code, 0);
  assert.equal(state(target.id).status, "running");
  assert.equal(keel("kill", target.id, "sigkill").code, 0);
  await until(() => state(target.id).status === "stopped");
  assert.match(keel("kill", target.id, "0").err, /container not running/);
});

t("a directory as program: callers read permission denied", () => {
  const made = bundle(["/etc"]);
  const ran = keelDetached("create", "-b", made.dir, made.id);
  assert.equal(ran.code, 1);
  assert.match(ran.err, /exec: "\/etc": is a directory: permission denied/);
});
