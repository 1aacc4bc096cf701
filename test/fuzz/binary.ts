/** The built keel with changed bundles: it ends by itself with 0 or 1, says no "keel failed", and leaves nothing behind. */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Json, SPECS } from "./corpus.ts";
import { mutate, textOf } from "./mutate.ts";
import type { Random } from "./random.ts";

const KEEL = process.env["KEEL_BINARY"] ?? join(import.meta.dirname, "../../keel/build/keel");
const BUSYBOX = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path)) ?? "";

/**
 * Changed documents may say what harms a host whose root runs them. So the round runs in mount, network, ipc and uts
 * namespaces of its own, on a file system of its own, and these pieces of the document are not left to chance.
 */
function tame(spec: Json, id: string): Json {
  if (typeof spec !== "object" || spec === null) return spec;
  if (typeof spec.linux === "object" && spec.linux !== null) {
    const path = spec.linux.cgroupsPath;
    if (typeof path === "string") spec.linux.cgroupsPath = `/keel-fuzz/${id}/${path.replaceAll("..", "up")}`;
  }
  if (Array.isArray(spec.mounts)) {
    for (const mount of spec.mounts) {
      if (!Array.isArray(mount?.options)) continue;
      // a remount changes the superblock, which the host has too
      mount.options = mount.options.filter((option: unknown) => !String(option).includes("remount"));
    }
  }
  if (typeof spec.hooks === "object" && spec.hooks !== null) {
    for (const list of Object.values(spec.hooks) as Json[])
      if (Array.isArray(list)) for (const hook of list) if (typeof hook?.path === "string") hook.path = "/bin/true";
  }
  return spec;
}

function mountsBelow(dir: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(dir));
}

function processesOf(dir: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(dir);
    } catch {
      return false;
    }
  });
}

function cgroupsOf(id: string): string[] {
  const roots = existsSync("/sys/fs/cgroup/cgroup.procs")
    ? ["/sys/fs/cgroup"]
    : readdirSync("/sys/fs/cgroup").map((name) => `/sys/fs/cgroup/${name}`);
  return roots.flatMap((root) => [`${root}/${id}`, `${root}/keel-fuzz/${id}`]).filter((path) => existsSync(path));
}

let count = 0;

/** Calls `use` with a function for one round. */
export function runBinary(use: (round: (random: Random) => string) => boolean): boolean {
  const dir = mkdtempSync("/tmp/keel-fuzz-");
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64m", "keel-fuzz", dir]).status !== 0)
    throw new Error(`mount a tmpfs at ${dir}`);
  mkdirSync(join(dir, "state"), { mode: 0o700 });
  try {
    return use((random) => {
      const id = `f${process.pid}-${++count}`;
      try {
        return oneRound(dir, id, random);
      } finally {
        rmSync(join(dir, id), { recursive: true, force: true });
      }
    });
  } finally {
    spawnSync("umount", ["-l", dir]);
    rmSync(dir, { recursive: true, force: true });
  }
}

function oneRound(dir: string, id: string, random: Random): string {
  const bundle = join(dir, id);
  for (const sub of ["bin", "proc", "sys", "dev", "tmp", "etc"])
    mkdirSync(join(bundle, "rootfs", sub), { recursive: true });
  copyFileSync(BUSYBOX, join(bundle, "rootfs/bin/sh"));
  const text = textOf(tame(mutate(random.pick(SPECS)(), random, 2), id), random);
  writeFileSync(join(bundle, "config.json"), text);
  const root = join(dir, "state");
  const call = (...args: readonly string[]): string => {
    const words = ["-m", "-n", "-i", "-u", KEEL, "--root", root, ...args];
    // no pipe: a created container keeps it open
    const said = openSync(join(bundle, "stderr"), "w");
    const done = spawnSync("unshare", words, { stdio: ["ignore", "ignore", said], timeout: 20_000 });
    closeSync(said);
    const stderr = readFileSync(join(bundle, "stderr"), "utf8");
    const told = `${args[0]}: ${stderr.slice(0, 800)} for ${text}`;
    if (done.error) throw new Error(`keel hangs at ${told}`);
    if (done.status === null || done.status > 1)
      throw new Error(`keel ends with ${done.signal ?? done.status} at ${told}`);
    if (/keel failed|TypeError|RangeError|keel: |Sanitizer|runtime error:/.test(stderr))
      throw new Error(`keel says ${told}`);
    return done.status === 0 ? "" : stderr;
  };
  call("plan", "-b", bundle, "-f", "json");
  const failure = call("create", "-b", bundle, id);
  if (failure === "") {
    if (random.once(2)) call("start", id);
    call("state", id);
    call("delete", "--force", id);
  } else if (!/[a-z]/.test(failure)) throw new Error(`keel gives no reason for ${text}`);
  const left = [
    ...readdirSync(root).filter((name) => name.includes(id)),
    ...processesOf(bundle),
    ...cgroupsOf(id),
    ...mountsBelow(bundle),
  ];
  if (left.length > 0) throw new Error(`keel leaves ${left.join(", ")} (${failure}) for ${text}`);
  return text;
}
