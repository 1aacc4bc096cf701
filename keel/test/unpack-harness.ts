/** Runs `keel unpack` on archives and tells what became of them. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

export const KEEL: string = process.env["KEEL_BINARY"] ?? join(import.meta.dirname, "../build/keel");

/** Why these tests cannot run here, or false. */
export const skip: string | false =
  process.geteuid?.() !== 0 ? "needs root" : existsSync(KEEL) ? false : "keel is not built (npm run build)";

const base: string = mkdtempSync(join(tmpdir(), "keel-unpack-"));
const mounts: string[] = [];
let count = 0;

after(() => {
  for (const dir of mounts) execFileSync("umount", ["-l", dir]);
  rmSync(base, { recursive: true, force: true });
});

/** A new empty directory. */
export function scratch(): string {
  const dir = join(base, String(++count));
  mkdirSync(dir);
  return dir;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly errno?: string;
}

export interface Applied {
  readonly dir: string;
  readonly result: { readonly diffId: string; readonly digest: string; readonly [key: string]: unknown };
}

/** What `keel unpack` says of a layer. */
export function attempt(
  layer: Uint8Array,
  lowers: readonly string[] = [],
  flags: readonly string[] = [],
): { dir: string; code: number; out: string; err: string } {
  const dir = scratch();
  const args = ["unpack", "--target", dir, ...lowers.flatMap((lower) => ["--lower", lower]), ...flags];
  const done = spawnSync(KEEL, args, { input: layer, encoding: "utf8", timeout: 60_000 });
  return { dir, code: done.status ?? 128, out: done.stdout, err: done.stderr };
}

/** Applies a layer on top of those below, top first. */
export function unpack(layer: Uint8Array, lowers: readonly string[] = [], flags: readonly string[] = []): Applied {
  const { dir, code, out, err } = attempt(layer, lowers, flags);
  assert.equal(code, 0, err);
  return { dir, result: JSON.parse(out) };
}

/** The error of a layer that cannot be applied. */
export function refused(
  layer: Uint8Array,
  lowers: readonly string[] = [],
  flags: readonly string[] = [],
): Failure & { readonly dir: string } {
  const { dir, code, err } = attempt(layer, lowers, flags);
  assert.equal(code, 1, err);
  return { ...(JSON.parse(err) as Failure), dir };
}

/** What a container sees of these layers, top first. */
export function merged(...layers: readonly string[]): string {
  const dir = scratch();
  const lowers = layers.length === 1 ? [...layers, scratch()] : layers;
  execFileSync("mount", ["-t", "overlay", "-o", `lowerdir=${lowers.join(":")}`, "overlay", dir]);
  mounts.push(dir);
  return dir;
}

/** Applies layers bottom first and returns what a container sees. */
export function image(...layers: readonly Uint8Array[]): string {
  const dirs: string[] = [];
  for (const layer of layers) dirs.unshift(unpack(layer, dirs).dir);
  return merged(...dirs);
}

/** Paths of everything below `dir`, sorted. Node's recursive readdir follows symlinks. */
function walk(dir: string, prefix = ""): string[] {
  return readdirSync(join(dir, prefix), { withFileTypes: true })
    .flatMap((found) => {
      const path = join(prefix, found.name);
      return found.isDirectory() ? [path, ...walk(dir, path)] : [path];
    })
    .sort();
}

/** Everything below `dir`, sorted: `path/`, `path -> target`, `path=content`, `path c1,3`. */
export function tree(dir: string): readonly string[] {
  return walk(dir).map((name) => {
    const path = join(dir, name);
    const stat = lstatSync(path);
    if (stat.isDirectory()) return `${name}/`;
    if (stat.isSymbolicLink()) return `${name} -> ${readlinkSync(path)}`;
    if (stat.isFile()) return `${name}=${readFileSync(path, "utf8")}`;
    if (stat.isFIFO()) return `${name} fifo`;
    return `${name} ${stat.isBlockDevice() ? "b" : "c"}${stat.rdev >> 8},${stat.rdev & 255}`;
  });
}

/** Modes and owners of everything below `dir`, by path. */
export function modes(dir: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [".", ...walk(dir)].map((name) => {
      const { mode, uid, gid } = lstatSync(join(dir, name));
      return [name, `${(mode & 0o7777).toString(8)} ${uid}:${gid}`];
    }),
  );
}

/** Node has no calls for extended attributes. */
export function setXattr(path: string, name: string, value: string): void {
  execFileSync("python3", [
    "-c",
    "import os,sys\nos.setxattr(sys.argv[1], sys.argv[2], sys.argv[3].encode())",
    path,
    name,
    value,
  ]);
}

/** An extended attribute as hex, "" when there is none. */
export function xattr(path: string, name: string): string {
  const script =
    'import os,sys\ntry: print(os.getxattr(sys.argv[1], sys.argv[2], follow_symlinks=False).hex())\nexcept OSError: print("")';
  return execFileSync("python3", ["-c", script, path, name], { encoding: "utf8" }).trim();
}
