/** Times contenders against each other in one interleaved run. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const ROOT: string = resolve(import.meta.dirname, "..");
export const KEEL: string = join(ROOT, "keel/build/keel");
export const BERTH: string = join(ROOT, "berth");

/** One line of a comparison: the command lines it runs one after the other. */
export interface Contender {
  readonly name: string;
  readonly commands: readonly (readonly string[])[];
  /** Run before each round's commands, and not timed. */
  readonly prepare?: readonly (readonly string[])[];
  /** Why it cannot take part, if so. */
  readonly skip?: string | undefined;
}

export interface Result {
  readonly name: string;
  readonly wallUs: readonly number[];
  readonly peakKib: readonly number[];
}

/** A number that has to hold: ours divided by the peer's. */
export interface Target {
  readonly ours: string;
  readonly peer: string;
  readonly what: "wall" | "peak";
  readonly atMost: number;
}

/**
 * Runs all contenders `rounds` times, in turn, after `warmup` rounds that do not count, with `restMs` before each.
 * Throws if one of them fails.
 */
export function interleave(contenders: readonly Contender[], rounds: number, warmup = 3, restMs = 0): Result[] {
  const able = contenders.filter((contender) => contender.skip === undefined);
  const file = join(ROOT, ".tools/bench/contenders");
  const lineOf = (commands: Contender["commands"]): string => commands.map((words) => words.join("\t")).join("\t;;\t");
  const lines = able.map(({ prepare, commands }) => (prepare ? `${lineOf(prepare)}\t::\t` : "") + lineOf(commands));
  const tool = buildTool();
  writeFileSync(file, `${lines.join("\n")}\n`);
  const ran = spawnSync(tool, [String(rounds), String(warmup), String(restMs), file], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (ran.status !== 0) throw new Error(`interleave: ${ran.stderr || ran.error}`);
  const results = JSON.parse(ran.stdout) as Omit<Result, "name">[];
  return results.map((result, index) => ({ ...result, name: able[index]?.name ?? "" }));
}

function buildTool(): string {
  const source = join(ROOT, "bench/native/interleave.c");
  const tool = join(ROOT, ".tools/bench/interleave");
  if (existsSync(tool) && statSync(tool).mtimeMs > statSync(source).mtimeMs) return tool;
  mkdirSync(join(ROOT, ".tools/bench"), { recursive: true });
  run("gcc", "-O2", "-Wall", "-Wextra", "-o", tool, source);
  return tool;
}

/** Runs a tool to its end; throws with its output when it fails. */
export function run(command: string, ...args: readonly string[]): string {
  const done = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26 });
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${done.error ?? done.stderr}`);
  return done.stdout;
}

/** Why a program cannot take part: it is not installed. */
export function missing(program: string): string | undefined {
  const found = spawnSync("sh", ["-c", 'command -v "$1"', "sh", program]).status === 0;
  return found ? undefined : `${program} is not installed`;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);
