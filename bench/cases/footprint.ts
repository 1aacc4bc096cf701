/** What a runtime needs besides time: system calls, the memory limit it fits under, its size on disk. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KEEL, missing } from "../measure.ts";
import { printTable, printVerdict } from "../report.ts";
import type { Runtime } from "./runtime.ts";

interface Footprint {
  readonly name: string;
  /** strace -f -c of one `run`, undefined without strace. */
  readonly calls: number | undefined;
  /** Smallest memory limit of the container's cgroup, in KiB, under which `run` of /bin/true works. */
  readonly limitKib: number;
}

export function footprint(runtimes: readonly Runtime[], dir: string): boolean {
  console.log("\nfootprint of one run");
  const able = runtimes.filter(({ skip, name }) => skip === undefined && name !== "runc");
  const found = able.map((runtime) => ({
    name: runtime.name,
    calls: countCalls(runtime, dir),
    limitKib: smallestLimit(runtime, dir),
  }));
  printTable(
    ["", "system calls", "smallest memory limit"],
    found.map(({ name, calls, limitKib }) => [
      name,
      calls === undefined ? "no strace" : String(calls),
      `${limitKib} KiB`,
    ]),
  );
  const size = statSync(KEEL).size;
  const small = printVerdict("size of keel, MB (static, stripped)", size / 1e6, 1.5);
  return [small, verdicts(found)].every(Boolean);
}

function verdicts(found: readonly Footprint[]): boolean {
  const keel = found.find(({ name }) => name === "keel");
  const crun = found.find(({ name }) => name === "crun");
  if (keel === undefined || crun === undefined) return true;
  const fewer =
    keel.calls === undefined ||
    crun.calls === undefined ||
    printVerdict("system calls of keel / crun", keel.calls / crun.calls, 0.6);
  return printVerdict("smallest memory limit, keel / crun", keel.limitKib / crun.limitKib, 1.0) && fewer;
}

function countCalls({ argv }: Runtime, dir: string): number | undefined {
  if (missing("strace") !== undefined) return undefined;
  const report = join(dir, "strace.txt");
  spawnSync("strace", ["-f", "-c", "-o", report, ...argv, "run", "--bundle", dir, "bench"]);
  const total = /(\d+)(?:\s+\d+)? total$/m.exec(existsSync(report) ? readFileSync(report, "utf8") : "");
  return total === null ? undefined : Number(total[1]);
}

/** By halving, to 64 KiB. */
function smallestLimit(runtime: Runtime, dir: string): number {
  let fails = 0;
  let works = 64 * 1024;
  while (works - fails > 64) {
    const middle = Math.round((works + fails) / 128) * 64;
    if (runsUnder(runtime, dir, middle)) works = middle;
    else fails = middle;
  }
  return works;
}

function runsUnder({ name, argv }: Runtime, dir: string, limitKib: number): boolean {
  const bundle = join(dir, `limited-${name}`);
  mkdirSync(bundle, { recursive: true });
  const spec = JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));
  spec.root.path = join(dir, "rootfs");
  spec.linux.resources = { memory: { limit: limitKib * 1024 } };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  const [program = "", ...flags] = argv;
  const ran = spawnSync(program, [...flags, "run", "--bundle", bundle, "limited"], {
    stdio: "ignore",
    timeout: 10_000,
  });
  if (ran.status !== 0) spawnSync(program, [...flags, "delete", "--force", "limited"], { stdio: "ignore" });
  return ran.status === 0;
}
