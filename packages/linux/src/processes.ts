import { readdirSync, readFileSync } from "node:fs";
import { errnoOf } from "@berth/base";

/** Process ids (no threads, not this process) whose environment at their start held exactly `NAME=value`. */
export function listProcessesWithEnv(entry: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => `\0${readEnviron(pid)}`.includes(`\0${entry}\0`))
    .map(Number);
}

function readEnviron(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8");
  } catch (error) {
    // Ended meanwhile, or not ours to look at.
    if (errnoOf(error) === undefined) throw error;
    return "";
  }
}
