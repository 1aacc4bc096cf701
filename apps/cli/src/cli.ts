import type { Engine } from "@berth/engine";
import type { Chunk, Command, Context, Result } from "./command.ts";
import { COMMANDS, findCommand, GROUPS } from "./commands/index.ts";
import { describeError, exitCodeFor, usageError } from "./errors.ts";
import { commandHelp, GLOBAL_FLAGS, groupHelp, mainHelp } from "./help.ts";
import { checkArgs, parseFlags } from "./parse.ts";
import { createProgress, type Progress } from "./print/progress.ts";
import { byteWriter, type Fd, isBrokenPipe, writeChunks } from "./print/stdio.ts";
import { VERSION } from "./version.ts";

/** Global flags that are settings of the engine. */
interface EngineFlags {
  readonly root: string | undefined;
  readonly runRoot: string | undefined;
  readonly snapshotter: string | undefined;
}

/** What the process brings along. */
export interface Host {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  startedAtMs(): number;
  /** Writes all of it before it returns; throws EPIPE when the reader is gone. */
  write(fd: Fd, data: string | Uint8Array): void;
  openEngine(options: EngineFlags): Promise<Engine>;
}

/** A reader that has gone ends us as SIGPIPE would: 128 + 13. */
const BROKEN_PIPE = 141;

interface Globals extends EngineFlags {
  readonly debug: boolean;
}

type Plan =
  | { readonly kind: "print"; readonly text: string }
  | { readonly kind: "run"; readonly command: Command; readonly argv: readonly string[]; readonly globals: Globals };

/** Runs one command line; returns the exit code. Never throws. */
export async function main(argv: readonly string[], host: Host): Promise<number> {
  let debug = false;
  let startsContainer = false;
  try {
    const plan = planCommand(argv);
    if (plan.kind === "print") return await print({ text: plan.text }, host);
    debug = plan.globals.debug;
    startsContainer = plan.command.startsContainer ?? false;
    return await runCommand(plan, host);
  } catch (error) {
    if (isBrokenPipe(error)) return BROKEN_PIPE;
    return complain(error, debug, startsContainer, host);
  }
}

function complain(error: unknown, debug: boolean, startsContainer: boolean, host: Host): number {
  try {
    host.write(2, describeError(error, debug));
  } catch {
    // nobody reads stderr
  }
  return exitCodeFor(error, startsContainer);
}

/** Global flags and the command's name; a command line that only asks for help becomes text. */
function planCommand(argv: readonly string[]): Plan {
  const parsed = parseFlags(argv, { name: "", flags: GLOBAL_FLAGS, stopAtArgument: true });
  const [first, ...rest] = parsed.args;
  if (parsed.flags["version"] === true) return { kind: "print", text: `berth version ${VERSION}\n` };
  if (first === undefined || parsed.help) return { kind: "print", text: mainHelp(COMMANDS) };
  const globals = {
    debug: parsed.flags["debug"] === true,
    root: parsed.flags["root"] as string | undefined,
    runRoot: parsed.flags["run-root"] as string | undefined,
    snapshotter: parsed.flags["snapshotter"] as string | undefined,
  };
  const group = GROUPS.find((name) => name === first);
  if (group === undefined) return { kind: "run", command: getCommand(first), argv: rest, globals };
  const [second, ...more] = rest;
  if (second === undefined || second === "--help") return { kind: "print", text: groupHelp(group, COMMANDS) };
  return { kind: "run", command: getCommand(`${group} ${second}`), argv: more, globals };
}

function getCommand(name: string): Command {
  const found = findCommand(name);
  if (found !== undefined) return found;
  const near = similarCommands(name);
  const more = near.length > 0 ? `\nDid you mean ${near.map((one) => `'berth ${one}'`).join(" or ")}?` : "";
  throw usageError(`unknown command: berth ${name}${more}`, "", 1);
}

/** Commands that differ in one or two letters, or that begin so; the nearest first. */
function similarCommands(name: string): readonly string[] {
  const names = COMMANDS.filter((command) => !command.hidden).flatMap((command) => [
    command.name,
    ...(command.also ?? []),
  ]);
  const most = name.length < 3 ? 1 : 2;
  return names
    .map((one) => ({ one, far: name.length > 1 && one.startsWith(name) ? 0 : distance(one, name) }))
    .filter(({ far }) => far <= most)
    .sort((a, b) => a.far - b.far)
    .slice(0, 2)
    .map(({ one }) => one);
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a.charAt(i - 1) === b.charAt(j - 1) ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

async function runCommand(plan: Extract<Plan, { kind: "run" }>, host: Host): Promise<number> {
  const { command, globals } = plan;
  const rules = { name: command.name, flags: command.flags, stopAtArgument: command.stopAtArgument ?? false };
  const parsed = parseFlags(plan.argv, rules);
  if (parsed.help) return print({ text: commandHelp(command) }, host);
  checkArgs(command, parsed.args);
  let engine: Promise<Engine> | undefined;
  const context: Context = {
    engine: () => (engine ??= host.openEngine(globals)),
    debug: globals.debug,
    env: host.env,
    cwd: host.cwd,
    startedAtMs: host.startedAtMs,
    stdout: byteWriter(1),
    stderr: byteWriter(2),
    progress: () => lazyProgress(host),
    notice: (text) => host.write(2, text),
  };
  // The engine is not closed: the process ends now, nothing is lost by it, and closing the database would make this
  // command write its log back and the next one begin a new one.
  return print(await command.run(context, parsed.args, parsed.flags as never), host);
}

function print(result: Result, host: Host): number | Promise<number> {
  if (Symbol.asyncIterator in result) return writeChunks(result as AsyncGenerator<Chunk, number>, host.write);
  if (result.text !== undefined) host.write(1, result.text);
  return result.code ?? 0;
}

/** Looks at the terminal with the first event: most runs have nothing to pull, and process.stderr costs 3 ms. */
function lazyProgress(host: Host): Progress {
  let opened: Progress | undefined;
  const open = (): Progress => (opened ??= openProgress(host));
  return {
    onProgress: (event) => open().onProgress(event),
    onPush: (event) => open().onPush(event),
    end: () => opened?.end(),
  };
}

function openProgress({ env, write }: Host): Progress {
  const terminal = process.stderr.isTTY && env["TERM"] !== "dumb";
  return createProgress({
    write: (text) => write(2, text),
    terminal,
    colour: terminal && !env["NO_COLOR"],
    size: () => ({ rows: process.stderr.rows || 24, columns: process.stderr.columns || 80 }),
    now: () => performance.now(),
  });
}
