import assert from "node:assert/strict";
import { type StdioOptions, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Ran, tool, until } from "../e2e/harness.ts";
import { call, callerSkip, KEEL, Place } from "./harness.ts";

/** conmon as CRI-O runs it, and the runtime's commands that CRI-O runs by itself. */

const place = new Place();
const skip = callerSkip("conmon", "umoci");
const root = join(place.dir, "state");
let count = 0;

// biome-ignore lint/suspicious/noExplicitAny: tests change every corner of a config.json
type Loose = any;

interface Container {
  readonly id: string;
  readonly bundle: string;
  readonly log: string;
  readonly pidFile: string;
  /** conmon writes the exit code here, under the container's id. */
  readonly exits: string;
}

const keel = (...args: readonly string[]): Ran => call(KEEL, ["--root", root, ...args]);

function container(args: readonly string[], change: (spec: Loose) => void = () => {}): Container {
  const id = `c${process.pid}-${++count}`;
  const bundle = join(place.dir, id);
  const rootfs = join(place.dir, "rootfs");
  if (!existsSync(rootfs)) unpack(rootfs);
  mkdirSync(join(bundle, "exits"), { recursive: true });
  tool(KEEL, "spec", "-b", bundle);
  const spec = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as Loose;
  spec.root = { path: rootfs };
  spec.process.args = args;
  spec.process.env = ["PATH=/bin"];
  spec.process.terminal = false;
  spec.process.rlimits = [];
  change(spec);
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  return { id, bundle, log: join(bundle, "log"), pidFile: join(bundle, "pid"), exits: join(bundle, "exits") };
}

function unpack(rootfs: string): void {
  const layout = join(place.dir, "layout");
  tool("skopeo", "copy", "-q", "--insecure-policy", `docker-archive:${place.archive()}`, `oci:${layout}:hello`);
  tool("umoci", "raw", "unpack", "--image", `${layout}:hello`, rootfs);
}

/**
 * Starts conmon for a create or, with `more`, an exec. It stays as the parent and writes what the runtime said as lines
 * of JSON: the pid, or a negative number with the reason; for an exec, the exit code after it.
 */
function conmon(made: Container, ...more: readonly string[]): (line: number) => Promise<Said> {
  const args = ["--api-version", "1", "-c", made.id, "-u", `u${++count}`, "-n", made.id, "-r", KEEL, "-b", made.bundle];
  args.push("--exit-dir", made.exits, "--runtime-arg", "--root", "--runtime-arg", root);
  args.push("--socket-dir-path", place.dir, "--persist-dir", made.bundle);
  const sync = join(made.bundle, `sync-${count}`);
  const stdio: StdioOptions = ["ignore", "ignore", "ignore", openSync(sync, "w")];
  spawnSync("conmon", [...args, ...more], { stdio, env: { ...process.env, _OCI_SYNCPIPE: "3" } });
  return (line) =>
    until(
      () => `line ${line} of conmon's words: ${readFileSync(sync, "utf8")}`,
      () => {
        const lines = readFileSync(sync, "utf8").split("\n");
        return line < lines.length - 1 ? (JSON.parse(lines[line] ?? "") as Said) : undefined;
      },
    );
}

/** What CRI-O gives for a create. */
const created = (made: Container, ...more: readonly string[]): ReturnType<typeof conmon> =>
  conmon(made, "-p", made.pidFile, "-l", `k8s-file:${made.log}`, ...more);

/** As CRI-O executes: the process is in a file of its own. */
function executed(made: Container, change: object, ...more: readonly string[]): ReturnType<typeof conmon> {
  const { process: own } = JSON.parse(readFileSync(join(made.bundle, "config.json"), "utf8")) as Loose;
  const file = join(made.bundle, `process-${count}.json`);
  writeFileSync(file, JSON.stringify({ ...own, ...change }));
  const pidFile = join(made.bundle, `pid-${count}`);
  return conmon(made, "-e", "--exec-process-spec", file, "-p", pidFile, ...more);
}

interface Said {
  readonly data: number;
  readonly message?: string;
}

/** Lines of the log without their times. */
const logged = (path: string): string[] =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => line.replace(/^\S+ /, ""));

async function exitOf(made: Container): Promise<string> {
  const file = join(made.exits, made.id);
  await until("the exit file", () => existsSync(file) && readFileSync(file, "utf8") !== "");
  return readFileSync(file, "utf8");
}

after(() => {
  if (!skip) for (const id of keel("list", "-q").out.split("\n").filter(Boolean)) keel("delete", "--force", id);
  place.remove();
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 60_000 }, body);

t("create and start: conmon is the parent, keeps the log in CRI's format and the exit code", async () => {
  const made = container(["sh", "-c", "echo out; echo err >&2; exit 7"]);
  const { data: pid } = await created(made)(0);
  assert.equal(readFileSync(made.pidFile, "utf8"), String(pid));
  assert.equal(JSON.parse(keel("state", made.id).out).status, "created");
  const parent = readFileSync(`/proc/${pid}/status`, "utf8").match(/^PPid:\t(\d+)$/m)?.[1];
  assert.equal(readFileSync(`/proc/${parent}/comm`, "utf8"), "conmon\n");
  assert.equal(keel("start", made.id).code, 0);
  assert.equal(await exitOf(made), "7");
  assert.deepEqual(logged(made.log).toSorted(), ["stderr F err", "stdout F out"]);
  assert.equal(JSON.parse(keel("state", made.id).out).status, "stopped");
  assert.equal(keel("delete", made.id).code, 0);
});

