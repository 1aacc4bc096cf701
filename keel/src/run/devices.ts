import * as c from "../lib/consts.ts";
import { must } from "../lib/errors.ts";
import type { Step } from "../plan/steps.ts";
import type { IdMapping } from "../spec/types.ts";
import type { IdMaps } from "./idmaps.ts";

/**
 * Makes the devices of the config for a container whose user namespace may make none: in a tmpfs that is mounted nowhere,
 * with the owners that the container's ids are on the host. Puts a detached mount of each into `trees`. A caller without
 * the right to leaves them to the nodes of the host.
 */
export function makeDevices(steps: readonly Step[], trees: number[], maps: IdMaps): void {
  let dir = -1;
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as Step;
    if (step.op !== "device" || !step.bind || !step.own) continue;
    const uid = hostId(step.uid, maps.uidMappings || []);
    const gid = hostId(step.gid, maps.gidMappings || []);
    if (uid < 0 || gid < 0) continue;
    if (dir < 0) dir = privateTmpfs();
    const name = String(i);
    const made = sys.mknodat(dir, name, step.mode, step.major, step.minor);
    if (made === -c.EPERM) break;
    must(made, `make device ${step.path}`);
    must(sys.fchownat(dir, name, uid, gid, c.AT_SYMLINK_NOFOLLOW), `chown device ${step.path}`);
    must(sys.fchmodat(dir, name, step.mode & 0o7777), `chmod device ${step.path}`);
    trees[i] = must(sys.openTree(dir, name, c.OPEN_TREE_CLONE), `take device ${step.path}`);
  }
  if (dir >= 0) sys.close(dir);
}

function hostId(id: number, mappings: readonly IdMapping[]): number {
  for (let i = 0; i < mappings.length; i++) {
    const { containerID, hostID, size } = mappings[i] as IdMapping;
    if (id >= containerID && id < containerID + size) return hostID + id - containerID;
  }
  return -1;
}

function privateTmpfs(): number {
  const context = must(sys.fsopen("tmpfs", 1), "open a file system for devices");
  must(sys.fsconfig(context, 1, "size", "1M"), "limit the file system of devices");
  must(sys.fsconfig(context, 6, "", ""), "make a file system for devices");
  const dir = must(
    sys.fsmount(context, 1, c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC),
    "mount a file system for devices",
  );
  sys.close(context);
  return dir;
}
