/** Debian's docker-registry on loopback, from which and to which all contenders copy. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

export interface Registry {
  readonly host: string;
  readonly child: ChildProcess;
}

/** Keeps its blobs at `dir`/storage; to be killed by the caller. */
export async function startRegistry(dir: string): Promise<Registry> {
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(dir, "registry.yml");
  mkdirSync(join(dir, "storage"));
  const storage = `storage: {filesystem: {rootdirectory: ${dir}/storage}}`;
  writeFileSync(config, ["version: 0.1", "log: {level: error}", storage, `http: {addr: ${host}}`].join("\n"));
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  for (let tries = 0; tries < 200; tries++) {
    const isUp = await fetch(`http://${host}/v2/`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (isUp) return { host, child };
    await new Promise((done) => setTimeout(done, 50));
  }
  child.kill("SIGKILL");
  throw new Error("docker-registry does not answer");
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === "object" && address !== null ? address.port : 0;
}
