import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { skip } from "./harness.ts";
import { connectTo, life, logLines, monitor, orders, sleep, within } from "./monitor-harness.ts";

const t = (name: string, body: () => Promise<void>): void => void test(name, { skip }, body);
const record = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));

t("monitor: a whole life in events, with output, exit code, record and log, and nothing left behind", async () => {
  const config = orders(["sh", "-c", "echo out; echo err >&2; exit 7"]);
  const { client, exit, code } = await life(config);
  assert.deepEqual(
    client.events.map((e) => e.event),
    ["ready", "created", "started", "exit", "cleaned"],
  );
  assert.equal(client.stdout, "out\n");
  assert.equal(client.stderr, "err\n");
  assert.equal(exit.exitCode, 7);
  assert.equal(exit.signal, undefined);
  assert.equal(exit.oomKilled, false);
  assert.ok((exit.startedAt as string) <= exit.finishedAt);
  assert.deepEqual(record(config.exitPath), exit);
  assert.equal(code, 0);
  const lines = logLines(config.logPath);
  assert.deepEqual(
    lines.filter((l) => l.stream === "stdout"),
    [{ stream: "stdout", tag: "F", text: "out" }],
  );
  assert.deepEqual(
    lines.filter((l) => l.stream === "stderr"),
    [{ stream: "stderr", tag: "F", text: "err" }],
  );
  assert.deepEqual(readdirSync(config.bundle).sort(), [
    "config.json",
    "exit.json",
    "log",
    "monitor.json",
    "pid",
    "rootfs",
  ]);
});

t("monitor: all output comes before the exit event, whatever its size", async () => {
  const { client, exit } = await life(orders(["sh", "-c", "yes 0123456789abcde | head -c 4000000; echo end >&2"]));
  assert.equal(exit.exitCode, 0);
  assert.equal(client.stdout.length, 4_000_000);
  assert.equal(client.stdout.slice(-32), "0123456789abcde\n0123456789abcde\n");
  assert.equal(client.stderr, "end\n");
});

t("monitor: the log splits long lines and marks an unfinished one with P", async () => {
  const config = orders(["sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo; printf unfinished"]);
  await life(config);
  const lines = logLines(config.logPath);
  const last = lines.pop();
  assert.deepEqual(last, { stream: "stdout", tag: "P", text: "unfinished" });
  assert.equal(lines.map((l) => l.text).join(""), "x".repeat(40_000));
  assert.equal(
    lines
      .map((l) => l.tag)
      .join("")
      .replace(/P+/, "P"),
    "PF",
  );
  assert.ok(lines.every((l) => l.text.length <= 16_384));
});

t("monitor: a signal ends the container with 128 + n, and a second client sees it", async () => {
  const config = orders(["sleep", "1000"]);
  const { client, ended } = monitor(config);
  await client.request({ op: "start" });
  const second = await connectTo(config);
  const state = await second.request({ op: "state" });
  assert.ok(state.ok && state.state?.phase === "running" && state.state.pid > 0);
  assert.equal((await second.request({ op: "signal", signal: 9 })).ok, true);
  const exit = await second.exit();
  assert.deepEqual([exit.exitCode, exit.signal], [137, 9]);
  assert.deepEqual(await client.exit(), exit);
  assert.equal(await ended, 0);
});

t("monitor: SIGTERM is passed on to the container", async () => {
  const config = orders(["sh", "-c", "trap 'echo got; exit 3' TERM; echo up; while :; do sleep 0.05; done"]);
  const { child, client } = monitor(config);
  await client.attach();
  await client.request({ op: "start" });
  await client.until("up", () => client.stdout === "up\n");
  child.kill("SIGTERM");
  assert.equal((await client.exit()).exitCode, 3);
  assert.equal(client.stdout, "up\ngot\n");
});

t("monitor: with create on request nothing is made before it, and abort undoes what was", async () => {
  const config = { ...orders(["sleep", "1000"]), autoCreate: false };
  const { client, ended } = monitor(config);
  await client.event("ready");
  assert.equal(existsSync(config.pidFile), false);
  assert.equal((await client.request({ op: "start" })).ok, false);
  const created = await client.request({ op: "create" });
  assert.ok(created.ok && created.state?.phase === "created");
  const pid = created.state.pid;
  assert.equal((await client.request({ op: "abort" })).ok, true);
  await client.event("cleaned");
  assert.equal(await ended, 0);
  assert.equal(existsSync(`/proc/${pid}`), false);
  assert.equal(existsSync(config.exitPath), false);
  assert.equal(existsSync(config.socketPath), false);
});

