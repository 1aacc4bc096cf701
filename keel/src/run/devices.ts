import * as c from "../lib/consts.ts";
import { must } from "../lib/errors.ts";
import type { Step } from "../plan/steps.ts";
import type { IdMapping } from "../spec/types.ts";
import type { IdMaps } from "./idmaps.ts";

/**
 * Makes the devices of the config for a container whose user namespace may make none, with the owners that the container's
 * ids are on the host, and puts a detached mount of each into `trees`. A caller without the right to make any leaves the
 * container to the nodes of the host.
 *
 * @param dir the container's own, which goes with it and which nobody but the owner enters
 */
export function makeDevices(steps: readonly Step[], trees: number[], maps: IdMaps, dir: string): void {
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as Step;
    if (step.op !== "device" || !step.bind || !step.own) continue;
    const uid = hostId(step.uid, maps.uidMappings || []);
    const gid = hostId(step.gid, maps.gidMappings || []);
    if (uid < 0 || gid < 0) continue;
    const path = `${dir}/device-${i}`;
    const made = sys.mknodat(c.AT_FDCWD, path, step.mode, step.major, step.minor);
    if (made === -c.EPERM) return;
    must(made, `make device ${step.path}`);
    trees[i] = takeDevice(path, uid, gid, step.mode & 0o7777);
  }
}

function takeDevice(path: string, uid: number, gid: number, mode: number): number {
  must(sys.fchownat(c.AT_FDCWD, path, uid, gid, c.AT_SYMLINK_NOFOLLOW), `chown ${path}`);
  must(sys.fchmodat(c.AT_FDCWD, path, mode), `chmod ${path}`);
  const tree = must(sys.openTree(c.AT_FDCWD, path, c.OPEN_TREE_CLONE), `take ${path}`);
  // the state lies where most hosts allow no devices
  const safe = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC;
  const flags = c.AT_EMPTY_PATH;
  must(sys.mountSetattr(tree, "", flags, safe, c.MOUNT_ATTR_NODEV, c.MS_PRIVATE, -1), `set the options of ${path}`);
  return tree;
}

function hostId(id: number, mappings: readonly IdMapping[]): number {
  for (let i = 0; i < mappings.length; i++) {
    const { containerID, hostID, size } = mappings[i] as IdMapping;
    if (id >= containerID && id < containerID + size) return hostID + id - containerID;
  }
  return -1;
}
