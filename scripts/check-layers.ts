/** Checks every import of every workspace against the table in layers.ts. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { KEEL, KEEL_MAY_IMPORT, KEEL_MAY_IMPORT_TYPES, PURE, RANKS } from "./layers.ts";

/** One import statement, as written. */
interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
}

const STATEMENT = /^[ \t]*(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s+)?["']([^"'\n]+)["']/gm;
const CALL = /\bimport\(\s*["']([^"'\n]+)["']\s*\)(\.\w)?/g;

function parseImports(source: string): Import[] {
  return [
    ...source.matchAll(STATEMENT).map((m) => ({ target: m[2] ?? "", typeOnly: m[1] !== undefined })),
    ...source.matchAll(CALL).map((m) => ({ target: m[1] ?? "", typeOnly: m[2] !== undefined })),
  ];
}

/** Why `from` may not import `to` (both without `@berth/`), or undefined. */
function edgeFault(from: string, to: string, typeOnly: boolean): string | undefined {
  if (to === KEEL) return "nobody imports keel: reach it by command line and socket";
  if (from === KEEL) {
    if (KEEL_MAY_IMPORT.includes(to)) return undefined;
    if (KEEL_MAY_IMPORT_TYPES.includes(to)) return typeOnly ? undefined : `keel may import only types of ${to}`;
    return `keel may import only ${KEEL_MAY_IMPORT.join(", ")} and types of ${KEEL_MAY_IMPORT_TYPES.join(", ")}`;
  }
  const [mine, other] = [RANKS[from], RANKS[to]];
  if (other === undefined) return `package ${to} has no rank in scripts/layers.ts`;
  return mine === undefined || other < mine ? undefined : `rank ${mine} may not import rank ${other}`;
}

function importFault(workspace: string, name: string, file: string, item: Import): string | undefined {
  if (item.target.startsWith(".")) {
    const target = resolve(dirname(file), item.target);
    const inside = !relative(workspace, target).startsWith("..");
    // what tests of several packages and the benchmarks have in common is in the tree's own test/
    const forTests = file.startsWith(join(workspace, "test/")) && target.startsWith(resolve(workspace, "../../test/"));
    return inside || forTests ? undefined : "a relative import may not leave its workspace";
  }
  const [, to, deep] = /^@berth\/([^/]+)(\/.*)?$/.exec(item.target) ?? [];
  if (to !== undefined) return deep ? "import the package, not a file in it" : edgeFault(name, to, item.typeOnly);
  const allowed = PURE[name];
  if (allowed === undefined || file.endsWith(".test.ts") || allowed.includes(item.target)) return undefined;
  return `${name} is pure: it may import ${allowed.join(", ") || "no module but ours"}`;
}

/**
 * Every forbidden import under `root`.
 *
 * @param root absolute path of a tree with `packages/*`, `apps/*` and `keel`
 * @returns one line per fault, `<file>: <import>: <why>`, sorted; empty when all is well
 */
export function findLayerFaults(root: string): string[] {
  const faults: string[] = [];
  for (const workspace of globSync(["packages/*", "apps/*", KEEL], { cwd: root }).map((dir) => join(root, dir))) {
    if (!existsSync(join(workspace, "package.json"))) continue;
    const name = relative(root, workspace).split("/").at(-1) ?? "";
    if (name !== KEEL && RANKS[name] === undefined) faults.push(`${name}: package has no rank in scripts/layers.ts`);
    for (const path of globSync(["src/**/*.ts", "test/**/*.ts"], { cwd: workspace })) {
      const file = join(workspace, path);
      for (const item of parseImports(readFileSync(file, "utf8"))) {
        const why = importFault(workspace, name, file, item);
        if (why !== undefined) faults.push(`${relative(root, file)}: ${item.target}: ${why}`);
      }
    }
  }
  return faults.sort();
}

if (import.meta.main) {
  const faults = findLayerFaults(resolve(import.meta.dirname, ".."));
  for (const fault of faults) console.error(fault);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
