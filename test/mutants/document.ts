/** `npm run mutants -- --document` writes docs/security-tests.md from the table and the names of the tests. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTests } from "./names.ts";
import { ROWS } from "./table.ts";

const PATH = "docs/security-tests.md";

const HEAD = `# Security tests of keel

What went wrong in container runtimes, what keel does about it, and the tests that show it. \`./run-tests keel security\` runs them.
\`npm run mutants\` builds keel without one guard at a time and shows that its test fails then (mutants: how many such builds a row
has). This file is written from \`test/mutants/table.ts\` by \`npm run mutants -- --document\`; a unit test compares.

| what | what went wrong | keel | tests | mutants |
|---|---|---|---|---|
`;

const EDGES = `
## Corner cases

What naive runtimes get wrong, each with its tests (\`./run-tests keel "edge 12"\`).

`;

/** In a cell of a table. */
const cell = (text: string): string => text.replaceAll("|", "\\|");

function edgeNumber(name: string): number {
  return Number(/\bedge (\d+):/.exec(name)?.[1] ?? 0);
}

/** The text that docs/security-tests.md has to be. */
export function renderDocument(root: string): string {
  const rows = ROWS.map(({ id, wrong, guard, tests, weaken }) => {
    const names = tests.map((name) => `\`${name.replaceAll("`", "'")}\``).join("<br>");
    return `| ${[id, wrong, guard, names, String(weaken.length)].map(cell).join(" | ")} |\n`;
  });
  const edges = [...findTests(root).keys()].filter((name) => edgeNumber(name) > 0);
  edges.sort((a, b) => edgeNumber(a) - edgeNumber(b));
  return `${HEAD}${rows.join("")}${EDGES}${edges.map((name) => `- ${name}\n`).join("")}`;
}

export function readDocument(root: string): string {
  return readFileSync(join(root, PATH), "utf8");
}

export function writeDocument(root: string): void {
  writeFileSync(join(root, PATH), renderDocument(root));
}
