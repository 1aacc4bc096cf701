import * as c from "../lib/consts.ts";
import { callError, must, mustGet } from "../lib/errors.ts";
import type { IdMap, Step } from "../plan/steps.ts";
import { writeIdMaps } from "./idmaps.ts";
import { openSource } from "./source.ts";

/**
 * Detached copies of what the steps mount from the host, made by the parent: `all` for a child in a user namespace,
 * which may not reach the paths itself (facts e.5), else only of the idmapped ones, which need the host's rights. Holes
 * and -1 where the child has to try, which names the error too.
 */
export function openSources(steps: readonly Step[], all: boolean): number[] {
  const trees: number[] = [];
  const namespaces: { [mappings: string]: number } = {};
  let propagation = c.MS_PRIVATE;
  let root = "";
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as Step;
    // a copy of a shared mount is its peer: what the container mounts there would show on the host
    if (step.op === "propagation" && i === 0) propagation = step.flags & ~c.MS_REC;
    if (step.op === "root") root = step.path;
    const idmap = step.op === "bind" ? step.idmap : undefined;
    if (!all && !idmap) continue;
    trees[i] = openStep(step, root);
    const tree = trees[i] as number;
    if (tree < 0) continue;
    must(
      sys.mountSetattr(tree, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, 0, 0, propagation, -1),
      "make the copy of a mount private",
    );
    if (idmap && step.op === "bind") mapOwners(tree, idmap, step.source, namespaces);
  }
  for (const mappings in namespaces) sys.close(namespaces[mappings] as number);
  return trees;
}

/** What earlier steps mount below the root is seen only where they mount it: by the child. */
function openStep(step: Step, root: string): number {
  if (step.op === "root") return openSource(step.path, true);
  if (step.op !== "bind" || (root !== "" && step.source.indexOf(`${root}/`) === 0)) return -1;
  // not mounted, or not always
  if (step.links && step.links.copy) return -1;
  return openSource(step.source, step.recursive, step.links);
}

function mapOwners(tree: number, idmap: IdMap, source: string, namespaces: { [mappings: string]: number }): void {
  const key = JSON.stringify([idmap.namespace, idmap.uid, idmap.gid]);
  if (namespaces[key] === undefined) namespaces[key] = mappedNamespace(idmap);
  const flags = c.AT_EMPTY_PATH | (idmap.recursive ? c.AT_RECURSIVE : 0);
  const result = sys.mountSetattr(tree, "", flags, c.MOUNT_ATTR_IDMAP, 0, 0, namespaces[key] as number);
  if (result < 0)
    throw callError(
      `idmap the mount of ${source}`,
      result,
      result === -c.EINVAL ? "its file system, or one below it, cannot be idmapped by this kernel" : undefined,
    );
}

/** The one that the container joins, else one that is there for its mappings only. */
export function mappedNamespace(idmap: IdMap): number {
  if (idmap.namespace) return must(sys.open(idmap.namespace, c.O_RDONLY, 0), `open ${idmap.namespace}`);
  const [mine, theirs] = mustGet(sys.socketpair(1), "make a socket pair");
  const pid = sys.clone(c.CLONE_NEWUSER, -1);
  if (pid === 0) {
    sys.close(mine);
    // until its other end is closed, by us or by our end
    sys.read(theirs, 1);
    sys.exit(0);
  }
  sys.close(theirs);
  if (pid < 0) throw callError("make a user namespace for an idmapped mount", pid);
  try {
    writeIdMaps(pid, { uidMappings: idmap.uid, gidMappings: idmap.gid });
    return must(sys.open(`/proc/${pid}/ns/user`, c.O_RDONLY, 0), "open the user namespace of an idmapped mount");
  } finally {
    sys.close(mine);
    sys.waitpid(pid, 0, [0]);
  }
}