t("monitor: a command that is missing fails the create as NotFound and everything is undone", async () => {
  const config = orders(["/no/such/command"]);
  const target = join(config.bundle, "mnt");
  const { client, ended } = monitor({ ...config, exitCommand: ["/bin/false"] });
  const { error } = await client.event("failed");
  assert.equal(error.code, "NotFound", error.message);
  assert.match(error.message, /no such file|not found/i);
  assert.equal(await ended, 1);
  assert.equal(existsSync(target), false);
  assert.equal(existsSync(config.socketPath), false);
  assert.equal(existsSync(config.exitPath), false);
});

t("monitor: a runtime that cannot be executed is no missing command", async () => {
  const { client } = monitor({ ...orders(["true"]), runtime: ["/no/such/runtime"] });
  const { error } = await client.event("failed");
  assert.equal(error.code, "FailedPrecondition");
  assert.match(error.message, /run runtime \/no\/such\/runtime/);
});

t(
  "monitor: mounts are there before create and gone after the exit; the namespace is left to the exit command",
  async () => {
    const config = orders(["sh", "-c", "cat /marker/file; ip -o link | wc -l"], (s) => {
      for (const ns of s.linux.namespaces) if (ns.type === "network") ns.path = `${s.hostname}`;
    });
    const netnsPath = join(config.bundle, "netns");
    const target = join(config.bundle, "rootfs", "marker");
    const source = join(config.bundle, "source");
    const spec = JSON.parse(readFileSync(join(config.bundle, "config.json"), "utf8"));
    for (const ns of spec.linux.namespaces) if (ns.type === "network") ns.path = netnsPath;
    writeFileSync(join(config.bundle, "config.json"), JSON.stringify(spec));
    const { mkdirSync } = await import("node:fs");
    mkdirSync(target);
    mkdirSync(source);
    writeFileSync(join(source, "file"), "bound\n");
    const { client, exit } = await life({
      ...config,
      netnsPath,
      mounts: [{ type: "bind", source, target, options: ["rbind", "ro"] }],
    });
    assert.equal(client.stdout, "bound\n1\n");
    assert.equal(exit.exitCode, 0);
    const mounts = readFileSync("/proc/self/mountinfo", "utf8");
    assert.equal(mounts.includes(target), false);
    assert.equal(mounts.includes(netnsPath), true);
    const { spawnSync } = await import("node:child_process");
    spawnSync("umount", [netnsPath]);
  },
);

t("monitor: a mount that fails is told by its step, and the ones before it are undone", async () => {
  const config = orders(["true"]);
  const { mkdirSync } = await import("node:fs");
  const target = join(config.bundle, "first");
  mkdirSync(target);
  const { client, ended } = monitor({
    ...config,
    mounts: [
      { type: "tmpfs", source: "tmpfs", target, options: ["size=64k"] },
      { type: "bind", source: "/no/such/source", target, options: ["bind"] },
    ],
  });
  const { error } = await client.event("failed");
  assert.match(error.message, /no such file/);
  assert.equal(await ended, 1);
  assert.equal(readFileSync("/proc/self/mountinfo", "utf8").includes(target), false);
});

t("monitor: stdin reaches the container through a full pipe, its end closes it", async () => {
  const config = { ...orders(["sh", "-c", "sleep 0.3; wc -c"]), stdin: true, stdinOnce: true };
  const { client } = monitor(config);
  await client.attach(true);
  await client.request({ op: "start" });
  const chunk = Buffer.alloc(1_000_000, "x");
  for (let i = 0; i < 3; i++) client.stdin(chunk);
  client.stdinEof();
  assert.equal((await client.exit()).exitCode, 0);
  assert.equal(client.stdout.trim(), "3000000");
});

