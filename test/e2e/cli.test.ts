import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BERTH, HELLO_TAR, helloSkip, probe, Store, until } from "./harness.ts";

const skip = probe("script") || helloSkip();
const HELLO = ["--network", "none", "berth.local/hello"] as const;
const dir = mkdtempSync(join(tmpdir(), "berth-cli-"));
let store: Store;

before(() => {
  if (!skip) store = new Store();
});

after(async () => {
  if (!skip) await store[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 60_000 }, body);

function start(...args: readonly string[]): {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly end: Promise<unknown>;
} {
  const child = store.spawn(...args);
  let out = "";
  child.stdout?.on("data", (chunk) => {
    out += String(chunk);
  });
  return { child, out: () => out, end: once(child, "close").then(([code, signal]) => signal ?? code) };
}

t("signals are passed on; a program that ends by them gives its code", async () => {
  const body = 'trap "echo usr1" USR1; trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done';
  const run = start("run", "--rm", ...HELLO, "sh", "-c", body);
  await until("ready", () => run.out().includes("ready"));
  run.child.kill("SIGUSR1");
  await until("usr1", () => run.out().includes("usr1"));
  run.child.kill("SIGTERM");
  assert.equal(await run.end, 3);
});

t("three interrupts that the program ignores: berth leaves, the container goes on", async () => {
  const run = start("run", "--name", "deaf", ...HELLO, "sh", "-c", "trap '' INT; echo ready; sleep 100");
  await until("ready", () => run.out().includes("ready"));
  for (let i = 0; i < 3; i++) {
    run.child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(await run.end, 130);
  assert.equal(store.berth("inspect", "-f", "{{.State.Running}}", "deaf").out, "true\n");
  store.berth("rm", "-f", "deaf");
});

t("Ctrl-C during a pull: 130, one quiet line, nothing left", async () => {
  let asked = false;
  const silent = createServer(() => {
    asked = true;
  });
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const address = silent.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const run = start("run", "--rm", `127.0.0.1:${port}/never/answers`, "true");
  let err = "";
  run.child.stderr?.on("data", (chunk) => {
    err += String(chunk);
  });
  await until("the request", () => asked);
  run.child.kill("SIGINT");
  assert.equal(await run.end, 130);
  assert.doesNotMatch(err, /internal error|at .*\(/);
  assert.equal(store.berth("ps", "-aq").out, "");
  silent.close();
});

t("output: many bytes arrive whole at a slow reader, and a reader that goes ends berth quietly", () => {
  const env = { ...store.env, BERTH };
  const script = (tail: string): string =>
    `"$BERTH" run --rm ${HELLO.join(" ")} sh -c 'dd if=/dev/zero bs=1M count=40 2>/dev/null' | ${tail}; echo \${PIPESTATUS[0]}`;
  const slow = spawnSync("bash", ["-c", script("(sleep 1; wc -c)")], { env, encoding: "utf8" });
  assert.equal(slow.stdout, `${40 * 1024 * 1024}\n0\n`, slow.stderr);
  const gone = spawnSync("bash", ["-c", script("head -c 1 | wc -c")], { env, encoding: "utf8" });
  assert.equal(gone.stdout, "1\n141\n", gone.stderr);
  assert.equal(gone.stderr, "");
});

t("input: many bytes reach the program; one that does not read them ends all the same", async () => {
  const env = { ...store.env, BERTH };
  const sink = `head -c 30000000 /dev/zero | "$BERTH" run -i --rm ${HELLO.join(" ")} wc -c`;
  assert.equal(spawnSync("bash", ["-c", sink], { env, encoding: "utf8" }).stdout, "30000000\n");
  const deaf = spawn("bash", ["-c", `"$BERTH" run -i --rm ${HELLO.join(" ")} true </dev/zero`], { env });
  const [code] = await once(deaf, "close");
  assert.equal(code, 0);
});

t("-a chooses streams; --cidfile gets the id and is never overwritten", () => {
  const ran = store.berth("run", "--rm", "-a", "stdout", ...HELLO, "sh", "-c", "echo out; echo err >&2");
  assert.deepEqual([ran.out, ran.err], ["out\n", ""]);
  const file = join(dir, "cid");
  const id = store.berth("create", "--cidfile", file, ...HELLO, "true").out.trim();
  assert.equal(readFileSync(file, "utf8"), id);
  assert.equal(store.berth("run", "--rm", "--cidfile", file, ...HELLO, "true").code, 125);
  assert.equal(store.berth("rm", id).code, 0);
  assert.ok(existsSync(file));
});

t("logs: tail, timestamps, following to the end, times", async () => {
  const body = "for i in 1 2 3 4 5; do echo line $i; done; sleep 1; echo last";
  assert.equal(store.berth("run", "-d", "--name", "talk", ...HELLO, "sh", "-c", body).code, 0);
  const follow = start("logs", "-f", "--tail", "2", "talk");
  assert.equal(await follow.end, 0);
  assert.equal(follow.out(), "line 4\nline 5\nlast\n");
  assert.match(store.berth("logs", "-t", "-n", "1", "talk").out, /^\d{4}-\d\d-\d\dT[\d:.]+\d(Z|\+00:00) last\n$/);
  assert.equal(store.berth("logs", "--since", "1h", "--until", "30m", "talk").out, "");
  assert.equal(store.berth("logs", "--since", "1h", "talk").out.split("\n").length, 7);
  assert.equal(store.berth("logs", "nosuch").code, 1);
  store.berth("rm", "-f", "talk");
});

t("ps, images and inspect: filters and formats; several objects, some of them missing", () => {
  const ids = ["one", "two"].map((name) =>
    store.berth("create", "--name", name, "-l", `n=${name}`, ...HELLO, "true").out.trim(),
  );
  const names = (...flags: readonly string[]): string =>
    store.berth("ps", "-a", "--format", "{{.Names}}", ...flags).out;
  assert.equal(names(), "two\none\n");
  assert.equal(names("--filter", "label=n=one"), "one\n");
  assert.equal(names("--filter", "status=running"), "");
  assert.equal(names("-l"), "two\n");
  assert.equal(names("-n", "1", "--filter", "name=one"), "one\n");
  assert.equal(store.berth("ps", "-aq", "--no-trunc").out, `${ids.toReversed().join("\n")}\n`);
  assert.equal(store.berth("images", "--format", "{{.Repository}}:{{.Tag}}").out, "berth.local/hello:latest\n");
  const mixed = store.berth("inspect", "-f", "{{.Name}}", "one", "nosuch", "two");
  assert.deepEqual([mixed.code, mixed.out], [1, "/one\n/two\n"]);
  assert.match(mixed.err, /No such object: nosuch/);
  assert.equal(
    store.berth("inspect", "--type", "image", "-f", "{{index .RepoTags 0}}", "berth.local/hello").out,
    "berth.local/hello:latest\n",
  );
  const removed = store.berth("rm", "one", "nosuch", "two");
  assert.deepEqual([removed.code, removed.out], [1, "one\ntwo\n"]);
});

t("the terminal's modes are as before after an end and after a failure", () => {
  const run = `"$BERTH" run --rm -it ${HELLO.join(" ")}`;
  const script = `stty -g; ${run} true; stty -g; ${run} nonesuch; echo code=$?; stty -g`;
  const env = { ...store.env, BERTH, SHELL: "/bin/sh" };
  const ran = spawnSync("script", ["-qec", script, "/dev/null"], { env, encoding: "utf8", input: "" });
  assert.match(ran.stdout, /code=127/);
  const modes = ran.stdout.match(/[0-9a-f]+(:[0-9a-f]+){20,}/g) ?? [];
  assert.deepEqual([modes.length, new Set(modes).size], [3, 1], ran.stdout);
});

t("load: from stdin and from a file, under its name", () => {
  const env = { ...store.env, BERTH };
  const piped = spawnSync("sh", ["-c", '"$BERTH" load <"$1"', "sh", HELLO_TAR], { env, encoding: "utf8" });
  assert.equal(piped.stdout, "Loaded image: berth.local/hello:latest\n", piped.stderr);
  assert.equal(store.berth("load", "-q", "-i", HELLO_TAR).out, "Loaded image: berth.local/hello:latest\n");
});
