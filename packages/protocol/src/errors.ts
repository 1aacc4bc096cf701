/** The closed list of error codes that every part of Berth uses (design.md section 7). */
export const ERROR_CODES = [
  "NotFound",
  "AlreadyExists",
  "InvalidArgument",
  "FailedPrecondition",
  "PermissionDenied",
  "Unauthenticated",
  "ResourceExhausted",
  "Unavailable",
  "DeadlineExceeded",
  "Cancelled",
  "Aborted",
  "DataLoss",
  "Unimplemented",
  "Internal",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** An error as it crosses a process boundary: what keel and the monitor report to the engine. */
export interface WireError {
  readonly code: ErrorCode;
  /** `<action> <object>: <cause>`, lower case, no full stop. */
  readonly message: string;
  readonly hint?: string;
  /** errno name such as `ENOENT`, when a system call failed. */
  readonly errno?: string;
  /** The plan step that failed, for example `mount /proc`. */
  readonly step?: string;
}
