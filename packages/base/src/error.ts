import type { ErrorCode } from "@berth/protocol";

export interface BerthErrorOptions {
  /** What the user can do about it. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /** Machine-readable facts: path, errno, status, digest. No secrets. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** The only error that leaves a package; a plain `Error` means a bug of ours. */
export class BerthError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: BerthErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "BerthError";
    this.code = code;
    this.hint = options.hint;
    this.details = options.details;
  }
}

/** True for a {@link BerthError} with this code; lets callers catch only what they expect. */
export function isCode(error: unknown, code: ErrorCode): error is BerthError {
  return error instanceof BerthError && error.code === code;
}

/** errno name (`ENOENT`) of an error thrown by Node, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code)) {
    return error.code;
  }
  return undefined;
}
