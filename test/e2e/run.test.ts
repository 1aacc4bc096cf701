import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { busyboxLayout, changeEverything, derive, twoPlatforms } from "./fixtures.ts";
import { probe, Store, until } from "./harness.ts";
import { Registry } from "./registry.ts";

const skip = probe("docker-registry", "skopeo", "umoci");
const dir = mkdtempSync(join(tmpdir(), "berth-run-"));
let registry: Registry;
let store: Store;
let image = "";

before(async () => {
  if (skip) return;
  const layout = busyboxLayout(dir);
  derive(layout, "busybox", "changed", changeEverything);
  twoPlatforms(layout, "busybox", "multi");
  registry = await Registry.start();
  image = registry.fill(`oci:${layout}:busybox`, "test/busybox:1");
  registry.fill(`oci:${layout}:changed`, "test/changed:1");
  registry.fill(`oci:${layout}:multi`, "test/multi:1", "--all");
  store = new Store();
});

after(async () => {
  if (skip) return;
  await store[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip }, body);
const run = (...args: readonly string[]) => store.berth("run", "--rm", "--network", "none", ...args);

t("run: pulls what is missing, prints the program's output, returns its code", () => {
  const ran = run(image, "sh", "-c", "echo out; echo err >&2; exit 3");
  assert.equal(ran.code, 3, ran.err);
  assert.equal(ran.out, "out\n");
  assert.match(ran.err, /err\n$/);
  assert.equal(store.berth("ps", "-aq").out, "");
});

t("run: layers with whiteouts, hard links to lower layers and set-id bits are as the image says", () => {
  const ran = run(
    `${registry.host}/test/changed:1`,
    "sh",
    "-c",
    "ls /www; test -e /etc/removed || echo gone; stat -c %h /etc/passwd-link; stat -c %a /bin/su-busybox; readlink /etc/abs; cmp /etc/passwd /etc/passwd-link && echo same",
  );
  assert.equal(ran.out, "new\ngone\n2\n4755\n/etc/passwd\nsame\n", ran.err);
});

t("pull: an index of two platforms gives this host's", () => {
  assert.equal(store.berth("pull", "-q", `${registry.host}/test/multi:1`).code, 0);
  const ran = run(`${registry.host}/test/multi:1`, "uname", "-m");
  assert.equal(ran.code, 0, ran.err);
});

t("exit codes: 127 missing, 126 not executable, 125 for our own errors, 128 + n for signals", () => {
  assert.equal(run(image, "nonesuch").code, 127);
  assert.equal(run(image, "/etc/passwd").code, 126);
  assert.equal(run("--nonesuch-flag", image).code, 125);
  assert.equal(run(`${registry.host}/none/such:1`).code, 125);
  // without an init the program is process 1, which the kernel spares from its own signals
  assert.equal(run("--init", image, "sh", "-c", "kill -TERM $$; sleep 1").code, 143);
  assert.equal(store.berth("ps", "-aq").out, "");
});

t("run: environment, workdir, user with its groups, hostname, entrypoint, labels", () => {
  const file = join(dir, "env");
  writeFileSync(file, "# comment\nFROM_FILE=1\n");
  const ran = run(
    "-e",
    "A=b c",
    "--env-file",
    file,
    "-w",
    "/made",
    "-u",
    "www",
    "--hostname",
    "box",
    "--entrypoint",
    "sh",
    image,
    "-c",
    'echo "$A" $FROM_FILE $PWD $(id -u) $(id -G) $(hostname)',
  );
  assert.equal(ran.out, "b c 1 /made 33 33 50 box\n", ran.err);
});

t("run: bind mounts, read-only ones, tmpfs, read-only root, a named volume that stays", () => {
  const host = join(dir, "host");
  mkdirSync(host, { recursive: true });
  writeFileSync(join(host, "f"), "host\n");
  const ran = run(
    "-v",
    `${host}:/h:ro`,
    "--mount",
    `type=bind,source=${host},target=/rw`,
    "--tmpfs",
    "/t",
    "--read-only",
    image,
    "sh",
    "-c",
    "cat /h/f; echo x >/h/f; echo y >/rw/g; echo z >/t/z && echo tmp; echo q >/q",
  );
  assert.equal(ran.out, "host\ntmp\n", ran.err);
  assert.match(ran.err, /h\/f: Read-only[\s\S]*\/q: Read-only/);
  assert.equal(readFileSync(join(host, "g"), "utf8"), "y\n");
  run("-v", "vol:/v", image, "sh", "-c", "echo kept >/v/x");
  assert.equal(run("-v", "vol:/v", image, "cat", "/v/x").out, "kept\n");
});

t("run: default security is docker's: 14 capabilities, a filter, masked paths, no new devices", () => {
  const ran = run(
    image,
    "sh",
    "-c",
    "grep -E '^(CapEff|CapBnd|Seccomp:)' /proc/self/status; wc -c </proc/keys; ls /dev | sort | tr '\\n' ' '; unshare -U true",
  );
  assert.match(ran.out, /CapBnd:\s+00000000a80425fb/);
  assert.match(ran.out, /CapEff:\s+00000000a80425fb/);
  assert.match(ran.out, /Seccomp:\s+2/);
  assert.match(ran.out, /^0$/m);
  assert.match(ran.out, /fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero/);
  assert.match(ran.err, /unshare.*Operation not permitted/);
  const dropped = run("--cap-drop", "ALL", "--cap-add", "CHOWN", image, "grep", "CapEff", "/proc/self/status");
  assert.match(dropped.out, /CapEff:\s+0000000000000001/);
});

t("run: memory, cpu and pids limits reach the kernel", () => {
  const ran = run("--memory", "32m", image, "sh", "-c", "head -c 100000000 /dev/zero | tail >/dev/null; echo $?");
  assert.notEqual(ran.out.trim(), "0");
  const pids = run("--pids-limit", "5", image, "sh", "-c", "for i in 1 2 3 4 5 6 7; do sleep 1 & done");
  assert.match(pids.err, /fork/i);
});

t("run -d: id on stdout; ps, logs, exec, inspect, stop, wait and rm act on it", async () => {
  const started = store.berth(
    "run",
    "-d",
    "--network",
    "none",
    "--name",
    "web",
    "--label",
    "a=b",
    image,
    "sh",
    "-c",
    "echo line1; echo line2 >&2; trap 'exit 5' TERM; while :; do sleep 0.1; done",
  );
  assert.equal(started.code, 0, started.err);
  assert.match(started.out, /^[0-9a-f]{64}\n$/);
  assert.match(store.berth("ps").out, /web/);
  assert.equal(store.berth("ps", "--format", "{{.Names}}").out, "web\n");
  await until("the log", () => store.berth("logs", "web").out === "line1\n");
  assert.match(store.berth("logs", "web").err, /line2/);
  assert.equal(store.berth("exec", "web", "sh", "-c", "exit 4").code, 4);
  const nonesuch = store.berth("exec", "web", "nonesuch");
  assert.equal(nonesuch.code, 127);
  assert.equal(nonesuch.err.trim().split("\n").length, 1, nonesuch.err);
  const inspected = JSON.parse(store.berth("inspect", "web").out)[0];
  assert.equal(inspected.State.Running, true);
  assert.equal(inspected.Config.Labels.a, "b");
  assert.match(store.berth("run", "--name", "web", image, "true").err, /already in use/);
  const waiting = store.spawn("wait", "web");
  let waited = "";
  waiting.stdout?.on("data", (chunk) => {
    waited += String(chunk);
  });
  assert.equal(store.berth("stop", "-t", "5", "web").out, "web\n");
  await once(waiting, "close");
  assert.equal(waited, "5\n");
  assert.match(store.berth("ps", "-a").out, /Exited \(5\)/);
  assert.equal(store.berth("start", "web").out, "web\n");
  assert.equal(store.berth("rm", "web").code, 1);
  assert.equal(store.berth("rm", "-f", "web").out, "web\n");
  assert.equal(store.berth("ps", "-aq").out, "");
});

t("run -i: stdin reaches the program and ends with it", () => {
  const ran = store.berthWith({ input: "one\ntwo\n" }, "run", "--rm", "-i", "--network", "none", image, "cat");
  assert.equal(ran.out, "one\ntwo\n", ran.err);
});

t("create, start -a: output and code of the program", () => {
  const id = store.berth("create", "--network", "none", image, "sh", "-c", "echo hi; exit 6").out.trim();
  const started = store.berth("start", "-a", id);
  assert.equal(started.out, "hi\n");
  assert.equal(started.code, 6);
  store.berth("rm", id);
});

t("images, rmi: listed with ids; a used image is protected", () => {
  assert.match(store.berth("images").out, /test\/busybox\s+1\s+[0-9a-f]{12}/);
  const id = store.berth("create", "--network", "none", `${registry.host}/test/changed:1`, "true").out.trim();
  assert.notEqual(store.berth("rmi", `${registry.host}/test/changed:1`).code, 0);
  store.berth("rm", id);
  assert.match(store.berth("rmi", `${registry.host}/test/changed:1`).out, /Untagged|Deleted/);
  assert.doesNotMatch(store.berth("images").out, /test\/changed/);
});

t("info and version answer, also as JSON", () => {
  assert.equal(store.berth("version").code, 0);
  assert.doesNotThrow(() => JSON.parse(store.berth("info", "--format", "json").out));
});
