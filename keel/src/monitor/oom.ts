/** Where the kernel counts out-of-memory kills of a cgroup. */
export interface OomCounter {
  /** "memory" hierarchy of version 1, else version 2. */
  readonly v1: boolean;
  /** Path of the cgroup as /proc/PID/cgroup gives it. */
  readonly path: string;
}

/** Picks the memory cgroup from the text of /proc/PID/cgroup (cgroups(7)). */
export function parseCgroup(text: string): OomCounter | undefined {
  const lines = text.split("\n");
  let unified: OomCounter | undefined;
  for (let i = 0; i < lines.length; i++) {
    const match = /^\d+:([^:]*):(\/.*)$/.exec(lines[i] as string);
    if (!match) continue;
    if (`,${match[1]},`.indexOf(",memory,") >= 0) return { v1: true, path: match[2] as string };
    if (match[1] === "") unified = { v1: false, path: match[2] as string };
  }
  return unified;
}

/** Where the counter's file is on every distribution that mounts at the usual place. */
export function usualFile(counter: OomCounter): string {
  return counter.v1
    ? `/sys/fs/cgroup/memory${counter.path}/memory.oom_control`
    : `/sys/fs/cgroup${counter.path}/memory.events`;
}

/** Where it is by the text of /proc/self/mountinfo: `id parent dev root mountpoint … - type source options`. */
export function mountedFile(counter: OomCounter, mountinfo: string): string | undefined {
  const lines = mountinfo.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string;
    const dash = line.indexOf(counter.v1 ? " - cgroup " : " - cgroup2 ");
    if (dash < 0) continue;
    if (counter.v1 && `,${line.substring(line.lastIndexOf(" ") + 1)},`.indexOf(",memory,") < 0) continue;
    const fields = line.split(" ");
    const root = unescapeOctal(fields[3] as string);
    const inside = root === "/" ? counter.path : below(counter.path, root);
    if (inside === undefined) continue;
    return `${unescapeOctal(fields[4] as string)}${inside}/${counter.v1 ? "memory.oom_control" : "memory.events"}`;
  }
  return undefined;
}

function below(path: string, root: string): string | undefined {
  if (path === root) return "";
  return path.substring(0, root.length + 1) === `${root}/` ? path.substring(root.length) : undefined;
}

function unescapeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** Both files have a line `oom_kill N` (version 1 since Linux 4.13). */
export function countsKill(text: string): boolean {
  return /^oom_kill [1-9]/m.test(text);
}
