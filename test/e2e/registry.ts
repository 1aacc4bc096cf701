import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, tool, until } from "./harness.ts";

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
    const port = await freePort();
    mkdirSync(join(dir, "storage"));
    const config = join(dir, "config.yml");
    writeFileSync(
      config,
      `version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: ${dir}/storage\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:${port}\n`,
    );
    const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
    const host = `127.0.0.1:${port}`;
    await until("docker-registry", async () => {
      try {
        return (await fetch(`http://${host}/v2/`)).ok;
      } catch {
        return false;
      }
    });
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
