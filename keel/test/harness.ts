import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

/** The binary under test; KEEL_BINARY names another build of it (sanitizers, mutants). */
export const KEEL: string = process.env["KEEL_BINARY"] ?? join(import.meta.dirname, "../build/keel");
const BUSYBOX = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path)) ?? "";

/** Why the kernel tests cannot run here, or false. */
export const skip: string | false =
  process.geteuid?.() !== 0
    ? "needs root"
    : BUSYBOX === ""
      ? "needs busybox (package busybox-static)"
      : existsSync(KEEL)
        ? false
        : "keel is not built (npm run build)";

const base: string = mkdtempSync(join(tmpdir(), "keel-test-"));
export const stateRoot: string = join(base, "state");
let count = 0;

// biome-ignore lint/suspicious/noExplicitAny: tests change every corner of a config.json
export type Loose = any;

export interface Bundle {
  readonly id: string;
  readonly dir: string;
  readonly rootfs: string;
}

/** A bundle with a busybox root and keel's default spec as `change` leaves it. */
export function bundle(args: readonly string[], change: (spec: Loose) => void = () => {}): Bundle {
  const id = `t${process.pid}-${++count}`;
  const dir = join(base, id);
  const rootfs = join(dir, "rootfs");
  for (const sub of ["bin", "proc", "sys", "dev", "tmp", "etc"]) mkdirSync(join(rootfs, sub), { recursive: true });
  copyFileSync(BUSYBOX, join(rootfs, "bin/busybox"));
  spawnSync("chroot", [rootfs, "/bin/busybox", "--install", "-s", "/bin"]);
  writeFileSync(
    join(rootfs, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n31337:x:77:77::/evil:/bin/sh\n",
  );
  spawnSync(KEEL, ["spec"], { cwd: dir });
  const path = join(dir, "config.json");
  const spec = JSON.parse(readFileSync(path, "utf8")) as Loose;
  spec.process.terminal = false;
  spec.process.args = args;
  spec.root.readonly = false;
  spec.process.rlimits = [];
  change(spec);
  writeFileSync(path, JSON.stringify(spec));
  return { id, dir, rootfs };
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export function keel(...args: readonly string[]): Ran {
  return result(spawnSync(KEEL, ["--root", stateRoot, ...args], { encoding: "utf8", timeout: 30_000 }));
}

/** As keel, for calls whose child keeps stdio open (a detached container): output goes to a file. */
export function keelDetached(...args: readonly string[]): Ran {
  const file = join(base, `out-${++count}`);
  const done = spawnSync(
    "sh",
    ["-c", 'f=$1; shift; exec "$@" >"$f" 2>&1 </dev/null', "sh", file, KEEL, "--root", stateRoot, ...args],
    { encoding: "utf8", timeout: 30_000 },
  );
  return { code: done.status ?? 128, out: readFileSync(file, "utf8"), err: readFileSync(file, "utf8") };
}

export function run(bundled: Bundle, ...flags: readonly string[]): Ran {
  return keel("run", ...flags, "-b", bundled.dir, bundled.id);
}

export function sh(script: string, change: (spec: Loose) => void = () => {}): Ran {
  return run(bundle(["sh", "-c", script], change));
}

export function state(id: string): Loose {
  const told = keel("state", id);
  return told.code === 0 ? JSON.parse(told.out) : undefined;
}

export const stateDir = (id: string): string => join(stateRoot, id);

/** Creates and starts a container that sleeps; deleted after the tests. */
export function sleeping(change: (spec: Loose) => void = () => {}): Bundle {
  const made = bundle(["sleep", "1000"], change);
  const created = keelDetached("create", "-b", made.dir, made.id);
  if (created.code !== 0) throw new Error(`create failed: ${created.err}`);
  const started = keel("start", made.id);
  if (started.code !== 0) throw new Error(`start failed: ${started.err}`);
  running.push(made.id);
  return made;
}

/** What the default spec becomes with a user namespace whose root is `host` on the host. */
export function inUserNamespace(s: Loose, host = 100000): void {
  s.linux.namespaces.push({ type: "user" });
  s.linux.uidMappings = s.linux.gidMappings = [{ containerID: 0, hostID: host, size: 65536 }];
}

export function withoutNamespace(s: Loose, type: string): void {
  s.linux.namespaces = s.linux.namespaces.filter((ns: Loose) => ns.type !== type);
}

export function joinNamespace(s: Loose, type: string, path: string): void {
  withoutNamespace(s, type);
  s.linux.namespaces.push({ type, path });
}

/** Waits until `ready` holds, at most two seconds. */
export async function until(ready: () => boolean): Promise<void> {
  // Long: it ends as soon as it can, and the machine may be busy.
  for (let i = 0; i < 1000 && !ready(); i++) await sleep(10);
  assert.ok(ready(), "it did not happen within ten seconds");
}

export function alive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

const running: string[] = [];

after(() => {
  for (const id of running) keel("delete", "--force", id);
  rmSync(base, { recursive: true, force: true });
});

function result(done: SpawnSyncReturns<string>): Ran {
  return { code: done.status ?? 128, out: done.stdout, err: done.stderr };
}
