import * as c from "../lib/consts.ts";
import { callError, must, mustGet, runtimeError } from "../lib/errors.ts";
import { clean } from "../lib/files.ts";
import { planMounts } from "../plan/rootfs.ts";
import type { Step } from "../plan/steps.ts";
import type { SpecMount } from "../spec/types.ts";
import { getRecord, type Record, readSpec, statusOf } from "../state/store.ts";
import { openInRoot } from "./inroot.ts";
import { applySteps, newRootfsState, type RootfsState } from "./rootfs.ts";
import { openSources } from "./sources.ts";
import { nextWord, sendError } from "./sync.ts";

const UMOUNT_NOFOLLOW = 8;

/** Adds mounts to a running container; those before one that fails are taken away again. */
export function addMounts(id: string, mounts: readonly SpecMount[]): void {
  const record = runningRecord(id);
  const steps = planMounts(mounts, readSpec(id).linux || {}, record.bundle);
  const trees = openSources(steps, true);
  inContainer(record, trees, (state) => {
    const done: Step[] = [];
    try {
      for (let i = 0; i < steps.length; i++) {
        const step = steps[i] as Step;
        state.trees = [trees[i] as number];
        applySteps([step], state);
        done.push(step);
      }
    } catch (thrown) {
      for (let i = done.length - 1; i >= 0; i--) detach(state, (done[i] as { dest: string }).dest);
      throw thrown;
    }
  });
}

/** Takes the topmost mount at each destination away, lazily: who has a file of it open keeps it. */
export function removeMounts(id: string, mounts: readonly SpecMount[]): void {
  const record = runningRecord(id);
  inContainer(record, [], (state) => {
    for (let i = mounts.length - 1; i >= 0; i--) {
      const dest = clean((mounts[i] as SpecMount).destination);
      const result = detach(state, dest);
      if (result < 0)
        throw callError(`unmount ${dest}`, result, result === -c.EINVAL ? "nothing is mounted there" : undefined);
    }
  });
}

function runningRecord(id: string): Record {
  const record = getRecord(id);
  if (statusOf(record) === "stopped") throw runtimeError("FailedPrecondition", "container not running");
  return record;
}

function detach(state: RootfsState, dest: string): number {
  const slash = dest.lastIndexOf("/");
  const parent = openInRoot(state.root, slash <= 0 ? "/" : dest.substring(0, slash), c.O_DIRECTORY);
  if (parent < 0) return parent;
  // relative to a directory that was resolved in the root, and no symlink at its end
  const entered = sys.fchdir(parent);
  sys.close(parent);
  return entered < 0 ? entered : sys.umount2(dest.substring(slash + 1), c.MNT_DETACH | UMOUNT_NOFOLLOW);
}

/** Runs `action` in a process in the container's mount namespace; what it throws is thrown here. */
function inContainer(record: Record, trees: readonly number[], action: (state: RootfsState) => void): void {
  const pidfd = must(sys.pidfdOpen(record.pid, 0), "open the container's init");
  const [mine, theirs] = mustGet(sys.socketpair(5), "make a socket pair");
  must(sys.prctl(c.PR_SET_DUMPABLE, 0, 0, 0, 0), "become undumpable");
  const pid = sys.clone(0, -1);
  if (pid === 0) {
    try {
      const flags = record.userNamespace ? c.CLONE_NEWNS | c.CLONE_NEWUSER : c.CLONE_NEWNS;
      must(sys.setns(pidfd, flags), "join the container's mount namespace");
      const nothing = (): void => {};
      const state = newRootfsState(trees, { console: nothing, hooks: nothing, join: nothing });
      state.root = must(sys.open("/", c.O_PATH | c.O_DIRECTORY, 0), "open the container's root");
      action(state);
    } catch (thrown) {
      sendError(theirs, thrown);
    }
    sys.exit(0);
  }
  sys.close(theirs);
  sys.close(pidfd);
  if (pid < 0) throw callError("start a process for the mounts", pid);
  try {
    nextWord(mine);
  } finally {
    sys.close(mine);
    sys.waitpid(pid, 0, [0]);
  }
}
