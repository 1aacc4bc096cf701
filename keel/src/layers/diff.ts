import * as c from "../lib/consts.ts";
import { callError, must } from "../lib/errors.ts";
import { closeAll, enterAll, isDirectory, statIn } from "../unpack/lower.ts";
import { hiddenBy, isHiddenByFile, isMark, isOpaque, isWhiteout } from "../unpack/marks.ts";

const DIRECTORY: number = c.O_RDONLY | c.O_DIRECTORY | c.O_NOFOLLOW;
const BUFFER = 32768;

/**
 * Tells what the layer `top` changes of what is below it, on stdout, each item with a NUL at its end: `A./name`, `C./name`
 * and `D./name` for files; `+./name` begins a directory and `-A`, `-C` or `-` (nothing changed) ends it.
 */
export class Differ {
  private text = "";

  /** @param below the layers under it, top first; all are closed */
  run(top: Fd, below: readonly Fd[]): void {
    this.directory(top, below);
    this.flush();
  }

  /** Returns whether anything in there differs. */
  private directory(top: Fd, below: readonly Fd[]): boolean {
    const names = sys.readdir(top, "./");
    if (typeof names === "number") throw callError("list a layer", names);
    let changed = false;
    const seen: { [name: string]: boolean } = {};
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      seen[name] = true;
      if (this.entry(top, name, below)) changed = true;
    }
    if (isOpaque(top) && this.hidden(seen, below)) changed = true;
    sys.close(top);
    closeAll(below);
    return changed;
  }

  private entry(top: Fd, name: string, below: readonly Fd[]): boolean {
    if (isMark(name)) {
      const hidden = hiddenBy(name);
      return statBelow(below, hidden) !== undefined && this.tell(`D${hidden}`);
    }
    const stat = statIn(top, name);
    if (!stat) return false;
    const old = statBelow(below, name);
    if (isWhiteout(stat)) return old !== undefined && this.tell(`D${name}`);
    if (!isDirectory(stat)) return this.tell(`${old ? "C" : "A"}${name}`);
    this.tell(`+${name}`);
    const dir = must(sys.openat(top, name, DIRECTORY, 0), "open a directory of the layer");
    const inside = this.directory(dir, old && isDirectory(old) ? enterAll(below, name) : []);
    if (!old) return this.tell("-A");
    const same = !inside && isSame(old, stat);
    this.tell(same ? "-" : "-C");
    return !same;
  }

  /** What an opaque directory takes away without naming it. */
  private hidden(seen: { [name: string]: boolean }, below: readonly Fd[]): boolean {
    let any = false;
    for (let i = 0; i < below.length; i++) {
      const names = sys.readdir(below[i] as Fd, "./");
      if (typeof names === "number") throw callError("list a lower layer", names);
      for (let j = 0; j < names.length; j++) {
        const name = names[j] as string;
        if (isMark(name) || seen[name]) continue;
        seen[name] = true;
        if (statBelow(below, name)) any = this.tell(`D${name}`);
      }
    }
    return any;
  }

  private tell(item: string): true {
    this.text += `${item}\0`;
    if (this.text.length > BUFFER) this.flush();
    return true;
  }

  private flush(): void {
    must(sys.writeAll(1, this.text), "write the changes");
    this.text = "";
  }
}

/** The entry of the merged directory. */
function statBelow(below: readonly Fd[], name: string): Stat | undefined {
  for (let i = 0; i < below.length; i++) {
    const stat = statIn(below[i] as Fd, name);
    if (stat) return isWhiteout(stat) ? undefined : stat;
    if (isHiddenByFile(below[i] as Fd, name)) return undefined;
  }
  return undefined;
}

/** Two directories; their times tell that something in them changed, which is found anyway, or that they were touched. */
function isSame(a: Stat, b: Stat): boolean {
  return (
    a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.mtimeSec === b.mtimeSec && a.mtimeNsec === b.mtimeNsec
  );
}
