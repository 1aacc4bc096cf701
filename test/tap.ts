/** One line of TAP with what belongs to it. */
export interface TapResult {
  readonly name: string;
  readonly ok: boolean;
  readonly skip: string | undefined;
  /** The lines after it: why it failed. */
  readonly detail: string;
}

/** Reads the top level of TAP, as node:test and Go's tap write it; other lines between are details. */
export function parseTap(text: string): TapResult[] {
  const lines = text.split(/\r*\n/);
  const results: TapResult[] = [];
  for (const [at, line] of lines.entries()) {
    const match = /^(not )?ok \d+(?: - (.*?))?(?: # SKIP ?(.*))?$/.exec(line);
    if (match === null) continue;
    const next = lines.findIndex((other, i) => i > at && /^(# |not ok |ok |1\.\.)/.test(other));
    results.push({
      name: match[2] ?? match[3] ?? "",
      ok: match[1] === undefined,
      skip: match[3],
      detail: lines.slice(at + 1, next < 0 ? undefined : next).join("\n"),
    });
  }
  return results;
}
