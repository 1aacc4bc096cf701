/** Checks the documents: every relative link leads somewhere, and no document is longer than its kind may be. */
import { globSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const LINK = /\[[^\]\n]*\]\(([^)\s]+)\)/g;
const FENCE = /^```[\s\S]*?^```/gm;

/** Longest a document of each kind may be, lines. */
const LIMITS: readonly { readonly glob: string; readonly lines: number }[] = [
  { glob: "ARCHITECTURE.md", lines: 300 },
  { glob: "docs/decisions/*.md", lines: 40 },
  { glob: "{packages,apps}/*/README.md", lines: 20 },
];

/** The anchor that a heading gets when the page is rendered. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{Letter}\p{Number}\s_-]/gu, "")
    .trim()
    .replaceAll(/\s/g, "-");
}

function hasAnchor(file: string, anchor: string): boolean {
  if (!file.endsWith(".md")) return /^L\d+(-L\d+)?$/.test(anchor);
  const text = readFileSync(file, "utf8").replaceAll(FENCE, "");
  return text
    .matchAll(/^#+\s+(.+)$/gm)
    .map((m) => anchorOf(m[1] ?? ""))
    .some((name) => name === anchor);
}

function linkFault(file: string, link: string): string | undefined {
  if (/^[a-z][a-z+.-]*:/.test(link)) return undefined;
  const [path = "", anchor] = link.split("#");
  const target = path === "" ? file : resolve(dirname(file), decodeURIComponent(path));
  if (!statSync(target, { throwIfNoEntry: false })) return "nothing is there";
  if (anchor !== undefined && !hasAnchor(target, anchor)) return "no heading has this anchor";
  return undefined;
}

/**
 * Every fault of the Markdown files under `root`.
 *
 * @param root absolute path of the tree
 * @returns one line per fault, `<file>: <what>: <why>`, sorted; empty when all is well
 */
export function findDocFaults(root: string): string[] {
  const exclude = ["**/node_modules/**", "**/dist/**", ".tools/**", "keel/build/**"];
  const files = globSync("**/*.md", { cwd: root, exclude });
  const faults = files.flatMap((path) => {
    const file = join(root, path);
    const text = readFileSync(file, "utf8").replaceAll(FENCE, "");
    return [...text.matchAll(LINK)].flatMap((m) => {
      const why = linkFault(file, m[1] ?? "");
      return why === undefined ? [] : [`${relative(root, file)}: ${m[1]}: ${why}`];
    });
  });
  for (const { glob, lines } of LIMITS) {
    for (const path of globSync(glob, { cwd: root })) {
      const count = readFileSync(join(root, path), "utf8").trimEnd().split("\n").length;
      if (count > lines) faults.push(`${path}: ${count} lines: at most ${lines} are allowed`);
    }
  }
  return faults.sort();
}

if (import.meta.main) {
  const faults = findDocFaults(resolve(import.meta.dirname, ".."));
  for (const fault of faults) console.error(fault);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
