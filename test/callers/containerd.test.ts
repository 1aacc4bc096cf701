import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Ran, sleep, until } from "../e2e/harness.ts";
import { Terminal } from "../terminal.ts";
import { call, callerSkip, Daemon, documented, IMAGE, KEEL, Place, removeCgroupParents } from "./harness.ts";

const place = new Place();
const env = { ...process.env, CONTAINERD_ADDRESS: join(place.dir, "containerd.sock") };
let daemon: Daemon | undefined;

/** The documented file with directories of ours; the CRI plugin is on, since its runtimes are what the file is about. */
function startContainerd(): Daemon {
  const at = (name: string): string => join(place.dir, name);
  const own = [`root = "${at("root")}"`, `state = "${at("state")}"`, "[grpc]", `address = "${env.CONTAINERD_ADDRESS}"`];
  const lines = documented("containerd", "toml").split("\n");
  writeFileSync(at("config.toml"), [lines[0], ...own, ...lines.slice(1)].join("\n"));
  return new Daemon(["containerd", "-c", at("config.toml")], { env, log: openSync(at("containerd.log"), "a") });
}

type Runtime = "runc" | "keel";
const ctr = (...args: readonly string[]): Ran => call("ctr", args, { env });
const runFlags = (runtime: Runtime): readonly string[] => (runtime === "keel" ? ["--runc-binary", KEEL] : []);

async function prepare(): Promise<string | false> {
  const missing = callerSkip("containerd", "ctr");
  if (missing) return missing;
  daemon = startContainerd();
  if (!(await daemon.answers(["ctr", "version"], env))) return "containerd does not answer within 30 s";
  const loaded = ctr("image", "import", place.archive());
  if (loaded.code !== 0) return `containerd does not import an image on this machine: ${loaded.err}`;
  const ran = ctr("run", "--rm", IMAGE, "probe", "true");
  return ran.code === 0 ? false : `containerd does not work with runc on this machine: ${ran.err.trim()}`;
}

const skip = await prepare();

