import { type Hierarchy, hierarchyName } from "../cgroup/layout.ts";
import type { CgroupDir } from "../cgroup/plan.ts";
import * as c from "../lib/consts.ts";
import type { RootfsFacts } from "./rootfs.ts";
import type { Step } from "./steps.ts";

/**
 * A mount of type cgroup: cgroup2 on unified hosts; elsewhere a tmpfs with one entry per hierarchy, each a mount of
 * the hierarchy itself inside a cgroup namespace, else a bind of the container's own cgroup.
 */
export function planCgroupMount(
  dest: string,
  flags: number,
  propagation: readonly number[],
  facts: RootfsFacts,
  steps: Step[],
): void {
  if (facts.cgroup.unified) {
    steps.push(planUnified(dest, flags, propagation, facts));
    return;
  }
  steps.push({
    op: "mount",
    fstype: "tmpfs",
    source: "tmpfs",
    dest,
    flags: flags & ~c.MS_RDONLY,
    data: "mode=755",
    propagation,
    strict: true,
  });
  const hierarchies = facts.cgroup.v1;
  for (let i = 0; i < hierarchies.length; i++) {
    const hierarchy = hierarchies[i] as Hierarchy;
    const name = hierarchyName(hierarchy.controllers);
    const target = `${dest}/${name}`;
    if (facts.cgroupNamespace) {
      const data = hierarchy.controllers === name ? name : `none,${hierarchy.controllers}`;
      steps.push({
        op: "mount",
        fstype: "cgroup",
        source: "cgroup",
        dest: target,
        flags,
        data,
        propagation: [],
        strict: true,
      });
    } else {
      const own = facts.cgroupDirs[i];
      steps.push(bindOwn(own, hierarchy.mountpoint + hierarchy.own, target, flags, []));
    }
    if (name.indexOf(",") < 0) continue;
    const parts = name.split(",");
    for (let k = 0; k < parts.length; k++) steps.push({ op: "symlink", target: name, path: `${dest}/${parts[k]}` });
  }
  if (flags & c.MS_RDONLY) steps.push({ op: "remountReadonly", path: dest });
}

function planUnified(dest: string, flags: number, propagation: readonly number[], facts: RootfsFacts): Step {
  if (facts.cgroupNamespace)
    return { op: "mount", fstype: "cgroup2", source: "cgroup", dest, flags, data: "", propagation, strict: true };
  const own = facts.cgroupDirs[0];
  return bindOwn(own, facts.cgroup.v2Mount + facts.cgroup.v2Own, dest, flags, propagation);
}

/** The container's own cgroup; the caller's, which it stayed in and may only look at, when it has none. */
function bindOwn(
  own: CgroupDir | undefined,
  callers: string,
  dest: string,
  flags: number,
  propagation: readonly number[],
): Step {
  // MS_RDONLY, NOSUID, NODEV and NOEXEC have the same bits as their MOUNT_ATTR_ twins
  const set = (own ? flags : flags | c.MS_RDONLY) & 15;
  const source = own ? own.path : callers;
  return { op: "bind", source, dest, recursive: true, set, clear: 0, recSet: 0, recClear: 0, propagation };
}
