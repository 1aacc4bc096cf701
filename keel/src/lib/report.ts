import * as c from "./consts.ts";
import { context } from "./context.ts";
import { asRuntimeError, type RuntimeError } from "./errors.ts";

/** Prints to stdout, whole. */
export function print(text: string): void {
  sys.writeAll(1, text);
}

/**
 * Tells what went wrong where callers look for it: the bare message on stderr, and one record in `--log`
 * (facts a.3: go-runc reads the last record of level error, podman the whole file as one object).
 */
export function reportError(thrown: unknown): void {
  const error = asRuntimeError(thrown);
  const { log, logFormat } = context();
  sys.writeAll(2, `${error.message}${error.hint ? ` (${error.hint})` : ""}\n`);
  if (log === "") return;
  const time = now();
  const line =
    logFormat === "json"
      ? JSON.stringify(logRecord(error, time))
      : `time="${time}" level=error msg=${JSON.stringify(error.message)}`;
  const fd = sys.open(log, c.O_WRONLY | c.O_CREAT | c.O_APPEND, 0o644);
  if (fd < 0) return;
  sys.writeAll(fd, `${line}\n`);
  sys.close(fd);
}

/** Tells what was done otherwise than asked: in `--log` when there is one, else on stderr. */
export function warn(message: string): void {
  logLine("warning", message);
}

/** With `--debug`: what is being done. */
export function debug(message: string): void {
  if (context().debug) logLine("debug", message);
}

function logLine(level: string, msg: string): void {
  const { log, logFormat } = context();
  const time = now();
  const line =
    logFormat === "json"
      ? JSON.stringify({ level, msg, time })
      : `time="${time}" level=${level} msg=${JSON.stringify(msg)}`;
  const fd = log === "" ? 2 : sys.open(log, c.O_WRONLY | c.O_CREAT | c.O_APPEND, 0o644);
  if (fd < 0) return;
  sys.writeAll(fd, `${line}\n`);
  if (fd !== 2) sys.close(fd);
}

function now(): string {
  return sys.rfc3339Nano().replace(/\.\d+Z/, "Z");
}

/** What log readers look for, then what our own monitor tells on. Absent fields are left out. */
function logRecord(error: RuntimeError, time: string): object {
  const { message, code, hint, errno, step } = error;
  return { level: "error", msg: message, time, code, hint, errno, step };
}

/** Runs a command body; whatever it throws is reported and becomes the exit code. */
export function runCommand(body: () => number, failure: number): never {
  let code = failure;
  try {
    code = body();
  } catch (thrown) {
    reportError(thrown);
  }
  return sys.exit(code);
}
