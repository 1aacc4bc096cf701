import { copyAttributes } from "../lib/attributes.ts";
import * as c from "../lib/consts.ts";
import { callError, must, mustGet, runtimeError } from "../lib/errors.ts";
import { type Found, findLower, isDirectory, statIn } from "./lower.ts";
import { isHiddenByFile, isOpaque, isWhiteout, makeOpaque, removeFileMark } from "./marks.ts";

const DIRECTORY: number = c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW;
/** As the kernel's limit. */
const MAX_LINKS = 40;

/** An open directory of the layer. */
export interface Dir {
  readonly fd: Fd;
  /** Absolute, without symlinks, with a slash at its end. */
  readonly path: string;
  /** What is made in here gets its group, perhaps its set-group-id bit. */
  inherits: boolean;
  mtimeSec: number;
  mtimeNsec: number;
  /** Its modification time is to be put back. */
  changed: boolean;
}

/**
 * The layer's directory, seen as overlayfs will show it on top of its lower layers: a directory that is only below is
 * made here when something goes into it, a symlink that is only below is followed.
 *
 * Open are the directories from the root to the present one. Every step is one component, opened without following
 * symlinks, which are followed here, inside this root: nothing in a layer can lead out of it. A directory's time is put
 * back when it is left, so that no list of directories is needed.
 */
export class Tree {
  private readonly stack: Dir[] = [];
  readonly lowers: readonly Fd[];
  private lowersDone: Fd;

  /** Takes the descriptors over. `lowers`: top first. `lowersDone`: -1, or a pipe that ends when they are complete. */
  constructor(root: Fd, lowers: readonly Fd[], lowersDone: Fd) {
    this.lowers = lowers;
    this.lowersDone = lowersDone;
    this.push(root, "/");
  }

  /** The lower layers to look into. They may still be unpacked at the same time, and most layers never need to look. */
  completeLowers(): readonly Fd[] {
    if (this.lowersDone >= 0) {
      while (mustGet(sys.readBytes(this.lowersDone, 1), "wait for the lower layers").length > 0);
      sys.close(this.lowersDone);
      this.lowersDone = -1;
    }
    return this.lowers;
  }

  get present(): Dir {
    return this.stack[this.stack.length - 1] as Dir;
  }

  /** Goes to the directory of an absolute clean path, following symlinks, and makes what is missing. */
  open(path: string): Dir {
    const wanted = path === "/" ? path : `${path}/`;
    while (wanted.substring(0, this.present.path.length) !== this.present.path) this.leave();
    let rest = wanted.substring(this.present.path.length - 1);
    let links = 0;
    while (rest.length > 1) {
      const end = rest.indexOf("/", 1);
      const name = `.${rest.substring(0, end)}`;
      rest = rest.substring(end);
      if (name === "./" || name === "./.") continue;
      if (name === "./..") {
        if (this.stack.length > 1) this.leave();
        continue;
      }
      const target = this.enter(name);
      if (target === undefined) continue;
      if (++links > MAX_LINKS) throw callError(`open directory ${path}`, -c.ELOOP);
      if (target.charAt(0) === "/") this.leaveAll();
      rest = `/${target}${rest}`;
    }
    return this.present;
  }

  /** The time that the present directory gets when it is left. */
  setTime(mtimeSec: number, mtimeNsec: number): void {
    const dir = this.present;
    dir.mtimeSec = mtimeSec;
    dir.mtimeNsec = mtimeNsec;
    dir.changed = true;
    const stat = sys.fstat(dir.fd);
    if (typeof stat !== "number") dir.inherits = inherits(stat);
  }

  /** Leaves every directory but the root. */
  leaveAll(): void {
    while (this.stack.length > 1) this.leave();
  }

  /** Ends the work: all times are put back. */
  close(): void {
    while (this.stack.length > 0) this.leave();
  }

  /** Looks `./name` in the present directory up in the lower layers, as far as this layer does not hide them. */
  below(name: string): Found | undefined {
    if (this.lowers.length === 0 || isHiddenByFile(this.present.fd, name)) return undefined;
    const names: string[] = [];
    for (let i = 1; i < this.stack.length; i++) {
      const dir = this.stack[i] as Dir;
      if (isOpaque(dir.fd)) return undefined;
      const above = this.stack[i - 1] as Dir;
      names.push(`.${dir.path.substring(above.path.length - 1, dir.path.length - 1)}`);
    }
    names.push(name);
    return findLower(this.completeLowers(), names);
  }

