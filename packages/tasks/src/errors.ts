import { BerthError } from "@berth/base";
import type { WireError } from "@berth/protocol";

/** What the monitor or the runtime reported, as the engine's error. */
export const fromWire = (error: WireError): BerthError =>
  new BerthError(error.code, error.message, {
    hint: error.hint,
    details: { errno: error.errno, step: error.step },
  });

export const monitorGone = (id: string, why: string): BerthError =>
  new BerthError("Aborted", `talk to the monitor of container ${id}: ${why || "it ended"}`, {
    hint: "see the container's state with berth inspect; it can be started again",
  });

export const noMonitor = (socketPath: string, cause: unknown): BerthError =>
  new BerthError("Unavailable", `connect to the container's monitor at ${socketPath}: nobody answers`, { cause });

export const cannotSpawn = (path: string, cause: unknown): BerthError =>
  new BerthError("FailedPrecondition", `start ${path}: Berth's low-level runtime cannot be run`, {
    hint: "build it again: ./berth does so when keel/build/keel is missing",
    cause,
  });
