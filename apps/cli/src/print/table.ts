/** Cells shorter than this are padded to it; docker's tables look so. */
const LEAST_WIDTH = 10;
const GAP = 3;

/**
 * Columns of text aligned as Go's tabwriter does for docker: each as wide as its longest cell plus three, at least ten.
 * The last column is not padded.
 */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.slice(0, -1).entries()) {
      widths[i] = Math.max(widths[i] ?? LEAST_WIDTH, widthOf(cell) + GAP);
    }
  }
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === row.length - 1 ? cell : cell + " ".repeat((widths[i] ?? 0) - widthOf(cell)))).join("");
  return rows.map((row) => `${line(row)}\n`).join("");
}

function widthOf(text: string): number {
  return /[\ud800-\udfff]/.test(text) ? Array.from(text).length : text.length;
}
