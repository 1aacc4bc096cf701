import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { BERTH } from "./harness.ts";

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** `berth registry serve` in a process of its own, on any free port. */
export class Served implements AsyncDisposable {
  readonly url: string;
  readonly host: string;
  readonly child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.url = url;
    this.host = new URL(url).host;
    this.child = child;
  }

  /** @param env names the data root */
  static async start(env: NodeJS.ProcessEnv, ...flags: readonly string[]): Promise<Served> {
    const child = spawn(BERTH, ["registry", "serve", "--listen", "0", ...flags], {
      env,
      stdio: ["ignore", "inherit", "pipe"],
    });
    let said = "";
    const url = await new Promise<string>((resolve, reject) => {
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        const match = /^serving on (\S+)$/m.exec(said);
        if (match !== null) resolve(match[1] ?? "");
      });
      child.on("close", (code) => reject(new Error(`berth registry serve ended with ${code}: ${said}`)));
    });
    // A test file of which no test was chosen runs its set-up and not its end.
    child.unref();
    (child.stderr as Socket).unref();
    running.add(child);
    child.on("exit", () => running.delete(child));
    return new Served(url, child);
  }

  /** Most memory it has had at once, bytes. */
  peakBytes(): number {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.child.pid}/status`, "utf8"))?.[1];
    return Number(kib) * 1024;
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const ended = new Promise<number | null>((resolve) => this.child.on("exit", resolve));
    this.child.ref();
    this.child.kill(signal);
    return await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
  }
}
