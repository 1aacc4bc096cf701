import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { BerthError, errnoOf } from "@berth/base";
import { EXIT_SIGNAL_BASE } from "@berth/protocol";
import { cannotSpawn } from "./errors.ts";

/** An OCI runtime as a command line: program, then its global flags. */
export type Runtime = readonly string[];

export interface ExecRequest {
  readonly id: string;
  /** OCI runtime-spec "process" object, as JSON. */
  readonly process: string;
  readonly detach: boolean;
  /** A directory only we can write to, for the process file. */
  readonly scratchDir: string;
  /** Hand our stdin to the program; else it is empty. */
  readonly stdin: boolean;
}

/** How a runtime command ended: the program's code, or what the runtime itself complained of. */
export interface RuntimeProcess {
  readonly code: number;
  readonly error?: string | undefined;
}

/**
 * Runs a program in a running container on this process's own stdio and waits for its end (`detach`: for its start).
 *
 * @throws {BerthError} FailedPrecondition if the runtime cannot be executed
 */
export async function runtimeExec(runtime: Runtime, request: ExecRequest): Promise<RuntimeProcess> {
  const dir = mkdtempSync(join(request.scratchDir, "exec-"));
  try {
    const file = join(dir, "process.json");
    const log = join(dir, "log");
    writeFileSync(file, request.process, { mode: 0o600 });
    const args = ["--log", log, "--log-format", "json", "exec", "--process", file];
    if (request.detach) args.push("--detach");
    args.push(request.id);
    const input = request.stdin ? "inherit" : "ignore";
    const output = request.detach ? "ignore" : "inherit";
    const code = await ended(run(runtime, args, [input, output, output]), runtime[0] ?? "");
    return { code, error: code === 0 ? undefined : lastError(log) };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Removes whatever is left of a container in the runtime; absent is fine. */
export async function runtimeDelete(runtime: Runtime, id: string): Promise<void> {
  const child = run(runtime, ["delete", "--force", id], ["ignore", "ignore", "pipe"]);
  let words = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    words += text;
  });
  const code = await ended(child, runtime[0] ?? "");
  if (code !== 0 && !/does not exist/.test(words)) {
    throw new BerthError("Internal", `remove container ${id} from the runtime: ${words.trim() || `exit code ${code}`}`);
  }
}

type Stdio = "inherit" | "ignore" | "pipe";

function run(runtime: Runtime, args: readonly string[], stdio: [Stdio, Stdio, Stdio]): ChildProcess {
  const [program = "", ...flags] = runtime;
  return spawn(program, [...flags, ...args], { stdio });
}

function ended(child: ChildProcess, program: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", (error) => reject(cannotSpawn(program, error)));
    child.on("close", (code, signal) => {
      resolve(code ?? EXIT_SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

/** The last record of level error: go-runc reads runtimes' logs the same way. */
function lastError(log: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(log, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  for (const line of text.split("\n").reverse()) {
    try {
      const record = JSON.parse(line) as { readonly level?: unknown; readonly msg?: unknown } | null;
      if (record?.level === "error" && typeof record.msg === "string") return record.msg;
    } catch {
      // not a record
    }
  }
  return undefined;
}