t("monitor: stdinOnce ends the container's stdin when the attached client leaves, else it stays open", async () => {
  for (const stdinOnce of [true, false]) {
    const config = { ...orders(["sh", "-c", "cat; echo done"]), stdin: true, stdinOnce };
    const { client } = monitor(config);
    await client.request({ op: "start" });
    await client.request({ op: "attach", stdin: false, stdout: true, stderr: true });
    const writer = await connectTo(config);
    await writer.attach(true);
    writer.stdin("hello\n");
    await client.until("echo", () => client.stdout === "hello\n");
    writer.leave();
    if (stdinOnce) {
      await client.exit();
      assert.equal(client.stdout, "hello\ndone\n");
    } else {
      await sleep(200);
      assert.equal(client.stdout, "hello\n");
      await client.request({ op: "signal", signal: 9 });
      await client.exit();
    }
  }
});

t("monitor: a terminal has its size, takes input and resizes, and its end is the end of the output", async () => {
  const config = {
    ...orders(["sh", "-c", "stty size; read x; stty size; echo [$x]; tty >/dev/null && echo tty"], (s) => {
      s.process.terminal = true;
    }),
    stdin: true,
  };
  const { client } = monitor(config);
  await client.request({ op: "resize", rows: 33, cols: 111 });
  await client.attach(true);
  await client.request({ op: "start" });
  await client.until("size", () => client.stdout.includes("33 111"));
  assert.equal((await client.request({ op: "resize", rows: 12, cols: 40 })).ok, true);
  client.stdin("abc\n");
  const exit = await client.exit();
  assert.equal(exit.exitCode, 0);
  // the end is told when it is there, not at a later look at the terminal
  assert.ok(Date.now() - Date.parse(exit.finishedAt) < 900, exit.finishedAt);
  assert.match(client.stdout, /12 40\r\n\[abc\]\r\ntty\r\n$/);
  assert.equal(client.stderr, "");
  assert.ok(logLines(config.logPath).some((l) => l.stream === "stdout" && l.text.startsWith("[abc]")));
});

t("monitor: the death of its starter is no matter; a later client attaches and gets exit and record", async () => {
  const config = orders(["sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; echo after; exit 4"]);
  const file = join(config.bundle, "monitor.json");
  writeFileSync(file, JSON.stringify(config));
  const script = `
    const { spawn } = require("node:child_process");
    const child = spawn(${JSON.stringify((await import("./harness.ts")).KEEL)}, ["monitor", ${JSON.stringify(file)}], { stdio: ["ignore", "ignore", "ignore", "pipe"], detached: true });
    const body = Buffer.from(JSON.stringify({ op: "start" }));
    const head = Buffer.alloc(5); head[0] = 4; head.writeUInt32BE(body.length, 1);
    child.stdio[3].write(Buffer.concat([head, body]));
    child.stdio[3].on("data", (d) => { if (d.includes('"started"')) console.log("started"); });`;
  const starter = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await within(new Promise((done) => starter.stdout.once("data", done)), "start by the starter");
  starter.kill("SIGKILL");
  await within(new Promise((done) => starter.once("exit", done)), "death of the starter");
  const client = await connectTo(config);
  await client.attach();
  writeFileSync(join(config.bundle, "rootfs/go"), "");
  assert.equal((await client.exit()).exitCode, 4);
  assert.equal(client.stdout, "after\n");
  assert.deepEqual(record(config.exitPath), await client.exit());
  await client.end();
});

t("monitor: a container held too small is told as killed for lack of memory", async () => {
  const config = orders(["sh", "-c", "head -c 100000000 /dev/zero | tail"], (s) => {
    s.linux.resources = { ...s.linux.resources, memory: { limit: 8_000_000 } };
  });
  const { exit } = await life(config);
  assert.notEqual(exit.exitCode, 0);
  assert.equal(exit.oomKilled, true);
});

t("monitor: the exit command runs unless an owner is connected at the end", async () => {
  for (const own of [true, false]) {
    const config = orders(["true"]);
    const witness = join(config.bundle, "witness");
    const { client, ended } = monitor({
      ...config,
      exitCommand: ["/bin/sh", "-c", `test -e ${config.exitPath} && echo ran > ${witness}`],
    });
    await client.event("ready");
    const owner = await connectTo(config);
    if (own) await client.request({ op: "own" });
    await owner.request({ op: "own" });
    owner.leave();
    await client.request({ op: "start" });
    await ended;
    for (let i = 0; i < 50 && !own && !existsSync(witness); i++) await sleep(20);
    assert.equal(existsSync(witness), !own);
  }
});

