import type { ErrorCode, WireError } from "@berth/protocol";
import * as c from "./consts.ts";

/** What keel throws: plain data, so that it crosses the socket between init and its parent unchanged. */
export interface RuntimeError extends WireError {
  readonly runtimeError: true;
}

function codeOf(errno: number): ErrorCode {
  if (errno === c.ENOENT || errno === c.ESRCH) return "NotFound";
  if (errno === c.EEXIST) return "AlreadyExists";
  if (errno === c.EPERM || errno === c.EACCES || errno === c.EROFS) return "PermissionDenied";
  if (errno === c.EINVAL || errno === c.ENOTDIR || errno === c.EISDIR) return "InvalidArgument";
  if (errno === 28 || errno === 12 || errno === 24 || errno === 122) return "ResourceExhausted";
  if (errno === c.ENOSYS || errno === c.EOPNOTSUPP) return "Unimplemented";
  return "FailedPrecondition";
}

/** An error of a code with its sentence. */
export function runtimeError(code: ErrorCode, message: string, hint?: string): RuntimeError {
  return hint ? { runtimeError: true, code, message, hint } : { runtimeError: true, code, message };
}

/** An error from a failed call: `<step>: <errno text>`; `result` is the binding's negative return value. */
export function callError(step: string, result: number, hint = hintOf(-result)): RuntimeError {
  const errno = -result;
  const error = {
    runtimeError: true as const,
    code: codeOf(errno),
    message: `${step}: ${sys.errnoText(errno)}`,
    errno: sys.errnoName(errno),
    step,
  };
  return hint
    ? { runtimeError: true, code: error.code, message: error.message, errno: error.errno, step, hint }
    : error;
}

/** The newest call that no container goes without is mount_setattr(2) of Linux 5.12; others have their own reasons. */
function hintOf(errno: number): string | undefined {
  if (errno !== c.ENOSYS || /^([6-9]|\d\d|5\.(1[2-9]|[2-9]\d))\./.test(sys.kernelRelease)) return undefined;
  return `keel needs Linux 5.12 or newer, this is ${sys.kernelRelease}`;
}

/** Returns the value of a call, or throws it as an error of this step. */
export function must(result: number, step: string, hint?: string): number {
  if (result < 0) throw callError(step, result, hint);
  return result;
}

/** As must, for calls that return a number only on failure. */
export function mustGet<T>(result: T | number, step: string): T {
  if (typeof result === "number") throw callError(step, result);
  return result;
}

/** Any thrown value as a RuntimeError; a JavaScript error is a bug of ours. */
export function asRuntimeError(thrown: unknown): RuntimeError {
  const known = thrown as { runtimeError?: boolean; stack?: string; message?: string };
  if (known && known.runtimeError) return thrown as RuntimeError;
  return runtimeError("Internal", `keel failed: ${(known && (known.stack || known.message)) || String(thrown)}`);
}
