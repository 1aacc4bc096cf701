import * as c from "../lib/consts.ts";
import { must } from "../lib/errors.ts";
import type { Step } from "../plan/steps.ts";

/**
 * The host's /sys in the place of one of its own, which the kernel gives only to the owner of the network namespace.
 * The cgroups of the host are hidden in it.
 */
export function bindSysfs(target: number, step: Extract<Step, { op: "mount" }>): boolean {
  const tree = sys.openTree(c.AT_FDCWD, "/sys", c.OPEN_TREE_CLONE | c.AT_RECURSIVE);
  if (tree < 0) return false;
  // MS_RDONLY to MS_NOEXEC and MOUNT_ATTR_* have the same values
  const set = (step.flags & 0xf) | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC;
  must(
    sys.mountSetattr(tree, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, set, 0, c.MS_PRIVATE, -1),
    "set the options of the host's /sys",
  );
  const flags = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH;
  must(sys.moveMount(tree, "", target, "", flags), `bind /sys at ${step.dest}`);
  const cgroup = sys.openat2(tree, "fs/cgroup", c.O_PATH | c.O_DIRECTORY, 0, c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS);
  if (cgroup >= 0) {
    must(sys.fchdir(cgroup), "enter /sys/fs/cgroup");
    must(
      sys.mount("tmpfs", ".", "tmpfs", c.MS_RDONLY | c.MS_NOSUID | c.MS_NODEV | c.MS_NOEXEC, "size=0k"),
      "hide the cgroups of the host",
    );
    sys.close(cgroup);
  }
  sys.close(tree);
  return true;
}
