import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { alreadyThere, translateWrite } from "./errors.ts";
import { BLOCK, formatHeader } from "./header.ts";
import type { NewMember } from "./types.ts";

type Members = Iterable<NewMember> | AsyncIterable<NewMember>;

/** The members as a tar archive. The same members give the same bytes: times are 0, the owner is root. */
export async function* formatTar(members: Members): AsyncGenerator<Uint8Array> {
  const dirs = new Set<string>();
  for await (const { name, size, body } of members) {
    for (const dir of dirsOf(name)) {
      if (dirs.has(dir)) continue;
      dirs.add(dir);
      yield formatHeader({ name: `${dir}/`, size: 0, type: "5", mode: 0o755 });
    }
    yield formatHeader({ name, size, type: "0", mode: 0o644 });
    yield* body();
    yield Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
  }
  yield Buffer.alloc(2 * BLOCK);
}

function dirsOf(name: string): readonly string[] {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join("/"));
}

/**
 * Writes bytes to `path`. A file gets its name when it is whole and on the disk; what is there and no file (a pipe, a
 * device) is written to.
 *
 * @throws {BerthError} NotFound, PermissionDenied, ResourceExhausted, or what `body` throws; then `path` is as before
 */
export async function writeFileWhole(
  path: string,
  body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const present = statSync(path, { throwIfNoEntry: false });
  const isFile = present === undefined || present.isFile();
  const temporary = isFile ? `${path}.${process.pid}.partial` : path;
  try {
    const fd = openSync(temporary, isFile ? "wx" : "w", 0o600);
    try {
      for await (const chunk of body) writeAll(fd, chunk);
      if (isFile) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (isFile) renameSync(temporary, path);
  } catch (error) {
    if (isFile) rmSync(temporary, { force: true });
    throw translateWrite(error, path);
  }
}

/**
 * Writes the members as files of a directory, which must be absent or empty, in their order. After an error it is as it was
 * before; it is filled in its place, since it may be a mount point or somebody's working directory.
 *
 * @throws {BerthError} AlreadyExists, NotFound, PermissionDenied, ResourceExhausted, or what a body throws
 */
export async function writeDirectory(path: string, members: Members): Promise<void> {
  const made = makeEmpty(path);
  const tops = new Set<string>();
  const dirs = new Set([path]);
  try {
    for await (const { name, body } of members) {
      const file = join(path, name);
      tops.add(join(path, name.split("/", 1)[0] ?? ""));
      for (const dir of dirsOf(name)) dirs.add(join(path, dir));
      mkdirSync(dirname(file), { recursive: true });
      await writeFileWhole(file, body());
    }
    for (const dir of dirs) syncDir(dir);
  } catch (error) {
    for (const one of made === undefined ? tops : [made]) rmSync(one, { recursive: true, force: true });
    throw translateWrite(error, path);
  }
}

/** Returns the outermost directory that was not there. */
function makeEmpty(path: string): string | undefined {
  try {
    const made = mkdirSync(path, { recursive: true });
    if (made === undefined && readdirSync(path).length > 0) throw alreadyThere(path);
    return made;
  } catch (error) {
    throw translateWrite(error, path);
  }
}

function syncDir(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd: number, data: Uint8Array): void {
  for (let done = 0; done < data.length; ) done += writeSync(fd, data, done);
}
