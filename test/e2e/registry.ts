import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDockerRegistry } from "../docker-registry.ts";
import { tool } from "./harness.ts";

/** Debian's docker-registry on a loopback port, with its storage in a directory of its own. */
export class Registry implements AsyncDisposable {
  readonly host: string;
  readonly dir: string;
  readonly #child: ChildProcess;

  private constructor(host: string, dir: string, child: ChildProcess) {
    this.host = host;
    this.dir = dir;
    this.#child = child;
  }

  static async start(): Promise<Registry> {
    const dir = mkdtempSync(join(tmpdir(), "berth-registry-"));
    const { host, child } = await startDockerRegistry(dir);
    return new Registry(host, dir, child);
  }

  /** Copies from any skopeo source into `name` here. */
  fill(source: string, name: string, ...flags: readonly string[]): string {
    tool(
      "skopeo",
      "copy",
      "--insecure-policy",
      "--quiet",
      "--dest-tls-verify=false",
      ...flags,
      source,
      `docker://${this.host}/${name}`,
    );
    return `${this.host}/${name}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    rmSync(this.dir, { recursive: true, force: true });
  }
}
