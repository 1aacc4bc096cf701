/** The hostile side of the security tests: a program that races with keel, and many containers in a row. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type Bundle, KEEL, skip } from "../harness.ts";

/** Races are run this often; a weakened build fails within a few hundred rounds. */
export const ROUNDS = Number(process.env["KEEL_RACE_ROUNDS"] ?? 1000);

const dir: string = mkdtempSync(join(tmpdir(), "keel-attack-"));
const program: string = join(dir, "attacker");
const compiler: string = process.env["CC"] ?? "gcc";

/** Why the races cannot be run here, or false. */
export const skipRace: string | false =
  skip !== false
    ? skip
    : spawnSync(compiler, ["-O1", "-static", join(import.meta.dirname, "attacker.c"), "-o", program]).status === 0
      ? false
      : "needs a C compiler for the attacker";

const started: ChildProcess[] = [];

after(() => {
  for (const child of started) child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

/** Path of the attacker's program. */
export const attacker = (): string => program;

/** Swaps names of the host, pair by pair, until the returned function is called. */
export function swapping(...names: readonly string[]): () => void {
  const child = spawn(program, ["swap", ...names], { stdio: "ignore" });
  started.push(child);
  return () => void child.kill("SIGKILL");
}

export interface Rounds {
  /** How many ended with exit code 0: the others lost the race with an error. */
  readonly ok: number;
  readonly out: string;
  readonly err: string;
}

/** `keel run` of one bundle again and again, in one shell: a start costs milliseconds. */
export function runRounds(bundle: Bundle, rounds: number = ROUNDS, ...flags: readonly string[]): Rounds {
  const script =
    "n=$1; dir=$2; id=$3; keel=$4; root=$5; shift 5; ok=0; i=0; while [ $i -lt $n ]; do i=$((i+1)); " +
    '"$keel" --root "$root" run "$@" -b "$dir" "$id" >>"$dir/out" 2>>"$dir/err" </dev/null && ok=$((ok+1)); ' +
    "done; echo $ok";
  const done = spawnSync(
    "sh",
    ["-c", script, "sh", String(rounds), bundle.dir, bundle.id, KEEL, join(bundle.dir, "state"), ...flags],
    { encoding: "utf8", timeout: 300_000 },
  );
  const text = (name: string): string =>
    existsSync(join(bundle.dir, name)) ? readFileSync(join(bundle.dir, name), "utf8") : "";
  return { ok: Number(done.stdout), out: text("out"), err: text("err") };
}
