import type { WireError } from "@berth/protocol";
import * as c from "../lib/consts.ts";
import { callError, must, runtimeError } from "../lib/errors.ts";
import { removeTree } from "../lib/files.ts";
import { copyUp } from "./copyup.ts";
import { isDirectory, listLowerRoot, OVERLAY_XATTRS, statIn } from "./lower.ts";
import { isWhiteout, makeWhiteout, marksAreFiles, removeFileMark } from "./marks.ts";
import { AUFS_LINKS, dirOf, isBelow, meaningOf, nameOf, WHITEOUT } from "./names.ts";
import type { Dir, Tree } from "./tree.ts";

export interface LayerSource {
  readonly fd: Fd;
  /** -1, or where it is told that the file has grown (sys.layerOpen). */
  readonly grows: Fd;
}

/** What a layer may hold. */
export interface Limits {
  readonly entries: number;
  /** Of the tar stream. */
  readonly bytes: number;
  /** Past so many bytes, the tar stream may have `ratio` times the bytes of the layer. */
  readonly freeBytes: number;
  readonly ratio: number;
  /** Device nodes are made; else they are left out, as in a user namespace, where nobody may make them. */
  readonly devices: boolean;
}

/**
 * Applies a layer to the tree: the change set of the OCI image-spec (layer.md).
 *
 * @throws RuntimeError InvalidArgument when the bytes are no layer; what a call failed with
 */
export function applyLayer(tree: Tree, source: LayerSource, limits: Limits): LayerTotals {
  const { entries, bytes, freeBytes, ratio } = limits;
  need(sys.layerOpen(source.fd, entries, bytes, freeBytes, ratio, OVERLAY_XATTRS, source.grows), "read the layer");
  let aufs = false;
  for (;;) {
    const entry = sys.layerNext();
    if (entry === undefined) break;
    if (typeof entry !== "object") throw failure(entry, "read the layer");
    if (isBelow(entry.path, AUFS_LINKS)) aufs = true;
    applyEntry(tree, entry, limits.devices);
    // With marks in files whatever is made may have one to take away.
    if (marksAreFiles()) continue;
    const { fd: dir, path, inherits } = tree.present;
    if (need(sys.layerRun(dir, path, inherits, WHITEOUT), `create files in ${path}`) > 0) tree.present.changed = true;
  }
  if (aufs) remove(tree, tree.open("/").fd, nameOf(AUFS_LINKS));
  tree.close();
  const totals = sys.layerFinish();
  if (typeof totals !== "object") throw failure(totals, "read the layer");
  return totals;
}

function applyEntry(tree: Tree, entry: LayerEntry, devices: boolean): void {
  const { path, kind, link } = entry;
  const meaning = meaningOf(path);
  switch (meaning) {
    case "ignored":
      return;
    case "invalid":
      throw runtimeError("InvalidArgument", `apply ${path}: a whiteout names no file`);
    case "whiteout":
      hide(tree, path);
      return;
    case "opaque":
      hideAll(tree, dirOf(path));
      return;
    default:
  }
  if (kind === "dir") makeDirectory(tree, entry);
  else if (path === "/") throw runtimeError("InvalidArgument", `apply /: the root of a layer is a ${kind}`);
  else if (kind === "hardlink") makeLink(tree, path, link);
  else if (devices || (kind !== "char" && kind !== "block")) makeFile(tree, path);
}

/** A file, symlink, device or fifo in place of whatever has its name. */
function makeFile(tree: Tree, path: string): void {
  const dir = tree.open(dirOf(path));
  dir.changed = true;
  let result = sys.layerMake(dir.fd, dir.inherits);
  if (result === -c.EEXIST) {
    remove(tree, dir.fd, nameOf(path));
    result = sys.layerMake(dir.fd, dir.inherits);
  }
  need(result, `create ${path}`);
  removeFileMark(dir.fd, nameOf(path));
}

function makeDirectory(tree: Tree, entry: LayerEntry): void {
  const { path } = entry;
  if (path !== "/") {
    const dir = tree.open(dirOf(path));
    const result = sys.layerMake(dir.fd, dir.inherits);
    dir.changed = true;
    const name = nameOf(path);
    if (result !== -c.EEXIST) {
      need(result, `create directory ${path}`);
      if (removeFileMark(dir.fd, name)) tree.hideBelow(name);
      return;
    }
    const stat = statIn(dir.fd, name);
    if (!stat || !isDirectory(stat)) {
      must(sys.unlinkat(dir.fd, name, 0), `remove ${path}`);
      need(sys.layerMake(dir.fd, dir.inherits), `create directory ${path}`);
      // What was here hid a lower layer's directory of this name, which must not come to light again.
      tree.hideBelow(name);
      return;
    }
  }
  const dir = tree.open(path);
  need(sys.layerAttributes(dir.fd), `change the attributes of ${path}`);
  tree.setTime(entry.mtimeSec, entry.mtimeNsec);
}