t("create that fails: conmon passes on the reason from stderr", async () => {
  const said = await created(container(["nosuch"]))(0);
  assert.ok(said.data < 0, JSON.stringify(said));
  assert.match(said.message ?? "", /exec: "nosuch": executable file not found in \$PATH/);
  const json = container(["/etc"]);
  const log = join(json.bundle, "runtime.log");
  const flags = ["--log-format=json", `--log=${log}`].flatMap((flag) => ["--runtime-arg", flag]);
  assert.ok((await created(json, ...flags)(0)).data < 0);
  // podman takes the whole file as one object
  const record = JSON.parse(readFileSync(log, "utf8"));
  assert.deepEqual([record.level, record.msg], ["error", 'exec: "/etc": is a directory: permission denied']);
});

t("exec: exit codes, output and user; one that cannot run says why", async () => {
  const made = container(["sleep", "1000"]);
  await created(made)(0);
  keel("start", made.id);
  const log = join(made.bundle, "exec.log");
  const user = { uid: 1, gid: 2 };
  const said = executed(made, { args: ["sh", "-c", "id -u; id -g; exit 5"], user }, "-l", `k8s-file:${log}`);
  assert.ok((await said(0)).data > 0);
  assert.equal((await said(1)).data, 5);
  assert.deepEqual(logged(log), ["stdout F 1", "stdout F 2"]);
  const missing = await executed(made, { args: ["nosuch"] }, "-l", `k8s-file:${log}`)(0);
  assert.ok(missing.data < 0);
  assert.match(missing.message ?? "", /executable file not found in \$PATH/);
});

t("terminals: conmon gets the terminal of create and of exec over its console socket", async () => {
  const made = container(["sh", "-c", "tty; stty size; sleep 1000"], (spec) => {
    spec.process.terminal = true;
    spec.process.consoleSize = { height: 31, width: 97 };
  });
  await created(made, "-t")(0);
  keel("start", made.id);
  await until("the terminal's output", () => logged(made.log).length >= 2);
  assert.deepEqual(logged(made.log), ["stdout F /dev/pts/0\r", "stdout F 31 97\r"]);
  const log = join(made.bundle, "exec.log");
  const said = executed(made, { args: ["sh", "-c", "tty; exit 3"] }, "-t", "-l", `k8s-file:${log}`);
  assert.equal((await said(1)).data, 3);
  assert.deepEqual(logged(log), ["stdout F /dev/pts/1\r"]);
});

t(
  "what CRI-O runs by itself: pause, resume, update from stdin, exec, kill, and its texts for what is gone",
  async () => {
    const made = container(["sleep", "1000"]);
    await created(made)(0);
    keel("start", made.id);
    assert.equal(keel("pause", made.id).code, 0);
    assert.equal(JSON.parse(keel("state", made.id).out).status, "paused");
    assert.equal(keel("resume", made.id).code, 0);
    const resources = JSON.stringify({ memory: { limit: 67108864 }, pids: { limit: 55 } });
    const updated = call(KEEL, ["--root", root, "update", "--resources", "-", made.id], { input: resources });
    assert.equal(updated.code, 0, updated.err);
    const features = keel("features");
    assert.equal(features.err, "");
    assert.ok(JSON.parse(features.out).ociVersionMax);
    const file = join(made.bundle, "attached.json");
    const { process: own } = JSON.parse(readFileSync(join(made.bundle, "config.json"), "utf8")) as Loose;
    writeFileSync(file, JSON.stringify({ ...own, args: ["sh", "-c", "cat; exit 6"] }));
    const attached = call(KEEL, ["--root", root, "exec", "--process", file, made.id], { input: "through\n" });
    assert.deepEqual([attached.code, attached.out], [6, "through\n"]);
    assert.equal(keel("kill", made.id, "KILL").code, 0);
    assert.equal(await exitOf(made), "137");
    assert.match(keel("kill", made.id, "TERM").err, /container not running/);
    assert.equal(keel("delete", "--force", made.id).code, 0);
    assert.match(keel("state", made.id).err, /does not exist/);
    assert.equal(keel("delete", "--force", made.id).code, 0);
  },
);

t("a held descriptor would hang conmon: it ends with its container, however many execs there were", async () => {
  const made = container(["sleep", "1000"]);
  const { data: pid } = await created(made)(0);
  const parent = readFileSync(`/proc/${pid}/status`, "utf8").match(/^PPid:\t(\d+)$/m)?.[1];
  keel("start", made.id);
  await executed(made, { args: ["true"] }, "-l", "k8s-file:/dev/null")(1);
  keel("kill", made.id, "KILL");
  await until("conmon to end", () => !existsSync(`/proc/${parent}/cwd`));
});
