/** What docker and podman share: a command line. Each behaviour is run under runc and keel, and must read the same. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Ran } from "../e2e/harness.ts";
import { sleep, until } from "../e2e/harness.ts";
import { Terminal } from "../terminal.ts";
import { type CallOptions, IMAGE, type Place } from "./harness.ts";

export interface Engine {
  readonly skip: string | false;
  readonly place: Place;
  /** The program and its arguments for a command line after `docker`. */
  words(runtime: Runtime, args: readonly string[]): readonly [string, ...string[]];
  call(runtime: Runtime, args: readonly string[], options?: CallOptions): Ran;
}

export type Runtime = "runc" | "keel";
export type Command = (args: readonly string[], options?: CallOptions) => Ran;

const N = ["--network", "none"];
/** A container that just stays; what ends it ends it at once. */
const STAYS = ["-d", ...N, "--stop-signal", "KILL"];

/** Runs the story under both; every command's code and output must be equal. */
export function sameStory(engine: Engine, story: (command: Command) => void): void {
  const [runc, keel] = (["runc", "keel"] as const).map((runtime) => {
    const lines: object[] = [];
    story((args, options) => {
      const ran = engine.call(runtime, args, options);
      lines.push({ command: args.join(" "), code: ran.code, out: normal(ran.out) });
      return ran;
    });
    return lines;
  });
  assert.deepEqual(keel, runc);
}

/** Without ids, and without the runtime's sentence where docker prints it as output: each test that wants one looks for it. */
const normal = (out: string): string =>
  out.replace(/\b[0-9a-f]{12,64}\b/g, "ID").replace(/(OCI runtime exec failed): .*/g, "$1");

/** Its files of cgroup v1 and v2, whichever are there. */
const cgroupFiles = (...files: readonly string[]): string =>
  `cd /sys/fs/cgroup; for f in ${files.join(" ")}; do test ! -e $f || cat $f; done`;

const V1_LIMITS = ["memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us", "pids/pids.max"];
const LIMITS = cgroupFiles(...V1_LIMITS, "memory.max", "cpu.max", "pids.max");

export function dockerLikeTests(engine: Engine): void {
  const t = (name: string, body: () => void | Promise<void>): void =>
    void test(name, { skip: engine.skip, timeout: 120_000 }, body);
  runTests(engine, t);
  lifeTests(engine, t);
  terminalTests(engine, t);
}

type Define = (name: string, body: () => void | Promise<void>) => void;

