/** Debian's docker-registry on loopback: tests and benchmarks copy from it and to it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export interface DockerRegistry {
  readonly host: string;
  /** Its `rootdirectory`. */
  readonly storage: string;
  readonly child: ChildProcess;
}

const TRIES = 200;

/** Keeps what it gets below `dir`, which must be there; to be killed by the caller, and at the end of this process. */
export async function startDockerRegistry(dir: string): Promise<DockerRegistry> {
  const host = `127.0.0.1:${await freePort()}`;
  const storage = join(dir, "storage");
  mkdirSync(storage);
  const config = join(dir, "registry.yml");
  const lines = [
    "version: 0.1",
    "log: {level: error}",
    `storage: {filesystem: {rootdirectory: ${storage}}, delete: {enabled: true}}`,
    `http: {addr: ${host}}`,
  ];
  writeFileSync(config, lines.join("\n"));
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  // a test file of which no test was chosen runs its set-up and not its end
  child.unref();
  process.once("exit", () => child.kill("SIGKILL"));
  for (let tries = 0; tries < TRIES; tries++) {
    const isUp = await fetch(`http://${host}/v2/`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (isUp) return { host, storage, child };
    await sleep(50);
  }
  child.kill("SIGKILL");
  throw new Error("docker-registry does not answer");
}

/** A port of loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
