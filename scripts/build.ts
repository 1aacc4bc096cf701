/**
 * Builds what is out of date: `node scripts/build.ts [keel] [cli] [hello]`, all of them without arguments.
 * A target is up to date when its outputs exist and its stamp holds the digest of its inputs, so the answer depends
 * on contents only, not on times.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "..");
const STAMPS = join(ROOT, ".tools/stamps");

interface Target {
  readonly name: string;
  readonly doing: string;
  /** Globs below the root, or absolute paths. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly script: string;
}

const TARGETS: readonly Target[] = [
  {
    name: "keel",
    doing: "building keel, the low-level runtime",
    inputs: [
      "keel/src/**/*.ts",
      "keel/native/**/*",
      "packages/{protocol,oci}/src/**/*.ts",
      "scripts/{build-keel,bundle,es5-gate}.ts",
      "/usr/share/duktape/duktape.c",
    ],
    outputs: ["keel/build/keel"],
    script: "scripts/build-keel.ts",
  },
  {
    name: "cli",
    doing: "bundling the command line, with the snapshot that it starts from",
    inputs: ["packages/*/src/**/*.ts", "apps/cli/src/**/*.ts", "scripts/build-cli.ts"],
    outputs: ["dist/berth.cjs", "dist/berth.blob"],
    script: "scripts/build-cli.ts",
  },
  {
    name: "hello",
    doing: "building the image berth.local/hello",
    inputs: ["scripts/build-hello.ts", "scripts/tar.ts", "scripts/hello.sh", "/bin/busybox"],
    outputs: ["dist/hello.tar"],
    script: "scripts/build-hello.ts",
  },
];

/** Digest of everything that decides the target's outputs. */
function keyOf(target: Target): string {
  const hash = createHash("sha256").update(`${process.version} ${process.arch}\n`);
  hash.update(readFileSync(join(ROOT, "package-lock.json")));
  const paths = target.inputs.flatMap((glob) =>
    glob.startsWith("/") ? [glob] : globSync(glob, { cwd: ROOT, exclude: ["**/*.test.ts"] }).sort(),
  );
  for (const path of paths) {
    hash.update(`${path}\n`);
    hash.update(readInput(resolve(ROOT, path)));
  }
  return hash.digest("hex");
}

/** Bytes of an input; none for a directory or a file that is not there. */
function readInput(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EISDIR" || code === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
}

function isCurrent(target: Target, key: string): boolean {
  const stamp = join(STAMPS, target.name);
  return (
    existsSync(stamp) &&
    readFileSync(stamp, "utf8") === key &&
    target.outputs.every((output) => existsSync(join(ROOT, output)))
  );
}

/** Builds one target, with `[4/6] building … 1.2 s` on stderr and its output when it fails. */
function build(target: Target, label: string): boolean {
  const key = keyOf(target);
  if (isCurrent(target, key)) return true;
  const stamp = join(STAMPS, target.name);
  rmSync(stamp, { force: true });
  const started = performance.now();
  process.stderr.write(`${label}${target.doing}… `);
  const run = spawnSync(process.execPath, [join(ROOT, target.script)], { cwd: ROOT, encoding: "utf8" });
  if (run.status !== 0) {
    process.stderr.write(`failed\n${run.stdout}${run.stderr}${run.error?.message ?? ""}\n`);
    return false;
  }
  writeFileSync(`${stamp}.new`, key);
  renameSync(`${stamp}.new`, stamp);
  process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  return true;
}

const [first, total] = (process.env["BERTH_STEPS"] ?? "").split("/").map(Number);
const names = process.argv.slice(2);
mkdirSync(STAMPS, { recursive: true });
mkdirSync(join(ROOT, "dist"), { recursive: true });
for (const [index, target] of TARGETS.entries()) {
  if (names.length > 0 && !names.includes(target.name)) continue;
  const label = first === undefined || total === undefined ? "" : `[${first + index}/${total}] `;
  if (!build(target, label)) {
    process.exitCode = 1;
    break;
  }
}
