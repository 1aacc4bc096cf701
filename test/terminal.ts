import { type ChildProcess, spawn } from "node:child_process";
import { until } from "./e2e/harness.ts";

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** A program on a terminal of its own of 33 by 99 (util-linux's script makes it): what it shows, and what somebody types. */
export class Terminal {
  shown = "";
  readonly code: Promise<number>;
  readonly #child: ChildProcess;

  constructor(command: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    const line = `stty rows 33 cols 99; exec ${command.map(quote).join(" ")}`;
    this.#child = spawn("script", ["-qec", line, "/dev/null"], { env, stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.shown += text;
    });
    this.code = new Promise((resolve) => this.#child.on("close", (code) => resolve(code ?? 128)));
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits until the pattern was shown, after what earlier waits found. */
  async sees(pattern: RegExp): Promise<void> {
    const what = (): string => `${pattern} in ${JSON.stringify(this.shown)}`;
    const found = await until(what, () => pattern.exec(this.shown));
    this.shown = this.shown.slice(found.index + found[0].length);
  }
}
