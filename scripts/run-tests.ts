/** The rings of tests, run one after the other: `node scripts/run-tests.ts [RING] [PATTERN]`; see ./run-tests. */
import { spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Counts } from "./test-reporter.ts";

const ROOT = resolve(import.meta.dirname, "..");

interface Ring {
  readonly name: string;
  readonly files: readonly string[];
  readonly root: boolean;
  readonly options: readonly string[];
  /** Built before, with this environment. */
  readonly build?: NodeJS.ProcessEnv;
  readonly env?: NodeJS.ProcessEnv;
}

// Tests that change the kernel's state run one file at a time, each in its own process.
const ALONE = ["--test-concurrency=1", "--test-timeout=600000"];

const RINGS: readonly Ring[] = [
  {
    name: "unit",
    files: [
      "scripts/*.test.ts",
      "{packages,apps}/*/src/**/*.test.ts",
      "keel/src/**/*.test.ts",
      "test/{mutants,fuzz}/*.test.ts",
    ],
    root: false,
    options: ["--test-isolation=none", "--test-timeout=60000"],
  },
  { name: "keel", files: ["keel/test/**/*.test.ts"], root: true, options: ALONE },
  {
    // keel's C with the compiler's sanitizers; what they find ends the process with a code of theirs
    name: "sanitized",
    files: ["keel/test/{run,unpack,edge-spaces}.test.ts", "keel/test/security/{ids,proc}.test.ts"],
    root: true,
    options: ALONE,
    build: { KEEL_SANITIZE: "1" },
    env: {
      KEEL_BINARY: join(ROOT, "keel/build/sanitized/keel"),
      ASAN_OPTIONS: "detect_leaks=0:exitcode=99",
      UBSAN_OPTIONS: "halt_on_error=1:print_stacktrace=1:exitcode=99",
    },
  },
  { name: "packages", files: ["{packages,apps}/*/test/**/*.test.ts"], root: true, options: ALONE },
  // a guest is emulated, and one test is all of its suites
  {
    name: "vm",
    files: ["test/vm/**/*.test.ts"],
    root: false,
    options: ["--test-concurrency=1", "--test-timeout=1200000"],
  },
  { name: "callers", files: ["test/callers/**/*.test.ts"], root: true, options: ALONE },
  { name: "conformance", files: ["test/conformance/**/*.test.ts"], root: true, options: ALONE },
  { name: "e2e", files: ["test/e2e/**/*.test.ts", "test/crash/**/*.test.ts"], root: true, options: ALONE },
];

function node(args: readonly string[], env: NodeJS.ProcessEnv = {}): number | null {
  return spawnSync(process.execPath, args, { cwd: ROOT, stdio: "inherit", env: { ...process.env, ...env } }).status;
}

/** Runs one ring; a run that broke without a failing test counts as one failure. */
function runRing(ring: Ring, pattern: string | undefined): Counts {
  const all = globSync(ring.files, { cwd: ROOT }).sort();
  const named = pattern === undefined ? all : all.filter((file) => file.includes(pattern));
  const files = named.length > 0 ? named : mentioning(all, pattern);
  if (files.length === 0) return { passed: 0, failed: 0, skipped: 0 };
  console.log(`== ${ring.name}: ${files.length} files`);
  if (ring.root && process.getuid?.() !== 0) {
    console.log("  FAIL  these tests need root: run them with sudo, or only ./run-tests unit");
    return { passed: 0, failed: 1, skipped: 0 };
  }
  if (ring.build !== undefined && node(["scripts/build-keel.ts"], ring.build) !== 0) {
    console.log(`  FAIL  the build for ${ring.name}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const dir = mkdtempSync(join(tmpdir(), "berth-tests-"));
  try {
    const path = join(dir, "counts");
    const filter = named.length === 0 && pattern !== undefined ? [`--test-name-pattern=${pattern}`] : [];
    const reporter = ["--test-reporter=./scripts/test-reporter.ts", "--test-reporter-destination=stdout"];
    const verbose = ring.root || pattern !== undefined ? "1" : "";
    const status = node(
      ["--test", "--disable-warning=ExperimentalWarning", ...ring.options, ...reporter, ...filter, ...files],
      { BERTH_TEST_COUNTS: path, BERTH_TEST_VERBOSE: verbose, ...ring.env },
    );
    const counts = readCounts(path);
    if (status !== 0 && counts.failed === 0) {
      console.log(`  FAIL  the run of ${ring.name} ended with ${status === null ? "a signal" : `code ${status}`}`);
      counts.failed = 1;
    }
    return counts;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** Files that can have a test of such a name: in one without any only its set-up would run, and perhaps not end. */
function mentioning(files: readonly string[], pattern = ""): readonly string[] {
  const expression = new RegExp(pattern);
  const found = files.filter((file) => expression.test(readFileSync(join(ROOT, file), "utf8")));
  // a name may be put together
  return found.length > 0 ? found : files;
}

function readCounts(path: string): Counts {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Counts;
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}

function main(wanted = "all", pattern?: string): number {
  const rings = RINGS.filter((ring) => wanted === "all" || ring.name === wanted);
  if (rings.length === 0) {
    console.error(`unknown ring '${wanted}': one of ${RINGS.map((ring) => ring.name).join(", ")}, all`);
    return 2;
  }
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  if (pattern === undefined && (wanted === "all" || wanted === "unit")) {
    console.log("== static checks");
    if (node(["scripts/check.ts", "--static"]) !== 0) total.failed += 1;
  }
  for (const ring of rings) {
    const started = performance.now();
    const counts = runRing(ring, pattern);
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
    console.log(`   ${ring.name}: ${counts.passed} ok in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
  if (total.passed + total.failed + total.skipped === 0) console.log("no test matches");
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

process.exitCode = main(process.argv[2], process.argv[3]);