  /** Hides what lower layers have in the directory `name` of the present one. */
  hideBelow(name: string): void {
    if (this.lowers.length === 0) return;
    const step = `hide what is below in ${this.present.path}`;
    const fd = must(sys.openat(this.present.fd, name, DIRECTORY, 0), step);
    const result = makeOpaque(fd);
    sys.close(fd);
    must(result, step);
  }

  private push(fd: Fd, path: string): void {
    const stat = sys.fstat(fd);
    if (typeof stat === "number") throw callError(`look at ${path}`, stat);
    const { mtimeSec, mtimeNsec } = stat;
    this.stack.push({ fd, path, inherits: inherits(stat), mtimeSec, mtimeNsec, changed: false });
  }

  private leave(): void {
    const dir = this.stack.pop() as Dir;
    if (dir.changed) {
      const { mtimeSec, mtimeNsec } = dir;
      must(sys.utimensat(dir.fd, "", mtimeSec, mtimeNsec, mtimeSec, mtimeNsec, 0), `set the time of ${dir.path}`);
    }
    sys.close(dir.fd);
  }

  /** Goes into `./name`, or returns the target of the symlink that it is. */
  private enter(name: string): string | undefined {
    const { fd: parent, path } = this.present;
    const fd = sys.openat(parent, name, DIRECTORY, 0);
    const full = pathIn(path, name);
    if (fd >= 0) {
      this.push(fd, `${full}/`);
      return undefined;
    }
    if (fd === -c.ENOENT) return this.enterMissing(name, full);
    if (fd !== -c.ENOTDIR && fd !== -c.ELOOP) throw callError(`open directory ${full}`, fd);
    const stat = statIn(parent, name) as Stat;
    if ((stat.mode & c.S_IFMT) === c.S_IFLNK) return readLink(parent, name, full);
    if (!isWhiteout(stat)) throw callError(`open directory ${full}`, -c.ENOTDIR);
    must(sys.unlinkat(parent, name, 0), `remove ${full}`);
    this.make(name, full);
    must(makeOpaque(this.present.fd), `make ${full} opaque`);
    return undefined;
  }

  private enterMissing(name: string, full: string): string | undefined {
    if (this.lowers.length > 0 && removeFileMark(this.present.fd, name)) {
      this.make(name, full);
      must(makeOpaque(this.present.fd), `make ${full} opaque`);
      return undefined;
    }
    const found = this.below(name);
    if (!found) {
      this.make(name, full);
      return undefined;
    }
    const { dir, stat } = found;
    try {
      if ((stat.mode & c.S_IFMT) === c.S_IFLNK) return readLink(dir, name, full);
      this.make(name, full);
      if (isDirectory(stat)) this.copyDirectory(found, full);
      return undefined;
    } finally {
      sys.close(dir);
    }
  }

  /** Makes a directory that no entry describes, and goes into it. */
  private make(name: string, full: string): void {
    const { fd: parent, inherits } = this.present;
    must(sys.mkdirat(parent, name, 0o755), `make directory ${full}`);
    this.present.changed = true;
    const fd = must(sys.openat(parent, name, DIRECTORY, 0), `open directory ${full}`);
    if (inherits) {
      must(sys.fchownat(fd, "", 0, 0, c.AT_EMPTY_PATH), `change the owner of ${full}`);
      must(sys.fchmod(fd, 0o755), `change the mode of ${full}`);
    }
    this.push(fd, `${full}/`);
  }

  /** Gives the present directory what the lower one has. */
  private copyDirectory(found: Found, full: string): void {
    const { stat } = found;
    const from = must(sys.openat(found.dir, found.name, DIRECTORY, 0), `open directory ${full}`);
    const result = copyAttributes(from, this.present.fd, stat);
    sys.close(from);
    must(result, `copy the attributes of ${full}`);
    const dir = this.present;
    dir.inherits = inherits(stat);
    dir.mtimeSec = stat.mtimeSec;
    dir.mtimeNsec = stat.mtimeNsec;
    dir.changed = true;
  }
}

/** Path of `./name` in a directory. Never appends what may begin with a byte that begins no character (names.ts). */
export function pathIn(dir: string, name: string): string {
  return dir.substring(0, dir.length - 1) + name.substring(1);
}

function inherits(stat: Stat): boolean {
  return stat.gid !== 0 || (stat.mode & 0o2000) !== 0;
}

function readLink(dir: Fd, name: string, full: string): string {
  const target = sys.readlinkat(dir, name);
  if (typeof target === "number") throw callError(`read symlink ${full}`, target);
  // Duktape takes a string whose first byte begins no character for a symbol, which nothing can be appended to.
  if (typeof target !== "string") throw runtimeError("Unimplemented", `follow symlink ${full}: its target is no text`);
  return target;
}
