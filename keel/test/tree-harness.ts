/** What the tests of trees of layers share: the layers, and keel's commands for them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test as nodeTest } from "node:test";
import { dir, file, hardlink, symlink, tar } from "./tar-writer.ts";
import { KEEL, scratch, skip, unpack } from "./unpack-harness.ts";

export const t = (name: string, body: () => void, why: string | false = skip): void =>
  void nodeTest(name, { skip: why, timeout: 120_000 }, body);

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export function keel(args: readonly string[], input = "", env: NodeJS.ProcessEnv = process.env): Ran {
  const done = spawnSync(KEEL, args, { encoding: "utf8", input, env, timeout: 60_000 });
  return { code: done.status ?? 128, out: done.stdout, err: done.stderr };
}

/** Layers' directories, top first. */
export function layers(...tars: readonly Uint8Array[]): readonly string[] {
  const dirs: string[] = [];
  for (const layer of tars) dirs.unshift(unpack(layer, dirs).dir);
  return dirs;
}

export const layerFlags = (dirs: readonly string[]): readonly string[] => dirs.flatMap((one) => ["--layer", one]);

export function merge(dirs: readonly string[], ...flags: readonly string[]): string {
  const target = scratch();
  const done = keel(["merge", "--target", target, ...layerFlags(dirs), ...flags]);
  assert.equal(done.code, 0, done.err);
  return target;
}

export function host(step: object, env: NodeJS.ProcessEnv = process.env): Ran {
  return keel(["host"], JSON.stringify([step]), env);
}

/** Mounts by `keel host`, looks, and unmounts. */
export function mounted(step: object, look: (dir: string) => void): void {
  const target = scratch();
  const done = host({ op: "mount", source: "overlay", target, ...step });
  assert.equal(done.code, 0, done.out);
  try {
    look(target);
  } finally {
    assert.equal(host({ op: "umount", target }).code, 0);
  }
}

export const LOWER: Buffer = tar(
  dir("etc", { mode: 0o750, uid: 3, gid: 4, mtime: 1_150_000_000 }),
  file("etc/a", "lower a", { uid: 7, mode: 0o4711 }),
  file("etc/b", "lower b"),
  hardlink("etc/c", "/etc/b"),
  dir("gone"),
  file("gone/x", "x"),
  dir("opaque"),
  file("opaque/old", "old"),
  file("opaque/kept", "old too"),
  symlink("link", "/etc/a"),
  file("plain", "a file that becomes a directory"),
);
export const UPPER: Buffer = tar(
  file("etc/.wh.a"),
  file("etc/new", "new", { gid: 9 }),
  file(".wh.gone"),
  file("opaque/.wh..wh..opq"),
  file("opaque/kept", "kept"),
  dir("plain"),
  file("plain/inside", "inside"),
);

/** Stacks of layers, bottom first, in which one takes away what another has, in every way. */
export const STACKS: readonly (readonly Uint8Array[])[] = [
  [LOWER, UPPER, tar(file("opaque/top", "top"))],
  // a name that goes and comes back: as a file, as a directory in one layer and in two, below a directory that went
  [LOWER, tar(file("etc/.wh.a"), file(".wh.gone")), tar(file("etc/a", "again"), dir("gone"), file("gone/y", "y"))],
  [LOWER, tar(file(".wh.gone"), dir("gone"), file("gone/y", "y"))],
  [LOWER, tar(dir("gone"), file("gone/y", "y"), file(".wh.gone"))],
  [LOWER, tar(file(".wh.gone"), file("gone/deep/y", "y"))],
  [LOWER, tar(file(".wh.link"), file("link", "a file now"), file("etc/.wh.b"), hardlink("etc/b", "/etc/c"))],
  // everything at once, and what is not there
  [
    LOWER,
    tar(file(".wh..wh..opq"), file("only", "only")),
    tar(file("etc/new", "")),
    tar(file(".wh.none"), file("etc/.wh.new")),
  ],
];

export function unpackAll(stack: readonly Uint8Array[], flags: readonly string[]): readonly string[] {
  const dirs: string[] = [];
  for (const layer of stack) dirs.unshift(unpack(layer, dirs, flags).dir);
  return dirs;
}
