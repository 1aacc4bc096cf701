import { BerthError, exitCodeOf } from "@berth/base";

/** A command line that cannot be understood; `code` is the exit code. */
export function usageError(message: string, command: string, code: number): BerthError {
  const subject = command === "" ? "berth" : `berth ${command}`;
  return new BerthError("InvalidArgument", message, {
    hint: `See '${subject} --help'.`,
    details: { exitCode: code, usage: true },
  });
}

/** A value that a flag cannot take. */
export function badValue(text: string, flag: string, why: string): BerthError {
  return new BerthError("InvalidArgument", `invalid argument "${text}" for "${flag}" flag: ${why}`);
}

/** The user's Ctrl-C, as whoever waited for it reports it. */
function isInterrupt(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

/** The exit code of a command that failed with this error: its own hint, else docker's convention. */
export function exitCodeFor(error: unknown, startsContainer: boolean): number {
  if (isInterrupt(error)) return exitCodeOf("Cancelled", startsContainer);
  if (!(error instanceof BerthError)) return startsContainer ? 125 : 1;
  const own = error.details?.["exitCode"];
  return typeof own === "number" ? own : exitCodeOf(error.code, startsContainer);
}

/**
 * What stderr says of an error: one line, the hint on its own line, and with `debug` code, details, causes and stack.
 */
export function describeError(error: unknown, debug: boolean): string {
  const lines: string[] = [];
  if (error instanceof BerthError) {
    lines.push(`berth: ${error.message}`);
    if (error.hint !== undefined) lines.push(error.details?.["usage"] === true ? error.hint : `hint: ${error.hint}`);
  } else if (isInterrupt(error)) {
    lines.push("berth: interrupted");
  } else {
    lines.push(`berth: internal error: ${error instanceof Error ? error.message : String(error)}`);
    if (!debug)
      lines.push("hint: this is a bug of Berth; run the command again with --debug and report what it prints");
  }
  if (debug) lines.push(...describeCauses(error));
  return `${lines.join("\n")}\n`;
}

function describeCauses(error: unknown): readonly string[] {
  const lines: string[] = [];
  for (let at = error, depth = 0; at !== undefined && depth < 20; depth++) {
    const prefix = depth === 0 ? "debug:" : "debug: caused by:";
    if (!(at instanceof Error)) return [...lines, `${prefix} ${String(at)}`];
    const facts = at instanceof BerthError ? ` [${at.code}] ${JSON.stringify(at.details ?? {})}` : "";
    lines.push(`${prefix}${facts} ${at.stack ?? at.message}`);
    at = at.cause;
  }
  return lines;
}
