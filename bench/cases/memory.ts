/** How much memory a pull needs, whatever the size of its layer. */
import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BERTH } from "../measure.ts";
import { printVerdict } from "../report.ts";

const MIB = 1024;
const AT_MOST_MIB = 120;

/** The peaks of all processes of a pull together: more than what they ever had at one time. */
export async function memoryRow(dir: string, images: readonly string[]): Promise<boolean> {
  console.log("\npeak memory of a pull: the sum of VmHWM of Node.js and its children");
  let met = true;
  for (const image of images) {
    const root = join(dir, "memory-row");
    const kib = await peakOf([
      BERTH,
      "--root",
      join(root, "root"),
      "--run-root",
      join(root, "run"),
      "pull",
      "-q",
      image,
    ]);
    rmSync(root, { recursive: true, force: true });
    met = printVerdict(`MiB with a layer of ${image.replace(/^.*mb(\d+):1$/, "$1")} MB`, kib / MIB, AT_MOST_MIB) && met;
  }
  return met;
}

async function peakOf(command: readonly [string, ...string[]]): Promise<number> {
  const [program, ...args] = command;
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const peaks = new Map<number, number>();
  let code: number | null | undefined;
  void ended.then((status) => {
    code = status;
  });
  while (code === undefined) {
    // A mark never falls, so the last look of each process is its peak but for its last few milliseconds.
    for (const pid of treeOf(child.pid ?? 0)) peaks.set(pid, Math.max(peakKib(pid), peaks.get(pid) ?? 0));
    await sleep(10);
  }
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}`);
  return [...peaks.values()].reduce((sum, kib) => sum + kib, 0);
}

function treeOf(pid: number): readonly number[] {
  const children = readProc(`${pid}/task/${pid}/children`).trim().split(" ").filter(Boolean).map(Number);
  return [pid, ...children.flatMap(treeOf)];
}

const peakKib = (pid: number): number => Number(/^VmHWM:\s+(\d+) kB$/m.exec(readProc(`${pid}/status`))?.[1] ?? 0);

/** A process that has ended has nothing to read. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return "";
  }
}
