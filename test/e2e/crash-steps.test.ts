/**
 * `kill -9` before each call that makes something durable, taken one after the other: strace kills the process at its
 * n-th call of a kind. A few points of each command in the ordinary run, all of them with BERTH_CRASH_STEPS=all.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { stored } from "../../packages/images/test/fixture.ts";
import { busyboxLayout, changeEverything, derive } from "./fixtures.ts";
import { BERTH, ok, probe, type Ran, Store, tool } from "./harness.ts";
import { Registry } from "./registry.ts";

const skip = probe("docker-registry", "skopeo", "umoci", "strace") || noInjection();
const ALL = process.env["BERTH_CRASH_STEPS"] === "all";
/** Points of one command in the ordinary run. */
const POINTS = 5;
/** Calls after which something is there or gone; pwrite64 is the database's. */
const CALLS = ["fsync", "fdatasync", "rename", "unlink", "rmdir", "mkdir", "ftruncate", "pwrite64"];
const NAME = "r.test/app:1";
const dir = mkdtempSync(join(tmpdir(), "berth-steps-"));
let layout = "";
let archive = "";
let registry: Registry;
let image = "";

/** Why strace cannot kill here, or false: it needs ptrace. */
function noInjection(): string | false {
  const done = spawnSync("strace", ["-qq", "-o", "/dev/null", "-e", "inject=mkdir:signal=KILL", "mkdir", "/proc/none"]);
  return done.signal === "SIGKILL" ? false : "strace cannot kill at a system call here";
}

before(async () => {
  if (skip) return;
  layout = busyboxLayout(dir);
  derive(layout, "busybox", "changed", changeEverything);
  archive = join(dir, "app.tar");
  tool("skopeo", "copy", "--quiet", "--insecure-policy", `oci:${layout}:changed`, `oci-archive:${archive}:${NAME}`);
  registry = await Registry.start();
  image = registry.fill(`oci:${layout}:changed`, "test/app:1");
});

after(async () => {
  if (!skip) await registry[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

interface Case {
  readonly command: readonly string[];
  /** Of the store before: an image under two names, or nothing. */
  readonly full: boolean;
  /** Exit codes and messages of a repetition, besides success. */
  readonly done?: RegExp;
  /** What holds after the repetition. */
  readonly look: (store: Store) => void;
}

function traced(
  store: Store,
  flags: readonly string[],
  command: readonly string[],
): Ran & { readonly killed: boolean } {
  const args = ["-f", "-qq", "-e", `trace=${CALLS.join(",")}`, ...flags, BERTH, ...command];
  const options = { env: store.env, encoding: "utf8", timeout: 60_000 } as const;
  const { status, signal, stdout, stderr } = spawnSync("strace", args, options);
  return { code: status ?? 128, out: stdout, err: stderr, killed: signal === "SIGKILL" || status === 137 };
}

/** How often the busiest thread makes each call. */
function countCalls(
  store: Store,
  command: readonly string[],
): readonly { readonly call: string; readonly n: number }[] {
  const log = join(dir, "calls");
  ok(traced(store, ["-o", log], command));
  const counts = new Map<string, number>();
  for (const line of readFileSync(log, "utf8").split("\n")) {
    const key = /^(\d+ +[a-z0-9]+)\(/.exec(line)?.[1];
    if (key !== undefined) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return CALLS.map((call) => {
    const own = [...counts].filter(([key]) => key.endsWith(` ${call}`)).map(([, n]) => n);
    return { call, n: Math.max(0, ...own) };
  });
}

/** All (call, n), or a sample of them in which every call of a few is, spread over the many. */
function choosePoints(counts: readonly { readonly call: string; readonly n: number }[]): readonly string[] {
  const all = counts.flatMap(({ call, n }) =>
    Array.from({ length: n }, (_, i) => `inject=${call}:signal=KILL:when=${i + 1}`),
  );
  if (ALL) return all;
  const step = Math.max(1, all.length / POINTS);
  return Array.from({ length: Math.min(POINTS, all.length) }, (_, i) => all[Math.floor((i + 0.5) * step)] ?? "");
}

/** A store that begins as a copy of another's data root. */
function copyOf(base: Store): Store {
  const store = new Store();
  if (existsSync(join(base.dir, "data"))) cpSync(join(base.dir, "data"), join(store.dir, "data"), { recursive: true });
  return store;
}

function sound(store: Store, when: string): void {
  const { code, out, err } = store.berth("system", "check");
  assert.ok(code === 0 && /no problems/.test(out), `${when}: ${out}${err}`);
}

function nothingLeft(store: Store): void {
  assert.equal(ok(store.berth("images", "-q")), "");
  for (const name of ["content/sha256", "snapshots"]) assert.deepEqual(stored(join(store.dir, "data"), name), [], name);
}

const runs = (name: string) => (store: Store) => {
  const check = "ls /www; test -e /etc/removed || echo gone; stat -c %a /bin/su-busybox";
  assert.equal(ok(store.berth("run", "--rm", "--network", "none", name, "sh", "-c", check)), "new\ngone\n4755\n");
};

const cases: Readonly<Record<string, () => Case>> = {
  pull: () => ({ command: ["pull", "-q", image], full: false, look: runs(image) }),
  load: () => ({ command: ["load", "-q", "-i", archive], full: false, look: runs(NAME) }),
  push: () => ({
    command: ["push", "-q", `${registry.host}/pushed/app:1`],
    full: true,
    look: () => void tool("skopeo", "inspect", "--tls-verify=false", `docker://${registry.host}/pushed/app:1`),
  }),
  rmi: () => ({
    command: ["rmi", "-f", ...names()],
    full: true,
    done: /no such image/,
    look: (store) => {
      ok(store.berth("system", "prune", "-f"));
      nothingLeft(store);
    },
  }),
  prune: () => ({ command: ["image", "prune", "-a", "-f"], full: true, look: nothingLeft }),
  save: () => ({
    command: ["save", "-o", join(dir, "saved.tar"), NAME],
    full: true,
    look: () => void tool("skopeo", "inspect", `oci-archive:${join(dir, "saved.tar")}`),
  }),
};

const names = (): readonly string[] => [NAME, `${registry.host}/pushed/app:1`];

for (const [name, make] of Object.entries(cases)) {
  test(`kill -9 at each step of ${name}: the store is sound, a repetition works, and nothing is left over`, {
    skip,
    timeout: ALL ? 3_600_000 : 120_000,
  }, async () => {
    const { command, full, done, look } = make();
    await using base = new Store();
    if (full) {
      ok(base.berth("load", "-q", "-i", archive));
      ok(base.berth("tag", NAME, names()[1] ?? ""));
    }
    await using counted = copyOf(base);
    const points = choosePoints(countCalls(counted, command));
    let killed = 0;
    for (const point of points) {
      await using store = copyOf(base);
      rmSync(join(dir, "saved.tar"), { force: true });
      const first = traced(store, ["-o", "/dev/null", "-e", point], command);
      if (first.killed) killed++;
      sound(store, point);
      const again = store.berth(...command);
      assert.ok(again.code === 0 || done?.test(again.err), `${point}: ${again.err}`);
      look(store);
      sound(store, `${point}, after the repetition`);
    }
    assert.ok(killed >= points.length / 2, `${killed} of ${points.length} were killed`);
    if (ALL) console.log(`${name}: ${killed} of ${points.length} points killed`);
  });
}