t("monitor: a process that outlives the container and holds its output does not hold up the exit", async () => {
  const config = orders(["sh", "-c", "sleep 60 & echo up"], (s) => {
    s.linux.namespaces = s.linux.namespaces.filter((ns: { type: string }) => ns.type !== "pid");
  });
  const begin = Date.now();
  const { client } = await life(config);
  assert.equal(client.stdout, "up\n");
  assert.ok(Date.now() - begin < 6000);
});

t("monitor: a client that does not read is waited for, then dropped; the log has everything", async () => {
  const config = orders(["sh", "-c", "yes 0123456789abcde | head -c 2000000; echo end"]);
  const { client } = monitor(config);
  await client.event("ready");
  const lazy = await connectTo(config);
  await lazy.attach();
  lazy.pause();
  await client.request({ op: "start" });
  const begin = Date.now();
  await client.exit();
  assert.ok(Date.now() - begin > 5000, "the container was held up for a while");
  const lines = logLines(config.logPath);
  assert.equal(lines.length, 125_001);
  assert.equal(lines[125_000]?.text, "end");
});

t("monitor: an owner that reads slowly loses nothing", async () => {
  const config = orders(["sh", "-c", "yes 0123456789abcde | head -c 1000000"]);
  const { client } = monitor(config);
  await client.request({ op: "own" });
  await client.attach();
  await client.request({ op: "start" });
  client.pause();
  await sleep(4000);
  client.resume();
  await client.exit();
  assert.equal(client.stdout.length, 1_000_000);
});

t("monitor: the log goes to a new file after rotation", async () => {
  const config = { ...orders(["sh", "-c", "echo one; read x; echo two"]), stdin: true, stdinOnce: true };
  const { client } = monitor(config);
  await client.attach(true);
  await client.request({ op: "start" });
  await client.until("one", () => client.stdout === "one\n");
  renameSync(config.logPath, `${config.logPath}.1`);
  assert.equal((await client.request({ op: "reopen-log" })).ok, true);
  client.stdin("\n");
  await client.exit();
  assert.deepEqual(
    logLines(`${config.logPath}.1`).map((l) => l.text),
    ["one"],
  );
  assert.deepEqual(
    logLines(config.logPath).map((l) => l.text),
    ["two"],
  );
});

t("monitor: bytes that are not the protocol close that connection only", async () => {
  const config = orders(["sleep", "1000"]);
  const { client } = monitor(config);
  await client.request({ op: "start" });
  const bad = await connectTo(config);
  bad.frame(9, "nonsense");
  await bad.end();
  const long = await connectTo(config);
  long.frame(4, Buffer.alloc(1_048_577));
  await long.end();
  assert.equal((await client.request({ op: "state" })).ok, true);
  await client.request({ op: "signal", signal: 9 });
  await client.event("cleaned");
});

t("monitor: the container inherits no descriptor and no signal setting of the monitor", async () => {
  const files = await life(orders(["sh", "-c", "ls /proc/self/fd | wc -l"]));
  assert.equal(files.client.stdout, "4\n"); // 0, 1, 2 and the directory that ls reads
  // not through a shell: busybox's ignores SIGQUIT
  const signals = await life(orders(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]));
  assert.match(signals.client.stdout, /SigBlk:\t0{16}\nSigIgn:\t0{16}/);
});

t("monitor: requests sent at once are answered in order", async () => {
  const config = { ...orders(["sh", "-c", "exit 5"]), autoCreate: false };
  const { client } = monitor(config);
  const replies = await Promise.all([
    client.request({ op: "own" }),
    client.attach(),
    client.request({ op: "create" }),
    client.request({ op: "start" }),
    client.request({ op: "state" }),
  ]);
  assert.deepEqual(
    replies.map((r) => `${r.op} ${r.ok}`),
    ["own true", "attach true", "create true", "start true", "state true"],
  );
  assert.equal((await client.exit()).exitCode, 5);
});
