import { spawn } from "node:child_process";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@berth/base";
import { copyFailed } from "./errors.ts";

/** Directories on their way out; no volume can have such a name. */
const TRASH = ".trash-";

/** Makes `<root>/<name>/_data`, durable; what an unknown volume left under that name is put aside first. */
export function makeVolume(root: string, name: string, token: string): void {
  const dir = join(root, name);
  if (!existsSync(root)) mkdirSync(root, { recursive: true, mode: 0o711 });
  // Closed to other users: volumes hold set-id files of containers' roots (CVE-2021-41091).
  putAside(root, name, token);
  mkdirSync(dir, { mode: 0o700 });
  mkdirSync(join(dir, "_data"), { mode: 0o755 });
  syncDir(dir);
  syncDir(root);
}

/** Renames a volume's directory so that only {@link emptyTrash} sees it; absent is no error. */
export function putAside(root: string, name: string, token: string): void {
  try {
    renameSync(join(root, name), join(root, `${TRASH}${token}`));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** Names of the volumes' directories, whether a row knows them or not. */
export function listDirs(root: string): readonly string[] {
  return list(root).filter((name) => !name.startsWith("."));
}

export async function emptyTrash(root: string): Promise<void> {
  const trash = list(root).filter((name) => name.startsWith(TRASH));
  for (const name of trash) await rm(join(root, name), { recursive: true, force: true, maxRetries: 3 });
}

export function isEmpty(dir: string): boolean {
  return readdirSync(dir).length === 0;
}

/** Copies all of `source` and its own owner and mode into `target`, then makes it durable. */
export async function copyTree(volume: string, source: string, target: string, signal?: AbortSignal): Promise<void> {
  // cp keeps owners, modes, times, hard links, devices and xattrs, which Node's cp does not.
  await run(volume, ["cp", "-a", "--one-file-system", "--", `${source}/.`, target], signal);
  await run(volume, ["sync", "-f", target], signal);
}

async function run(volume: string, argv: readonly string[], signal?: AbortSignal): Promise<void> {
  const [command = "", ...args] = argv;
  const why = await new Promise<string | undefined>((resolve) => {
    const env = { ...process.env, LC_ALL: "C" };
    const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"], env, ...(signal ? { signal } : {}) });
    let text = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      text = (text + chunk).slice(0, 2000);
    });
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code) => resolve(code === 0 ? undefined : text.trim() || `${command} ended with ${code}`));
  });
  signal?.throwIfAborted();
  if (why !== undefined) throw copyFailed(volume, why);
}

function list(root: string): readonly string[] {
  try {
    return readdirSync(root);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

function syncDir(dir: string): void {
  const fd = openSync(dir, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
