import { ERROR_CODES, type ErrorCode, type WireError } from "@berth/protocol";

/** Beginning of what the child writes on stderr when the runtime itself cannot be executed. */
export const CANNOT_RUN = "run runtime ";

/**
 * Why a runtime command failed. `log` is its `--log-format json` file: the last line of level error or fatal counts
 * (keel adds our code, hint, errno and step); `stderr` is what it wrote there, for runtimes that log nothing.
 */
export function runtimeFailure(command: string, log: string, stderr: string, status: number): WireError {
  const logged = lastError(log);
  const message = (logged && logged.msg) || stderr.replace(/\s+$/, "");
  if (message.substring(0, CANNOT_RUN.length) === CANNOT_RUN) return { code: "FailedPrecondition", message };
  if (message === "")
    return {
      code: "FailedPrecondition",
      message: `${command} container: the runtime ${endText(status)} and said nothing`,
    };
  return {
    code: logged && known(logged.code) ? (logged.code as ErrorCode) : codeOf(message),
    message,
    ...(logged && logged.hint ? { hint: String(logged.hint) } : undefined),
    ...(logged && logged.errno ? { errno: String(logged.errno) } : undefined),
    ...(logged && logged.step ? { step: String(logged.step) } : undefined),
  };
}

interface LogLine {
  readonly level?: string;
  readonly msg: string;
  readonly code?: unknown;
  readonly hint?: unknown;
  readonly errno?: unknown;
  readonly step?: unknown;
}

function lastError(log: string): LogLine | undefined {
  const lines = log.split("\n");
  for (let i = lines.length - 1; i >= 0; i--) {
    try {
      const line = JSON.parse(lines[i] as string) as LogLine | null;
      if (line && typeof line.msg === "string" && (line.level === "error" || line.level === "fatal")) return line;
    } catch {
      // a line that the runtime's end cut off, or no JSON
    }
  }
  return undefined;
}

/**
 * Runtimes tell "the command is missing" and "it cannot be executed" by text only. A mount source or working
 * directory that is missing has the same errno text, but is no reason for exit code 127: so `exec` must be near.
 */
function codeOf(message: string): ErrorCode {
  if (/executable file.*not found|\bexec.*no such file or directory/i.test(message)) return "NotFound";
  if (/\bexec.*permission denied|\bexec.*operation not permitted|exec format error|exec.*is a directory/i.test(message))
    return "PermissionDenied";
  return "FailedPrecondition";
}

function known(code: unknown): boolean {
  return (ERROR_CODES as readonly unknown[]).indexOf(code) >= 0;
}

function endText(status: number): string {
  return (status & 0x7f) === 0 ? `exited with ${(status >> 8) & 255}` : `was ended by signal ${status & 0x7f}`;
}