function makeLink(tree: Tree, path: string, link: string): void {
  const target = nameOf(link);
  const from = openTarget(tree, path, link, target);
  const name = nameOf(path);
  const dir = tree.open(dirOf(path));
  dir.changed = true;
  let result = sys.linkat(from, target, dir.fd, name, 0);
  if (result === -c.EEXIST && !isSame(statIn(from, target), statIn(dir.fd, name))) {
    remove(tree, dir.fd, name);
    result = sys.linkat(from, target, dir.fd, name, 0);
  }
  sys.close(from);
  if (result !== -c.EEXIST) must(result, `link ${path} to ${link}`);
  removeFileMark(dir.fd, name);
}

/** A descriptor of the directory in which a hard link's target is, in this layer and not only below. */
function openTarget(tree: Tree, path: string, link: string, name: string): Fd {
  const dir = tree.open(dirOf(link));
  const stat = statIn(dir.fd, name);
  if (!stat || isWhiteout(stat)) {
    const found = stat ? undefined : tree.below(name);
    if (!found) throw runtimeError("InvalidArgument", `link ${path} to ${link}: there is no ${link}`);
    if (!isDirectory(found.stat)) copyUp(tree, found);
    sys.close(found.dir);
  }
  return must(sys.dupMin(dir.fd, 3), "duplicate a descriptor");
}

function isSame(a: Stat | undefined, b: Stat | undefined): boolean {
  return a !== undefined && b !== undefined && a.ino === b.ino && a.dev === b.dev;
}

/** A whiteout takes away what is below; what this layer itself has of that name stays. */
function hide(tree: Tree, path: string): void {
  if (tree.lowers.length === 0) return;
  const dir = openOrFile(tree, dirOf(path));
  if (!dir) return;
  dir.changed = true;
  const result = marksAreFiles() ? markInFile(dir.fd, path) : sys.layerWhiteout(dir.fd, WHITEOUT.length);
  if (result !== -c.EEXIST) {
    must(result, `create the whiteout ${path}`);
    return;
  }
  hideUnder(tree, path.substring(path.lastIndexOf("/") + 1 + WHITEOUT.length));
}

/** The mark as the image names it, unless this layer has the file itself. */
function markInFile(dir: Fd, path: string): Errno {
  if (statIn(dir, path.substring(path.lastIndexOf("/") + 1 + WHITEOUT.length))) return -c.EEXIST;
  const result = sys.mknodat(dir, nameOf(path), c.S_IFREG, 0, 0);
  return result === -c.EEXIST ? 0 : result;
}

/** undefined: a file is in the directory's place, which hides all that is below already (umoci writes such whiteouts). */
function openOrFile(tree: Tree, path: string): Dir | undefined {
  try {
    return tree.open(path);
  } catch (thrown) {
    if ((thrown as WireError).errno === "ENOTDIR") return undefined;
    throw thrown;
  }
}

/** Hides what is below the present directory's entry of this name, which is there. */
function hideUnder(tree: Tree, name: string): void {
  const stat = statIn(tree.present.fd, name);
  if (stat && isDirectory(stat)) tree.hideBelow(name);
}

function hideAll(tree: Tree, path: string): void {
  if (tree.lowers.length === 0) return;
  if (path !== "/") {
    if (openOrFile(tree, path)) tree.hideBelow(".");
    return;
  }
  // overlayfs always merges the roots: what is below must be taken away name by name
  const root = tree.open("/");
  root.changed = true;
  const names = listLowerRoot(tree.completeLowers());
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    const result = makeWhiteout(root.fd, name);
    if (result === -c.EEXIST) hideUnder(tree, name);
    else must(result, "create a whiteout in /");
  }
}

/** Removes a present entry of the present directory, whatever it is. */
function remove(tree: Tree, dir: Fd, name: string): void {
  removeTree(dir, name);
  tree.present.changed = true;
}

/** Returns a number that is no error, or throws; a text says what is wrong with the layer's bytes. */
function need(result: number | string, step: string): number {
  if (typeof result === "string" || result < 0) throw failure(result, step);
  return result;
}

function failure(result: number | string, step: string): unknown {
  if (typeof result === "number") return callError(step, result);
  return runtimeError("InvalidArgument", `${step}: ${result}`);
}
