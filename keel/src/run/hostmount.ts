import * as c from "../lib/consts.ts";

/** The root of a container without a mount namespace: it is mounted on the host, and stays there after the container's end. */
export interface HostMount {
  readonly path: string;
  /** Id of the mount that was at the path before, so that never another one than ours is taken away. */
  readonly below: string;
}

/** Before the root is mounted. */
export function planHostMount(path: string): HostMount {
  return { path, below: mountId(path) };
}

export function removeHostMount(mount: HostMount): void {
  const now = mountId(mount.path);
  if (now !== "" && now !== mount.below) sys.umount2(mount.path, c.MNT_DETACH);
}

/** Id of the topmost mount that holds the path, "" when it cannot be told. */
function mountId(path: string): string {
  const fd = sys.open(path, c.O_PATH, 0);
  if (fd < 0) return "";
  const text = sys.readFile(`/proc/self/fdinfo/${fd}`);
  sys.close(fd);
  const match = typeof text === "string" ? /^mnt_id:\s*(\d+)/m.exec(text) : null;
  return match ? (match[1] as string) : "";
}
