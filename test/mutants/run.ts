/**
 * `npm run mutants [PATTERN]`: builds keel without one of its guards at a time, in a copy of the tree, and shows that the
 * guard's test fails then, while a plain container still runs. One line for each; the code is 1 when a guard is not missed.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { writeDocument } from "./document.ts";
import { findTests } from "./names.ts";
import { ROWS } from "./table.ts";
import type { Weakening } from "./types.ts";

const ROOT = resolve(import.meta.dirname, "../..");
/** Must hold in every weakened build: one that cannot run at all would fail every test. */
const CONTROL = "run: the program is pid 1 with its own hostname, cwd and environment";

/** Of the races: where the guard is missing, one of the first hundred is usually lost. */
const ROUNDS = "300";

/** What the build of keel reads, in a directory of its own. */
function copyTree(): string {
  const copy = mkdtempSync(join(tmpdir(), "keel-mutants-"));
  for (const path of ["keel/src", "keel/native", "scripts", "packages/protocol", "packages/oci", "package.json"])
    cpSync(join(ROOT, path), join(copy, path), { recursive: true });
  if (existsSync(join(ROOT, "keel/build/obj")))
    cpSync(join(ROOT, "keel/build/obj"), join(copy, "keel/build/obj"), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  return copy;
}

function build(copy: string): string {
  const done = spawnSync(process.execPath, ["scripts/build-keel.ts"], { cwd: copy, encoding: "utf8" });
  return done.status === 0 ? "" : `does not build: ${done.stderr.trim().split("\n").slice(-3).join(" ")}`;
}

/** Applies the edits and returns what undoes them; throws when a piece is not there exactly once. */
function weaken(copy: string, { edits }: Weakening): () => void {
  const before = new Map<string, string>();
  for (const { file, search, replace } of edits) {
    const text = readFileSync(join(copy, file), "utf8");
    if (text.split(search).length !== 2) throw new Error(`${file} does not hold exactly once: ${search}`);
    if (!before.has(file)) before.set(file, text);
    writeFileSync(
      join(copy, file),
      text.replace(search, () => replace),
    );
  }
  return () => {
    for (const [file, text] of before) writeFileSync(join(copy, file), text);
  };
}

const literal = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Runs the control and the guard's test against the binary; "" when the one holds and the other fails. */
function judge(binary: string, test: string, files: ReadonlyMap<string, string>): string {
  const names = [CONTROL, test].map((name) => `--test-name-pattern=^${literal(name)}$`);
  const paths = [CONTROL, test].map((name) => files.get(name) ?? "");
  const args = ["--test", "--test-reporter=tap", "--test-concurrency=1", "--test-timeout=300000", ...names, ...paths];
  const env = { ...process.env, KEEL_BINARY: binary, KEEL_RACE_ROUNDS: ROUNDS };
  const { stdout } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8", env });
  const results = new Map(
    [...stdout.matchAll(/^ *(not ok|ok) \d+ - (.*?)( # SKIP.*)?$/gm)].map((m) => [
      (m[2] ?? "").replaceAll("\\#", "#").replaceAll("\\\\", "\\"),
      m[3] === undefined ? m[1] : "skipped",
    ]),
  );
  if (results.get(CONTROL) !== "ok") return `breaks keel altogether (${results.get(CONTROL) ?? "no result"})`;
  const result = results.get(test);
  return result === "not ok" ? "" : `is not missed: its test is ${result ?? "not run"}`;
}

function isMissing({ needs }: Weakening): boolean {
  const unified = existsSync("/sys/fs/cgroup/cgroup.controllers");
  return needs !== undefined && (needs === "cgroup v2") !== unified;
}

function main(pattern: string): number {
  if (process.getuid?.() !== 0) {
    console.log("these tests need root");
    return 1;
  }
  const files = findTests(ROOT);
  const copy = copyTree();
  let failed = 0;
  try {
    for (const row of ROWS) {
      for (const weakening of row.weaken) {
        const label = `${row.id}: ${weakening.name}`;
        if (!label.includes(pattern)) continue;
        if (isMissing(weakening)) {
          console.log(`  skip  ${label}: needs ${weakening.needs}`);
          continue;
        }
        const started = performance.now();
        const undo = weaken(copy, weakening);
        const problem = build(copy) || judge(join(copy, "keel/build/keel"), weakening.test, files);
        undo();
        const seconds = ((performance.now() - started) / 1000).toFixed(1);
        if (problem !== "") failed += 1;
        console.log(problem === "" ? `  ok    ${label} (${seconds} s)` : `  FAIL  ${label} ${problem} (${seconds} s)`);
      }
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  return failed === 0 ? 0 : 1;
}

if (process.argv[2] === "--document") writeDocument(ROOT);
else process.exitCode = main(process.argv[2] ?? "");