after(async () => {
  if (!skip) {
    for (const id of ctr("container", "ls", "-q").out.split("\n").filter(Boolean)) {
      ctr("task", "rm", "-f", id);
      ctr("container", "rm", id);
    }
  }
  await daemon?.stop();
  removeCgroupParents("default", "keel-callers");
  place.remove();
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

/** What each command of the story ended with and printed must be the same under runc and keel. */
function sameStory(story: (run: (...args: readonly string[]) => Ran, command: typeof ctr) => void): void {
  const [runc, keel] = (["runc", "keel"] as const).map((runtime) => {
    const lines: object[] = [];
    const record = (words: readonly string[], ran: Ran): Ran => {
      // a column is as wide as its longest number
      const columns = ran.out.replace(/ {2,}/g, "  ");
      const out = columns.replace(/\b\d{3,}\b(?= +(RUNNING|PAUSED|STOPPED|-))/g, "PID");
      lines.push({ command: words.join(" "), code: ran.code, out: words[1] === "metrics" ? "" : out });
      return ran;
    };
    story(
      (...args) => record(args, ctr("run", ...runFlags(runtime), ...args)),
      (...args) => record(args, ctr(...args)),
    );
    return lines;
  });
  assert.deepEqual(keel, runc);
}

t("the documented config.toml: the CRI plugin has the runtime keel", () => {
  const dump = call("containerd", ["-c", join(place.dir, "config.toml"), "config", "dump"]).out;
  const section = dump.split("runtimes.keel.options]")[1] ?? "";
  assert.match(section, new RegExp(`^\\s+BinaryName = ["']${KEEL}["']$`, "m"));
});

t("run: output, exit code, and the reason of a failure out of keel's log", () => {
  sameStory((run) => {
    const ran = run("--rm", IMAGE, "a", "sh", "-c", "echo out; echo err >&2; exit 7");
    assert.deepEqual([ran.code, ran.out, ran.err], [7, "out\n", "err\n"]);
    assert.match(run("--rm", IMAGE, "a", "nosuch").err, /exec: "nosuch": executable file not found in \$PATH: unknown/);
    assert.match(run("--rm", IMAGE, "a", "/etc").err, /OCI runtime create failed: .*permission denied: unknown/);
    // a failed one leaves the id free
    assert.equal(run("--rm", IMAGE, "a", "true").code, 0);
  });
});

t("run: limits, user ids, seccomp, read-only root and environment", () => {
  const flags = [
    "--memory-limit",
    "67108864",
    "--cpu-quota",
    "50000",
    "--cpu-period",
    "100000",
    "--cgroup",
    "/keel-callers/a",
  ];
  flags.push("--mount", "type=tmpfs,dst=/scratch", "--seccomp", "--read-only", "--env", "A=b", "--cwd", "/tmp");
  const mounts = "type=bind,src=/sys/fs/cgroup,dst=/groups,options=rbind:ro";
  const files = "memory/keel-callers/a/memory.limit_in_bytes cpu/keel-callers/a/cpu.cfs_quota_us";
  const v2 = "keel-callers/a/memory.max keel-callers/a/cpu.max";
  const script = `pwd; echo $A; touch /x 2>&1; stat -c %a /scratch; grep -E '^(Cap|NoNew|Seccomp)' /proc/self/status
    for f in ${files} ${v2}; do test ! -e /groups/$f || cat /groups/$f; done`;
  sameStory((run) => {
    const ran = run("--rm", ...flags, "--mount", mounts, IMAGE, "a", "sh", "-c", script);
    assert.match(ran.out, /^\/tmp\nb\n.*Read-only file system\n1777\n/);
    assert.match(ran.out, /\n67108864\n50000\b/);
    const mapped = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
    const inside = run("--rm", ...mapped, IMAGE, "a", "sh", "-c", "id -u; cat /proc/self/uid_map");
    assert.match(inside.out, /^0\n +0 +100000 +65536\n$/);
  });
});

t("a task: exec with its user, pause, metrics, ps, kill, and what is said when it is gone", () => {
  sameStory((run, command) => {
    run("-d", "--null-io", IMAGE, "b", "sh", "-c", "sleep 1000 & exec sleep 1000");
    const user = command(
      "task",
      "exec",
      "--exec-id",
      "x",
      "--user",
      "1:2",
      "--cwd",
      "/tmp",
      "b",
      "sh",
      "-c",
      "id -u; id -g; pwd",
    );
    assert.equal(user.out, "1\n2\n/tmp\n", user.err);
    assert.equal(command("task", "exec", "--exec-id", "x", "b", "sh", "-c", "exit 5").code, 5);
    const missing = command("task", "exec", "--exec-id", "x", "b", "nosuch");
    assert.match(missing.err, /OCI runtime exec failed: .*exec: "nosuch": executable file not found in \$PATH/);
    command("task", "pause", "b");
    assert.match(command("task", "ls").out, /\bb +PID|b +\d+ +PAUSED/);
    assert.match(command("task", "exec", "--exec-id", "x", "b", "true").err, /cannot exec in a paused/);
    command("task", "resume", "b");
    assert.equal(ctr("task", "ps", "b").out.trim().split("\n").length, 3);
    // fails under both where containerd cannot find the cgroups of a machine
    command("task", "metrics", "b");
    command("task", "kill", "-s", "KILL", "b");
    for (let attempt = 0; attempt < 50 && !/STOPPED/.test(ctr("task", "ls").out); attempt++)
      spawnSync("sleep", ["0.1"]);
    assert.match(command("task", "kill", "b").err, /process already finished: not found/);
    command("task", "rm", "b");
    command("container", "rm", "b");
  });
});

t("logs: a task's output through the shim into a file", async () => {
  const log = join(place.dir, "task.log");
  ctr(
    "run",
    ...runFlags("keel"),
    "-d",
    "--log-uri",
    `file://${log}`,
    IMAGE,
    "c",
    "sh",
    "-c",
    "echo out; echo err >&2; sleep 1000",
  );
  await until("both lines", () => readFileSync(log, "utf8").split("\n").toSorted().join(" ") === " err out");
  assert.equal(ctr("task", "rm", "-f", "c").code, 0);
  ctr("container", "rm", "c");
});

t("run -t and exec -t: a terminal through the shim's console socket", async () => {
  const terminal = new Terminal(["ctr", "run", "--rm", "-t", ...runFlags("keel"), IMAGE, "d", "sh"], env);
  await terminal.sees(/# /);
  await sleep(300);
  terminal.type("tty; stty size; test -c /dev/console && echo console\n");
  // ctr's own terminal adds another carriage return
  await terminal.sees(/\/dev\/pts\/0\r+\n33 99\r+\nconsole\r+\n/);
  const second = new Terminal(["ctr", "task", "exec", "-t", "--exec-id", "x", "d", "sh"], env);
  await second.sees(/# /);
  second.type("tty; exit 3\n");
  await second.sees(/\/dev\/pts\/1\r+\n/);
  assert.equal(await second.code, 3);
  terminal.type("exit 9\n");
  assert.equal(await terminal.code, 9);
});

t("containerd is restarted: the container goes on and is ended through the new one", async () => {
  ctr("run", ...runFlags("keel"), "-d", "--null-io", IMAGE, "e", "sleep", "1000");
  const pid = /^e +(\d+)/m.exec(ctr("task", "ls").out)?.[1];
  await daemon?.stop();
  daemon = startContainerd();
  assert.ok(await daemon.answers(["ctr", "version"], env));
  assert.match(ctr("task", "ls").out, new RegExp(`^e +${pid} +RUNNING`, "m"));
  assert.equal(ctr("task", "exec", "--exec-id", "x", "e", "true").code, 0);
  assert.equal(ctr("task", "rm", "-f", "e").code, 0);
  assert.equal(ctr("container", "rm", "e").code, 0);
  assert.equal(spawnSync("find", ["/sys/fs/cgroup", "-path", "*/default/e"], { encoding: "utf8" }).stdout, "");
});
