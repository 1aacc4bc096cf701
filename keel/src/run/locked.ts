import * as c from "../lib/consts.ts";
import { context } from "../lib/context.ts";
import { callError, must } from "../lib/errors.ts";
import { ATTR_ATIME } from "../lib/mountopts.ts";
import type { Step } from "../plan/steps.ts";

/** statfs(2): f_flags in struct statfs of the 64-bit machines, and its ST_* of access times. */
const STATFS_SIZE = 120;
const FLAGS_AT = 80;
const ST_NOATIME = 0x400;
const ST_NODIRATIME = 0x800;
const ST_RELATIME = 0x1000;

/**
 * The kernel locks the options of a mount for whoever sees it from another user namespace. The copies that we make of the
 * sources for such a container are not locked yet: what it could not take away itself is not taken away for it, as runc.
 *
 * @param trees the detached sources of `steps`, by index
 */
export function refuseUnlocking(steps: readonly Step[], trees: readonly number[]): void {
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i] as Step;
    const tree = trees[i];
    if (step.op !== "bind" || tree === undefined || tree < 0 || (step.set | step.clear | step.recClear) === 0) continue;
    const found = optionsOf(tree, step.source);
    const taken = found & (step.clear | step.recClear) & LOCKED;
    const times = step.clear & ATTR_ATIME ? (step.set ^ found) & ATTR_ATIME : 0;
    const more = step.set & ~found & c.MOUNT_ATTR_NODIRATIME;
    if ((taken | times | more) === 0) continue;
    const name = (sys.argv[0] as string).replace(/^.*\//, "");
    throw callError(
      `${name} ${context().command} failed: unable to start container process: error during container init: ` +
        `error mounting "${step.source}" to rootfs at "${step.dest}": change options that its mount has`,
      -c.EPERM,
      "the options of a mount are locked in a user namespace: ask for those it has, or mount it anew on the host",
    );
  }
}

const LOCKED: number = c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC;

/** MOUNT_ATTR_* of a mount; ST_RDONLY to ST_NOEXEC have the same values. */
function optionsOf(tree: number, source: string): number {
  const statfs = new Uint8Array(STATFS_SIZE);
  must(sys.syscall(sys.syscallNumber("fstatfs"), tree, statfs) as number, `read the mount options of ${source}`);
  const flags = (statfs[FLAGS_AT] as number) | ((statfs[FLAGS_AT + 1] as number) << 8);
  const times = flags & ST_NOATIME ? c.MOUNT_ATTR_NOATIME : flags & ST_RELATIME ? 0 : c.MOUNT_ATTR_STRICTATIME;
  return (flags & LOCKED) | times | (flags & ST_NODIRATIME ? c.MOUNT_ATTR_NODIRATIME : 0);
}
