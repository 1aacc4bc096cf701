import type { HostStep, MonitorConfig } from "@berth/protocol";

/** What the container needs on the host before create: its mounts in order, then its network namespace. */
export function setupSteps(config: MonitorConfig): HostStep[] {
  const steps: HostStep[] = [];
  for (let i = 0; i < config.mounts.length; i++) {
    const mount = config.mounts[i] as MonitorConfig["mounts"][number];
    const { type, source, target, options, idmap } = mount;
    steps.push({ op: "mount", type, source, target, options, idmap });
  }
  if (config.netnsPath !== "") steps.push({ op: "netns-add", path: config.netnsPath, userns: config.userns });
  return steps;
}

/** The first `count` of those steps undone, last first. After an exit the namespace stays for the exit command. */
export function undoSteps(config: MonitorConfig, count: number, keepNamespace: boolean): HostStep[] {
  const steps: HostStep[] = [];
  for (let i = count - 1; i >= 0; i--) {
    const mount = config.mounts[i];
    if (mount) steps.push({ op: "umount", target: mount.target });
    else if (!keepNamespace) {
      steps.push({ op: "netns-remove", path: config.netnsPath });
      if (config.userns) steps.push({ op: "netns-remove", path: config.userns.path });
    }
  }
  return steps;
}