function runTests(engine: Engine, t: Define): void {
  t("run: output, stdin and exit code", () => {
    sameStory(engine, (command) => {
      const ran = command(["run", "--rm", ...N, IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7"]);
      assert.deepEqual([ran.code, ran.out, ran.err], [7, "out\n", "err\n"]);
      assert.equal(command(["run", "--rm", "-i", ...N, IMAGE, "cat"], { input: "through\n" }).out, "through\n");
    });
  });

  t("run: 127 for what is not there, 126 for what cannot be executed, and why", () => {
    const codes: [string, number, RegExp][] = [
      ["nosuch", 127, /exec: "nosuch": executable file not found in \$PATH/],
      ["/nosuch", 127, /stat \/nosuch: no such file or directory/],
      ["/etc", 126, /exec: "\/etc": .*permission denied/],
      ["/etc/passwd", 126, /exec: "\/etc\/passwd": permission denied/],
    ];
    sameStory(engine, (command) => {
      for (const [program, code, why] of codes) {
        const ran = command(["run", "--rm", ...N, IMAGE, program]);
        assert.equal(ran.code, code, ran.err);
        assert.match(ran.err, why);
      }
    });
    const text = join(engine.place.dir, "text");
    writeFileSync(text, "neither a program nor a script\n");
    chmodSync(text, 0o755);
    // runc starts the container and lets its own process fail inside; keel tells whoever starts it
    const ran = engine.call("keel", ["run", "--rm", ...N, "-v", `${text}:/text`, IMAGE, "/text"]);
    assert.notEqual(ran.code, 0);
    assert.match(ran.err, /exec \/text: exec format error/);
  });

  t("run --user with limits: they are in the cgroup, and the user has what runc gives", () => {
    const flags = ["-m", "64m", "--cpus", "0.5", "--pids-limit", "77", "--user", "1000:1000", "--group-add", "50"];
    const script = `id; umask; ulimit -n; grep -E '^(Cap|NoNew|Seccomp)' /proc/self/status; env | sort; ${LIMITS}`;
    sameStory(engine, (command) => {
      const ran = command(["run", "--rm", "--hostname", "h", ...N, ...flags, IMAGE, "sh", "-c", script]);
      assert.match(ran.out, /^uid=1000/);
      assert.match(ran.out, /^67108864\n50000\b.*\n77\n$/m);
    });
  });

  t("run: root, mounts, devices, capabilities, sysctl and rlimits as runc makes them", () => {
    const shared = join(engine.place.dir, "shared");
    mkdirSync(shared, { recursive: true });
    writeFileSync(join(shared, "file"), "");
    const flags = [
      "--read-only",
      "--tmpfs",
      "/scratch",
      "-v",
      `${shared}:/data:ro`,
      "--hostname",
      "h",
      "--shm-size",
      "1m",
    ];
    flags.push(
      "--sysctl",
      "net.ipv4.ip_forward=1",
      "--cap-drop",
      "ALL",
      "--cap-add",
      "NET_RAW",
      "--oom-score-adj",
      "5",
    );
    flags.push("--security-opt", "no-new-privileges", "--ulimit", "nofile=77:88", "--ulimit", "nproc=500:600");
    flags.push("--device", "/dev/zero:/dev/other", "-w", "/tmp", "-e", "A=b");
    const script = [
      "hostname; pwd; echo $A; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward",
      "touch /x 2>&1; touch /data/x 2>&1; ls /data; touch /scratch/x; stat -c %a /scratch",
      "ls /dev; ls -l /dev/other | cut -c1-10; head -c 3 /dev/other | wc -c; df -k /dev/shm | tail -1 | cut -c 1-30",
      "grep -E '^(Cap|NoNew)' /proc/self/status; grep -c . /proc/keys; ls /sys/firmware; touch /proc/sys/vm/swappiness 2>&1",
      // what masks a file of /proc is runc's tmpfs or the host's /dev/null
      "cut -d' ' -f2,3 /proc/mounts | sed 's,^\\(/proc/[^ ]*\\).*,\\1,' | sort",
    ].join("\n");
    sameStory(engine, (command) => {
      const ran = command(["run", "--rm", ...N, ...flags, IMAGE, "sh", "-c", script]);
      assert.equal(ran.code, 0, ran.err);
      assert.match(
        ran.out,
        /^h\n\/tmp\nb\n77\n88\n5\n1\n.*Read-only file system\n.*Read-only file system\nfile\n1777\n/,
      );
    });
  });

  t("run: more memory than the limit ends with 137", () => {
    sameStory(engine, (command) => {
      const grow = "x=a; while :; do x=$x$x; done";
      assert.equal(command(["run", "--name", "oom", "-m", "8m", ...N, IMAGE, "sh", "-c", grow]).code, 137);
      command(["inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "oom"]);
      command(["rm", "oom"]);
    });
  });

  t("run: namespaces of the host and of another container", () => {
    sameStory(engine, (command) => {
      const host = ["--pid", "host", "--ipc", "host", "--uts", "host", "--network", "host"];
      const own = "for n in pid ipc uts net mnt; do readlink /proc/self/ns/$n; done | sed '$d'";
      const ran = command(["run", "--rm", ...host, IMAGE, "sh", "-c", own]);
      const machine = spawnSync("sh", ["-c", own], { encoding: "utf8" }).stdout;
      assert.equal(ran.out, machine);
      command(["run", ...STAYS, "--name", "first", "--ipc", "shareable", IMAGE, "sleep", "1000"]);
      const joined = ["--pid", "container:first", "--ipc", "container:first", "--network", "container:first"];
      assert.match(command(["run", "--rm", ...joined, IMAGE, "cat", "/proc/1/cmdline"]).out, /^sleep\0/);
      command(["rm", "-f", "first"]);
    });
  });
}

function lifeTests(engine: Engine, t: Define): void {
  // runc before 1.2 refuses it where root itself lacks some of them
  t("exec --privileged: all the capabilities that this machine has to give", () => {
    engine.call("keel", ["run", ...STAYS, "--name", "rights", IMAGE, "sleep", "1000"]);
    const show = ["grep", "CapEff", "/proc/self/status"];
    const plain = engine.call("keel", ["exec", "rights", ...show]);
    const privileged = engine.call("keel", ["exec", "--privileged", "rights", ...show]);
    engine.call("keel", ["rm", "-f", "rights"]);
    const set = (ran: Ran): bigint => BigInt(`0x${/CapEff:\t([0-9a-f]+)/.exec(ran.out)?.[1] ?? ran.err}`);
    assert.ok(set(privileged) > set(plain), privileged.out);
  });
  const PROGRAM = 'echo out; echo err >&2; trap "echo term; exit 3" TERM; while :; do sleep 0.1; done';

  t("logs, exec, top, pause, kill, stop, restart and start: codes and texts as under runc", async () => {
    sameStory(engine, (command) => {
      const state = (): string =>
        command(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "life"]).out.trim();
      command(["run", "-d", "--name", "life", ...N, IMAGE, "sh", "-c", PROGRAM]);
      waitFor(() => engine.call("keel", ["logs", "life"]).err === "err\n");
      const logs = command(["logs", "life"]);
      assert.deepEqual([logs.out, logs.err], ["out\n", "err\n"]);
      execs(command);
      // in any row: process numbers start again, and then a child stands before its parent
      const [titles, ...rows] = engine.call("keel", ["top", "life"]).out.trim().split("\n");
      assert.ok(/CMD|COMMAND/.test(titles ?? "") && rows.some((row) => /sh -c echo out/.test(row)), rows.join("\n"));
      assert.equal(command(["pause", "life"]).code, 0);
      assert.equal(state(), "paused 0");
      assert.notEqual(command(["exec", "life", "true"]).code, 0);
      assert.equal(command(["unpause", "life"]).code, 0);
      assert.equal(command(["kill", "-s", "USR1", "life"]).code, 0);
      command(["stop", "-t", "5", "life"]);
      // USR1 is not caught, but process 1 of a pid namespace is not ended by it
      assert.equal(state(), "exited 3");
      assert.notEqual(command(["exec", "life", "true"]).code, 0);
      command(["start", "life"]);
      assert.equal(command(["restart", "-t", "5", "life"]).code, 0);
      assert.equal(state(), "running 0");
      command(["kill", "life"]);
      command(["wait", "life"]);
      assert.equal(state(), "exited 137");
      assert.notEqual(command(["kill", "life"]).code, 0);
      command(["rm", "life"]);
    });
  });

  t("update: new limits are in the cgroup of the running container", () => {
    sameStory(engine, (command) => {
      command(["run", ...STAYS, "--name", "up", "-m", "64m", "--pids-limit", "100", IMAGE, "sleep", "1000"]);
      const updated = command([
        "update",
        "-m",
        "128m",
        "--memory-swap",
        "256m",
        "--pids-limit",
        "55",
        "--cpus",
        "0.5",
        "up",
      ]);
      const seen = command(["exec", "up", "sh", "-c", LIMITS]);
      // podman has it since 4.3
      if (updated.code === 0) assert.match(seen.out, /^134217728\n50000\b.*\n55\n$/m);
      command(["rm", "-f", "up"]);
    });
  });

  t("rm -f of a running and of a paused container leaves no process, cgroup or state", async () => {
    for (const pause of [false, true]) {
      const id = engine.call("keel", ["run", ...STAYS, IMAGE, "sh", "-c", "sleep 1000 & sleep 1000"]).out.trim();
      const pid = engine.call("keel", ["inspect", "-f", "{{.State.Pid}}", id]).out.trim();
      if (pause) engine.call("keel", ["pause", id]);
      assert.equal(engine.call("keel", ["rm", "-f", id]).code, 0);
      const left = (): string =>
        spawnSync("sh", ["-c", `find /sys/fs/cgroup /run/keel -name '*${id}*' 2>&1; ls -d /proc/${pid} 2>/dev/null`], {
          encoding: "utf8",
        }).stdout.replace(/find: .*\n/g, "");
      await until(
        () => `nothing left of ${id}: ${left()}`,
        () => left() === "",
      );
    }
  });
}

/** exec: what runs, and each way in which it does not. */
function execs(command: Command): void {
  assert.equal(command(["exec", "life", "sh", "-c", "echo in; exit 5"]).code, 5);
  const user = ["-u", "1:2", "-w", "/tmp", "-e", "A=b"];
  const ran = command(["exec", ...user, "life", "sh", "-c", "id -u; id -g; pwd; echo $A; grep ^Cap /proc/self/status"]);
  assert.match(ran.out, /^1\n2\n\/tmp\nb\n/);
  assert.equal(command(["exec", "-i", "life", "cat"], { input: "through\n" }).out, "through\n");
  for (const program of ["nosuch", "/nosuch", "/etc", "/etc/passwd"]) {
    const failed = command(["exec", "life", program]);
    assert.ok(failed.code === 126 || failed.code === 127, `${program}: ${failed.code} ${failed.err}`);
  }
  command(["exec", "-w", "/nosuch", "life", "true"]);
  command(["exec", "-d", "life", "sh", "-c", "echo detached >/tmp/detached"]);
  command(["exec", "life", "sh", "-c", "while ! grep detached /tmp/detached 2>/dev/null; do sleep 0.1; done"]);
}

function waitFor(done: () => boolean): void {
  for (let attempt = 0; attempt < 100 && !done(); attempt++) spawnSync("sleep", ["0.1"]);
}

function terminalTests(engine: Engine, t: Define): void {
  t("run -it: a terminal of our size, Ctrl-C for the program, the shell's exit code", async () => {
    const terminal = new Terminal(engine.words("keel", ["run", "--rm", "-it", ...N, IMAGE, "sh"]));
    await terminal.sees(/# /);
    await sleep(300);
    terminal.type("tty; stty size; test -c /dev/console && echo console\n");
    await terminal.sees(/\/dev\/pts\/0\r\n33 99\r\nconsole\r\n/);
    terminal.type("sleep 1000\n");
    await terminal.sees(/sleep 1000\r\n/);
    await sleep(300);
    terminal.type("\x03");
    await terminal.sees(/# /);
    terminal.type("exit 9\n");
    assert.equal(await terminal.code, 9);
  });

  t("exec -it: a terminal from the container's own devpts", async () => {
    engine.call("keel", ["run", ...STAYS, "--name", "host", IMAGE, "sleep", "1000"]);
    try {
      const terminal = new Terminal(engine.words("keel", ["exec", "-it", "-u", "65534", "host", "sh"]));
      await terminal.sees(/\$ /);
      await sleep(300);
      terminal.type("id -u; tty; stty size; ls -ln $(tty)\n");
      await terminal.sees(/65534\r\n\/dev\/pts\/0\r\n33 99\r\ncrw--w---- +1 65534/);
      terminal.type("exit 3\n");
      assert.equal(await terminal.code, 3);
    } finally {
      engine.call("keel", ["rm", "-f", "host"]);
    }
  });
}
