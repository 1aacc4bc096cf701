// What a running container has of the outside, as /proc tells it.
import * as c from "../lib/consts.ts";
import { callError, must } from "../lib/errors.ts";
import type { Namespace, Spec } from "../spec/types.ts";
import { type Mounted, parseMountinfo } from "./mounts.ts";

export const DESCRIPTORS = "descriptors.json";
/** The names that runc and crun give to namespaces of outside. */
export const NAMESPACE_KEYS: { readonly [type: string]: readonly [string, string] } = {
  network: ["net", "extRootNetNS"],
  pid: ["pid", "extRootPidNS"],
};

export function readMounts(pid: number): Mounted[] {
  const path = `/proc/${pid}/mountinfo`;
  const text = sys.readFile(path);
  if (typeof text === "number") throw callError(`read ${path}`, text);
  return parseMountinfo(text);
}

/** Where destinations of config.json are in the container, whose root may hold symlinks: path there → destination. */
export function resolveInContainer(pid: number, destinations: readonly string[]): { readonly [at: string]: string } {
  const found: { [at: string]: string } = {};
  const root = must(sys.open(`/proc/${pid}/root`, c.O_PATH | c.O_DIRECTORY, 0), "open the container's root");
  for (let i = 0; i < destinations.length; i++) {
    const destination = destinations[i] as string;
    const fd = sys.openat2(root, destination.substring(1), c.O_PATH, 0, c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS);
    // in another mount namespace a path is told from that namespace's root
    const path = fd < 0 ? fd : sys.readlinkat(c.AT_FDCWD, `/proc/self/fd/${fd}`);
    if (fd >= 0) sys.close(fd);
    found[typeof path === "string" ? path : destination] = destination;
  }
  sys.close(root);
  return found;
}

/**
 * How CRIU names what init's stdio is: pipes and sockets as the kernel does, files that are in none of the container's
 * mounts by mount and inode. These are given again at restore.
 */
export function describeStdio(pid: number, mounted: readonly Mounted[]): string[] {
  const names: string[] = [];
  for (let fd = 0; fd < 3; fd++) {
    const link = `/proc/${pid}/fd/${fd}`;
    const target = sys.readlinkat(c.AT_FDCWD, link);
    const info = sys.readFile(`/proc/${pid}/fdinfo/${fd}`);
    const stat = sys.fstatat(c.AT_FDCWD, link, 0);
    const mount = typeof info === "string" ? /^mnt_id:\s*(\d+)$/m.exec(info) : null;
    const regular = typeof stat !== "number" && (stat.mode & c.S_IFMT) === c.S_IFREG;
    if (mount && regular && !isMounted(mounted, Number(mount[1])))
      names.push(`file[${Number(mount[1]).toString(16)}:${stat.ino.toString(16)}]`);
    else names.push(typeof target === "string" ? target : "");
  }
  return names;
}

function isMounted(mounted: readonly Mounted[], id: number): boolean {
  for (let i = 0; i < mounted.length; i++) if ((mounted[i] as Mounted).id === id) return true;
  return false;
}

/** Namespaces that config.json joins by path, of the kinds that CRIU can leave as they are. */
export function joinedNamespaces(spec: Spec): readonly Namespace[] {
  const found: Namespace[] = [];
  const all = (spec.linux && spec.linux.namespaces) || [];
  for (let i = 0; i < all.length; i++) if ((all[i] as Namespace).path) found.push(all[i] as Namespace);
  return found;
}

/** CLONE_NEWNET for a network that is the container's own: who made its interfaces makes them again, in an empty one. */
export function ownNetwork(spec: Spec): number {
  const all = (spec.linux && spec.linux.namespaces) || [];
  for (let i = 0; i < all.length; i++) {
    const namespace = all[i] as Namespace;
    if (namespace.type === "network" && !namespace.path) return c.CLONE_NEWNET;
  }
  return 0;
}

/** CRIU's own settings, which win over what we ask for: runc's file, or the one an annotation names. */
export function configFile(annotations: { readonly [key: string]: string }): { readonly configFile?: string } {
  const path = annotations["org.criu.config"] || "/etc/criu/runc.conf";
  return sys.faccessat(c.AT_FDCWD, path, 0, 0) >= 0 ? { configFile: path } : {};
}
