import { BerthError, errnoOf } from "@berth/base";
import type { WireError } from "@berth/protocol";

/** What keel reported, as our error. */
export const fromWire = (error: WireError): BerthError =>
  new BerthError(error.code, error.message, {
    hint: error.hint,
    details: { errno: error.errno, step: error.step },
  });

/** keel itself cannot be run. */
export const cannotRun = (program: string, cause: unknown): BerthError =>
  new BerthError("FailedPrecondition", `run ${program}: ${errnoOf(cause) ?? String(cause)}`, {
    hint: "build keel: npm run build",
    cause,
  });

/** keel ended without a reply; `text` is what it wrote instead. */
export const noReply = (program: string, how: string, text: string): BerthError =>
  new BerthError("Internal", `run ${program}: ${how} without a reply${text === "" ? "" : `: ${text.slice(0, 500)}`}`);

/** A path below a root that cannot be followed. */
export const badPath = (root: string, path: string, why: string, cause?: unknown): BerthError =>
  new BerthError("InvalidArgument", `open ${path} in ${root}: ${why}`, { cause });

/** A host path that is no device. */
export const notADevice = (path: string, why: string, cause?: unknown): BerthError =>
  new BerthError("InvalidArgument", `add device ${path}: ${why}`, { cause });
