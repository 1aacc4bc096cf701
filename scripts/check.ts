/**
 * `npm run check`: every static check and the unit tests, in order of cost; one line each with its time.
 * `--static` leaves the unit tests out.
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "..");
const NODE = process.execPath;
/** Lines shown of a failed step. */
const HEAD = 60;
const UNIT = "unit tests";

interface Step {
  readonly name: string;
  readonly argv: readonly string[];
  /** Why the step cannot run now, if so. */
  readonly skip?: string | undefined;
}

const bin = (name: string): string => join(ROOT, "node_modules/.bin", name);

function steps(): Step[] {
  const unit = [
    "scripts/*.test.ts",
    "{packages,apps}/*/src/**/*.test.ts",
    "keel/src/**/*.test.ts",
    "test/{mutants,fuzz}/*.test.ts",
  ];
  const lowered = globSync("keel/build/*.js", { cwd: ROOT });
  return [
    { name: "format and imports", argv: [NODE, bin("biome"), "check", "--error-on-warnings", "."] },
    { name: "layers", argv: [NODE, "scripts/check-layers.ts"] },
    { name: "documents", argv: [NODE, "scripts/check-docs.ts"] },
    { name: "lint", argv: [NODE, bin("oxlint"), "--format=unix"] },
    { name: "types", argv: [NODE, bin("tsc"), "-b"] },
    {
      name: "ES5 gate",
      argv: [NODE, "scripts/es5-gate.ts", ...lowered],
      skip: lowered.length === 0 || !existsSync(join(ROOT, "scripts/es5-gate.ts")) ? "keel is not built" : undefined,
    },
    {
      name: UNIT,
      argv: [NODE, "--test", "--test-isolation=none", "--test-reporter=dot", ...globSync(unit, { cwd: ROOT })],
    },
  ];
}

/** Runs one step; prints its line, and its output if it failed. */
function run(step: Step): boolean {
  if (step.skip !== undefined) {
    console.log(`${"skip".padEnd(5)} ${step.name}: ${step.skip}`);
    return true;
  }
  const started = performance.now();
  const [command = NODE, ...args] = step.argv;
  const env = { ...process.env, NODE_NO_WARNINGS: "1" };
  const result = spawnSync(command, args, { cwd: ROOT, env, encoding: "utf8", maxBuffer: 1 << 28 });
  const ok = result.status === 0;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${(ok ? "ok" : "FAIL").padEnd(5)} ${step.name} (${seconds} s)`);
  if (!ok) printHead([result.stdout, result.stderr, result.error?.message].filter(Boolean).join("\n"));
  return ok;
}

function printHead(text: string): void {
  const lines = text.trimEnd().split("\n");
  console.log(lines.slice(0, HEAD).join("\n"));
  if (lines.length > HEAD) console.log(`… and ${lines.length - HEAD} more lines`);
}

const chosen = steps().filter((step) => step.name !== UNIT || !process.argv.includes("--static"));
const failed = chosen.filter((step) => !run(step));
if (failed.length > 0) {
  console.log(`${failed.length} of the checks failed; \`npm run fix\` repairs what can be repaired`);
  process.exitCode = 1;
}
