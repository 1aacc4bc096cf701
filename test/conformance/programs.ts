import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseTap, type TapResult } from "../tap.ts";

const REPO = join(import.meta.dirname, "../..");
const BUILT = join(REPO, ".tools/validation");
const KEEL = join(REPO, "keel/build/keel");
/** Most wait a second for a container that ends at once. */
const LIMIT_MS = 120_000;
const LANES = 4;

/** Why the programs cannot run here, or false. */
export function validationSkip(): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  if (existsSync(join(BUILT, "bin"))) return false;
  const go = spawnSync("sh", ["-c", "command -v go || command -v /usr/local/go/bin/go"]);
  return go.status === 0
    ? "the OCI validation programs are not built: .tools/setup.log says why"
    : "needs Go to build the OCI validation programs";
}

/** What one program says of keel. */
export interface Verdict {
  readonly program: string;
  /** Its checks; when it ended with a failure of its own, one more named "exit status". */
  readonly checks: readonly TapResult[];
}

/** Runs all programs, some at a time; those that use one cgroup one after the other. */
export async function runPrograms(): Promise<Verdict[]> {
  const programs = readdirSync(join(BUILT, "bin")).sort();
  const alone = programs.filter((name) => /cgroups|delete/.test(name));
  const rest = programs.filter((name) => !alone.includes(name));
  const verdicts: Verdict[] = [];
  const lane = async (queue: string[]): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) verdicts.push(await runProgram(name));
  };
  await Promise.all([lane(alone), ...Array.from({ length: LANES - 1 }, () => lane(rest))]);
  removeCgroups();
  return verdicts.sort((a, b) => (a.program < b.program ? -1 : 1));
}

/** A program finds the container's root and the program that looks around inside it in its present directory. */
async function runProgram(program: string): Promise<Verdict> {
  const dir = mkdtempSync(join(tmpdir(), "berth-validation-"));
  try {
    for (const name of readdirSync(BUILT)) if (name !== "bin") copyFileSync(join(BUILT, name), join(dir, name));
    const child = spawn(join(BUILT, "bin", program), {
      cwd: dir,
      env: { ...process.env, RUNTIME: KEEL, TMPDIR: dir },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: LIMIT_MS,
      killSignal: "SIGKILL",
    });
    const said = { out: "", err: "" };
    child.stdout.on("data", (piece: Buffer) => (said.out += piece.toString()));
    child.stderr.on("data", (piece: Buffer) => (said.err += piece.toString()));
    const status = await new Promise<string>((resolve) => {
      child.on("close", (code, signal) => resolve(code === 0 ? "" : `exit ${signal ?? code}: ${said.err.slice(-500)}`));
    });
    const checks = parseTap(said.out);
    if (status !== "") checks.push({ name: "exit status", ok: false, skip: undefined, detail: status });
    return { program, checks };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Parents of the containers' cgroups; a runtime removes only its own. */
function removeCgroups(): void {
  for (const hierarchy of readdirSync("/sys/fs/cgroup")) {
    for (const path of ["testdir/cgrouptest", "testdir"]) {
      try {
        rmdirSync(join("/sys/fs/cgroup", hierarchy, path));
      } catch {
        // not of this hierarchy
      }
    }
  }
}

/** A failure that is the machine's or the program's, from known-failures.txt. */
export interface Known {
  readonly program: string;
  readonly check: string;
  readonly reason: string;
  /** It may pass too. */
  readonly race: boolean;
}

/** The listed failures that apply to this machine. */
export function readKnown(holds: (condition: string) => boolean): Known[] {
  const known: Known[] = [];
  const lines = readFileSync(join(import.meta.dirname, "known-failures.txt"), "utf8").split("\n");
  for (const [at, line] of lines.entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const [program, condition, check, reason] = line.split(" | ");
    if (program === undefined || condition === undefined || check === undefined || !reason)
      throw new Error(`known-failures.txt:${at + 1}: must be "program | condition | check | reason"`);
    if (holds(condition)) known.push({ program, check, reason, race: condition === "at times" });
  }
  return known;
}

/** Sentences for what the list does not say of a program's checks: an unknown failure, or one that is none. */
export function compare({ program, checks }: Verdict, known: readonly Known[]): string[] {
  const listed = (name: string): boolean => known.some((one) => one.program === program && one.check === name);
  const wrong: string[] = [];
  for (const { name, ok, detail } of checks) {
    if (!ok && !listed(name)) wrong.push(`fails: ${name}\n${detail}`);
  }
  for (const one of known) {
    // some programs make one check several times under one name
    const named = checks.filter(({ name }) => name === one.check);
    if (one.program !== program || one.race || named.some(({ ok }) => !ok)) continue;
    const how = named.length > 0 ? "passes" : "is not there";
    wrong.push(`${how}, though listed in known-failures.txt: ${one.check}`);
  }
  return wrong;
}
