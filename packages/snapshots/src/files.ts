import { spawn } from "node:child_process";
import { type Dirent, mkdirSync, readdirSync, rmSync } from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@berth/base";
import { syncFailed } from "./errors.ts";

/** Makes everything on the file system of `dir` durable: one syncfs(2), which Node does not offer. */
export async function syncFileSystem(dir: string): Promise<void> {
  const why = await new Promise<string | undefined>((resolve) => {
    const child = spawn("sync", ["-f", dir], { stdio: ["ignore", "ignore", "pipe"] });
    let text = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code) => resolve(code === 0 ? undefined : text.trim() || `sync ended with ${code}`));
  });
  if (why !== undefined) throw syncFailed(dir, why);
}

/** Makes `<root>/<n>/fs` and `work`; present ones stay. */
export function makeDirs(dir: string): void {
  mkdirSync(join(dir, "fs"), { recursive: true, mode: 0o755 });
  mkdirSync(join(dir, "work"), { recursive: true, mode: 0o700 });
}

/** A tree of at most so many entries is removed at once: most containers change little, and threads take long to begin. */
const FEW = 50;

/** Removes a tree; another process may be doing the same. */
export async function removeTree(dir: string): Promise<void> {
  const options = { recursive: true, force: true, maxRetries: 3 };
  if (holdsFew(dir)) rmSync(dir, options);
  else await rm(dir, options);
}

function holdsFew(dir: string): boolean {
  const pending = [dir];
  let seen = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const entries = listEntries(next);
    seen += entries.length;
    if (seen > FEW) return false;
    for (const entry of entries) if (entry.isDirectory()) pending.push(join(next, entry.name));
  }
  return true;
}

function listEntries(dir: string): readonly Dirent[] {
  try {
    return readdirSync(dir, { withFileTypes: true });
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** Names that are snapshot numbers. */
export function listDirs(root: string): readonly number[] {
  try {
    return readdirSync(root)
      .filter((name) => /^[1-9]\d{0,14}$/.test(name))
      .map(Number);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Sum of the files' sizes below `dir`, bytes; a file with several links counts once. Files that vanish are skipped. */
export async function usageOf(dir: string): Promise<number> {
  const seen = new Set<number>();
  const pending = [dir];
  let total = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const entry of await entriesOf(next)) {
      const path = join(next, entry.name);
      if (entry.isDirectory()) pending.push(path);
      const stat = await lstat(path).catch(() => undefined);
      if (stat === undefined || stat.isDirectory() || seen.has(stat.ino)) continue;
      if (stat.nlink > 1) seen.add(stat.ino);
      total += stat.size;
    }
  }
  return total;
}

async function entriesOf(dir: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(dir, { withFileTypes: true });
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

function isGone(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "");
}
