/** Prints comparisons as tables. */
import { type Contender, median, quantile, type Result, type Target } from "./measure.ts";

const medianOf = (result: Result, what: Target["what"]): number =>
  median(what === "wall" ? result.wallUs : result.peakKib);

/** Median, 90th percentile, peak memory, and each contender's ratio to the first; then the targets. */
export function printComparison(
  title: string,
  contenders: readonly Contender[],
  results: readonly Result[],
  targets: readonly Target[],
): boolean {
  console.log(`\n${title}`);
  const rows = results.map((result) => [
    result.name,
    `${(median(result.wallUs) / 1000).toFixed(2)} ms`,
    `${(quantile(result.wallUs, 0.9) / 1000).toFixed(2)} ms`,
    result.peakKib.length === 0 ? "" : `${(median(result.peakKib) / 1024).toFixed(1)} MiB`,
    ratio(results[0], result),
  ]);
  printTable(["", "median", "p90", "peak memory", "ours / this"], rows);
  for (const { name, skip } of contenders) if (skip !== undefined) console.log(`  ${name} is left out: ${skip}`);
  return targets.map((target) => printTarget(target, results)).every(Boolean);
}

function ratio(first: Result | undefined, result: Result): string {
  if (first === undefined || first === result) return "";
  return `${(median(first.wallUs) / median(result.wallUs)).toFixed(2)} x`;
}

function printTarget(target: Target, results: readonly Result[]): boolean {
  const ours = results.find((result) => result.name === target.ours);
  const peer = results.find((result) => result.name === target.peer);
  if (ours === undefined || peer === undefined) return true;
  const got = medianOf(ours, target.what) / medianOf(peer, target.what);
  return printVerdict(`${target.what} of ${target.ours} / ${target.peer}`, got, target.atMost);
}

/** One line: the ratio, the target, and whether it is met. */
export function printVerdict(what: string, got: number, atMost: number): boolean {
  const met = got <= atMost;
  console.log(`  ${met ? "met   " : "MISSED"} ${what}: ${got.toFixed(2)}, target at most ${atMost}`);
  return met;
}

export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((text, column) => Math.max(text.length, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]): string =>
    row
      .map((text, column) => (column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0)))
      .join("   ");
  for (const row of [head, ...rows]) console.log(`  ${line(row)}`);
}
