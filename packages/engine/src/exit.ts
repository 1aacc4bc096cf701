import { readFileSync } from "node:fs";
import { errnoOf } from "@berth/base";
import type { ExitRecord } from "@berth/protocol";

/** Code of a container whose monitor died without a record; docker uses it for those that a reboot ended. */
const EXIT_UNKNOWN = 255;

/** The monitor's record; undefined while there is none. It is written whole by rename. */
export function findExit(path: string): ExitRecord | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ExitRecord;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** What is said of a container whose end nobody saw. */
export function unseenExit(id: string): ExitRecord {
  return { id, pid: 0, exitCode: EXIT_UNKNOWN, oomKilled: false, finishedAt: new Date().toISOString() };
}
