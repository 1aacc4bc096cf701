/** What the tests of keel's callers share: the image they load, the pages of docs/use-keel.md, runc beside keel. */
import assert from "node:assert/strict";
import { type ChildProcess, type StdioOptions, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HELLO_TAR, helloSkip, mounts, probe, type Ran, REPO, Store, sleep, tool } from "../e2e/harness.ts";

export const KEEL: string = join(REPO, "keel/build/keel");
export const IMAGE = "berth.local/hello:latest";

/** Why a caller cannot be tested here, or false. */
export function callerSkip(...tools: readonly string[]): string | false {
  return probe(...tools, "skopeo", "runc", "script") || helloSkip() || (existsSync(KEEL) ? false : "keel is not built");
}

/** A directory for a caller's data, sockets and configuration. */
export class Place {
  readonly dir: string = mkdtempSync(join(tmpdir(), "keel-callers-"));

  constructor() {
    // runc walks to the root file system as the root of a user namespace
    chmodSync(this.dir, 0o711);
  }

  /** The hello image as the archive that all callers take. */
  archive(): string {
    const path = join(this.dir, "hello-docker.tar");
    if (!existsSync(path))
      tool("skopeo", "copy", "-q", "--insecure-policy", `oci-archive:${HELLO_TAR}`, `docker-archive:${path}:${IMAGE}`);
    return path;
  }

  /** The same as `berth save` writes it. */
  async saved(format: "oci-archive" | "docker-archive"): Promise<string> {
    const path = join(this.dir, `saved-${format}.tar`);
    await using store = new Store();
    for (const args of [
      ["load", "-q", "-i", HELLO_TAR],
      ["save", "--format", format, "-o", path, IMAGE],
    ]) {
      const ran = store.berth(...args);
      assert.equal(ran.code, 0, ran.err);
    }
    return path;
  }

  /** Also what a daemon that was stopped left behind: shims, mounts. */
  remove(): void {
    for (const pid of this.#shims()) process.kill(pid, "SIGKILL");
    const left = mounts()
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .filter((path) => path.startsWith(this.dir));
    for (const path of left.toReversed()) spawnSync("umount", ["-l", path]);
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Processes that were told a socket in this directory. */
  #shims(): number[] {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    return pids.map(Number).filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`\0-address\0${this.dir}/`);
      } catch {
        return false;
      }
    });
  }
}

/** Removes the parents that a caller made for its containers' cgroups, with what it left below, where nothing lives. */
export function removeCgroupParents(...names: readonly string[]): void {
  const hierarchies = mounts()
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4] ?? "");
  for (const parent of hierarchies.flatMap((hierarchy) => names.map((name) => join(hierarchy, name))))
    if (existsSync(parent))
      spawnSync("find", [parent, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"], { stdio: "ignore" });
}

export interface CallOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  /** conmon leaves a file named oom in the directory it is started in. */
  readonly cwd?: string;
  /** Descriptors from 3 on. */
  readonly fds?: readonly number[];
}

export function call(command: string, args: readonly string[], options: CallOptions = {}): Ran {
  const done = spawnSync(command, args, {
    encoding: "utf8",
    env: options.env ?? process.env,
    cwd: options.cwd ?? process.cwd(),
    timeout: 60_000,
    input: options.input ?? "",
    stdio: ["pipe", "pipe", "pipe", ...(options.fds ?? [])],
  });
  return { code: done.status ?? 128 + 9, out: done.stdout, err: done.stderr };
}

/**
 * The block of a language after a heading of docs/use-keel.md, with this tree's keel in place of the installed one: what
 * we tell people to write is what the tests run with.
 */
export function documented(heading: string, language: string): string {
  const page = readFileSync(join(REPO, "docs/use-keel.md"), "utf8");
  const section = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? "";
  const block = new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "m").exec(section)?.[1];
  assert.ok(block, `docs/use-keel.md has a ${language} block below '${heading}'`);
  assert.ok(block.includes("/usr/local/bin/keel"), `the ${language} block below '${heading}' names keel`);
  return block.replaceAll("/usr/local/bin/keel", KEEL);
}

/** A daemon of ours, ended by its pid. */
export class Daemon {
  readonly #child: ChildProcess;

  constructor(
    command: readonly [string, ...string[]],
    options: { readonly env?: NodeJS.ProcessEnv; readonly log: number },
  ) {
    const [program, ...args] = command;
    const stdio: StdioOptions = ["ignore", options.log, options.log];
    this.#child = spawn(program, args, { stdio, env: options.env ?? process.env });
  }

  /** True when the client's command succeeds within 30 s. */
  async answers(client: readonly [string, ...string[]], env: NodeJS.ProcessEnv): Promise<boolean> {
    const [program, ...args] = client;
    for (let attempt = 0; attempt < 300 && this.#child.exitCode === null; attempt++) {
      if (spawnSync(program, args, { env, stdio: "ignore" }).status === 0) return true;
      await sleep(100);
    }
    return false;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#child.on("close", resolve));
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 15_000);
    this.#child.kill("SIGTERM");
    await ended;
    clearTimeout(late);
  }
}
