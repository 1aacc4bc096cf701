import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const REPO: string = join(import.meta.dirname, "../..");
export const BERTH: string = join(REPO, "berth");

/** Why these tests cannot run here, or false. `tools` are programs that must be installed. */
export function probe(...tools: readonly string[]): string | false {
  if (process.geteuid?.() !== 0) return "needs root";
  for (const tool of tools) {
    if (spawnSync("sh", ["-c", 'command -v "$1"', "sh", tool]).status !== 0)
      return `needs ${tool} (./run-tests installs it when it may)`;
  }
  return false;
}

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** What a command printed that had to succeed. */
export function ok({ code, out, err }: Ran): string {
  assert.equal(code, 0, out + err);
  return out;
}

/** One store of its own: data root, run root, and the CLI bound to them. */
export class Store implements AsyncDisposable {
  readonly dir: string = mkdtempSync(join(tmpdir(), "berth-e2e-"));
  readonly env: NodeJS.ProcessEnv;
  readonly #command: readonly string[];

  /** @param through a command that runs the command line after it */
  constructor(env: NodeJS.ProcessEnv = {}, through: readonly string[] = []) {
    this.#command = [...through, BERTH];
    this.env = { ...process.env, ...env, BERTH_ROOT: join(this.dir, "data"), BERTH_RUN_ROOT: join(this.dir, "run") };
  }

  /** A store that holds the images of a layout or archive. */
  static with(images: string, env?: NodeJS.ProcessEnv): Store {
    const store = new Store(env);
    ok(store.berth("load", "-q", "-i", images));
    return store;
  }

  berth(...args: readonly string[]): Ran {
    return this.berthWith({}, ...args);
  }

  berthWith(options: { readonly input?: string; readonly timeout?: number }, ...args: readonly string[]): Ran {
    const [program = "", ...first] = this.#command;
    const done = spawnSync(program, [...first, ...args], {
      encoding: "utf8",
      env: this.env,
      timeout: options.timeout ?? 120_000,
      input: options.input ?? "",
    });
    return { code: done.status ?? 128 + 9, out: done.stdout, err: done.stderr };
  }

  spawn(...args: readonly string[]): ChildProcess {
    const [program = "", ...first] = this.#command;
    return spawn(program, [...first, ...args], { env: this.env, stdio: ["pipe", "pipe", "pipe"] });
  }

  /** As berth, for tests that serve what it asks for, or look on meanwhile. */
  async run(...args: readonly string[]): Promise<Ran> {
    const child = this.spawn(...args);
    let [out, err] = ["", ""];
    child.stdout?.on("data", (chunk) => {
      out += String(chunk);
    });
    child.stderr?.on("data", (chunk) => {
      err += String(chunk);
    });
    child.stdin?.end();
    const code = await new Promise<number>((resolve) => child.on("close", (ended) => resolve(ended ?? 128 + 9)));
    return { code, out, err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ids = this.berth("ps", "-aq").out.split("\n").filter(Boolean);
    if (ids.length > 0) this.berth("rm", "-f", ...ids);
    for (let attempt = 0; attempt < 20; attempt++) {
      // a monitor may still be undoing its mounts
      if (!mounts().includes(this.dir)) break;
      await sleep(100);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export function mounts(): string {
  return spawnSync("cat", ["/proc/self/mountinfo"], { encoding: "utf8" }).stdout;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Polls until `body` gives a truthy value. */
export async function until<T>(
  what: string | (() => string),
  body: () => T | Promise<T>,
  ms = 10_000,
): Promise<NonNullable<T>> {
  const end = Date.now() + ms;
  for (;;) {
    const value = await body();
    if (value) return value;
    if (Date.now() > end) throw new Error(`timed out waiting for ${typeof what === "string" ? what : what()}`);
    await sleep(50);
  }
}

/** Runs a tool and throws with its output when it fails. */
export function tool(command: string, ...args: readonly string[]): string {
  const done = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26 });
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${done.status}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

export const HELLO_TAR: string = join(REPO, "dist/hello.tar");

export function helloSkip(): string | false {
  return existsSync(HELLO_TAR) ? false : "dist/hello.tar is not built";
}
