/** keel against crun and runc: one container's life, the same bundle. */

import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { planSeccomp } from "../../packages/containers/src/seccomp-plan.ts";
import { type Contender, interleave, KEEL, missing, run, type Target } from "../measure.ts";
import { printComparison } from "../report.ts";
import { footprint } from "./footprint.ts";

const ROUNDS = 60;
/**
 * After so long without a process that was moved to another cgroup by its number, the kernel makes the next such move
 * wait for a grace period of RCU, 5 to 8 ms: crun and runc do that, keel's init moves itself. In a burst only the first
 * one waits, and in an interleaved one this may be any of them; on a machine that starts a container now and then, all.
 */
const REST_MS = 50;

export function runtimeCase(): boolean {
  const dir = mkdtempSync(join(tmpdir(), "berth-bench-"));
  const undo = crunHierarchy();
  try {
    makeBundle(dir);
    return [lifeInOne(dir), withFilter(dir), lifeInThree(dir), execOnce(dir), footprint(runtimes(dir), dir)].every(
      Boolean,
    );
  } finally {
    undo?.();
    rmSync(dir, { recursive: true, force: true });
  }
}

function lifeInOne(dir: string): boolean {
  const contenders = runtimes(dir).map(({ name, argv, skip }) => ({
    name,
    skip,
    commands: [[...argv, "run", "--bundle", dir, "bench"]],
  }));
  return compare("OCI run of /bin/true, default spec", contenders, [
    { ours: "keel", peer: "crun", what: "wall", atMost: 0.8 },
    { ours: "keel", peer: "runc", what: "wall", atMost: 0.3 },
    { ours: "keel", peer: "crun", what: "peak", atMost: 0.8 },
  ]);
}

/** Both ways, since neither is the only one in which containers are started. */
function compare(what: string, contenders: readonly Contender[], targets: readonly Target[]): boolean {
  const alone = interleave(contenders, ROUNDS, 3, REST_MS);
  const burst = interleave(contenders, ROUNDS);
  return [
    printComparison(`${what}: one now and then`, contenders, alone, targets),
    printComparison(`${what}: in a burst`, contenders, burst, targets),
  ].every(Boolean);
}

function lifeInThree(dir: string): boolean {
  const contenders = runtimes(dir).map(({ name, argv, skip }) => ({
    name,
    skip,
    commands: [
      [...argv, "create", "--bundle", dir, "bench"],
      [...argv, "start", "bench"],
      [...argv, "delete", "--force", "bench"],
    ],
  }));
  return compare("OCI create, start, delete --force", contenders, [
    { ours: "keel", peer: "crun", what: "wall", atMost: 0.9 },
    { ours: "keel", peer: "crun", what: "peak", atMost: 0.8 },
  ]);
}

/** docker's default profile; each runtime that keeps compiled filters has it after the first rounds. */
function withFilter(dir: string): boolean {
  const filtered = join(dir, "filtered");
  copyBundle(dir, filtered, (spec) => {
    const { capabilities } = spec.process;
    const arch = process.arch === "arm64" ? "arm64" : "amd64";
    spec.linux.seccomp = planSeccomp("default", capabilities.bounding, {
      arch,
      kernelRelease: release(),
      seccomp: true,
    });
  });
  const contenders = runtimes(dir).map(({ name, argv, skip }) => ({
    name,
    skip,
    commands: [[...argv, "run", "--bundle", filtered, "bench"]],
  }));
  return compare("the same with docker's seccomp profile", contenders, [
    { ours: "keel", peer: "crun", what: "wall", atMost: 0.8 },
  ]);
}

function execOnce(dir: string): boolean {
  const sleeping = join(dir, "sleeping");
  copyBundle(dir, sleeping, (spec) => {
    spec.process.args = ["/bin/busybox", "sleep", "1000"];
  });
  const able = runtimes(dir);
  for (const { argv, skip } of able) {
    if (skip === undefined)
      spawnSync(argv[0] ?? "", [...argv.slice(1), "run", "--detach", "--bundle", sleeping, "s"], { stdio: "ignore" });
  }
  try {
    const contenders = able.map(({ name, argv, skip }) => ({
      name,
      skip,
      commands: [[...argv, "exec", "s", "/bin/true"]],
    }));
    return compare("OCI exec of /bin/true", contenders, [{ ours: "keel", peer: "crun", what: "wall", atMost: 0.8 }]);
  } finally {
    for (const { argv } of able) spawnSync(argv[0] ?? "", [...argv.slice(1), "delete", "--force", "s"]);
  }
}

// biome-ignore lint/suspicious/noExplicitAny: any corner of a config.json may change
function copyBundle(from: string, to: string, change: (spec: any) => void): void {
  mkdirSync(to);
  const spec = JSON.parse(readFileSync(join(from, "config.json"), "utf8"));
  spec.root.path = join(from, "rootfs");
  change(spec);
  writeFileSync(join(to, "config.json"), JSON.stringify(spec));
}

export interface Runtime {
  readonly name: string;
  readonly argv: readonly string[];
  readonly skip: string | undefined;
}

function runtimes(dir: string): Runtime[] {
  return [
    { name: "keel", argv: [KEEL, "--root", join(dir, "keel")], skip: undefined },
    { name: "crun", argv: ["crun", "--root", join(dir, "crun")], skip: missing("crun") ?? crunFault(dir) },
    { name: "runc", argv: ["runc", "--root", join(dir, "runc")], skip: missing("runc") },
  ];
}

function makeBundle(dir: string): void {
  const rootfs = join(dir, "rootfs");
  for (const name of ["bin", "proc", "sys", "dev"]) mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync("/bin/busybox", join(rootfs, "bin/busybox"));
  run("ln", "-s", "busybox", join(rootfs, "bin/true"));
  run("sh", "-c", `cd "${dir}" && "${KEEL}" spec`);
  const path = join(dir, "config.json");
  const spec = JSON.parse(readFileSync(path, "utf8"));
  spec.process.terminal = false;
  spec.process.args = ["/bin/true"];
  spec.ociVersion = "1.0.2"; // crun of Debian 12 refuses newer ones
  // Raising a limit needs a right that many development machines lack.
  spec.process.rlimits = [];
  writeFileSync(path, JSON.stringify(spec));
}

function crunFault(dir: string): string | undefined {
  const tried = spawnSync("crun", ["--root", join(dir, "crun"), "run", "--bundle", dir, "probe"], { encoding: "utf8" });
  return tried.status === 0 ? undefined : `it fails here: ${tried.stderr.trim()}`;
}

/**
 * crun refuses a hybrid cgroup layout until no controller is left on version 2: where hugetlb is, it is moved to version 1
 * for the time of the comparison. Returns what undoes it.
 */
function crunHierarchy(): (() => void) | undefined {
  const unified = "/sys/fs/cgroup/unified/cgroup.controllers";
  let left = "";
  try {
    left = readFileSync(unified, "utf8").trim();
  } catch {
    return undefined; // not hybrid
  }
  if (left !== "hugetlb") return undefined;
  const target = "/sys/fs/cgroup/hugetlb";
  mkdirSync(target, { recursive: true });
  run("mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", target);
  return () => {
    run("umount", target);
    spawnSync("rmdir", [target]);
  };
}
