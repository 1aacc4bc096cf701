import type { HostStep, MonitorConfig } from "@berth/protocol";

/** What the container needs on the host before create: its mounts in order, then its network namespace. */
export function setupSteps(config: MonitorConfig): HostStep[] {
  const steps: HostStep[] = [];
  for (let i = 0; i < config.mounts.length; i++) {
    const mount = config.mounts[i] as MonitorConfig["mounts"][number];
    steps.push({ op: "mount", type: mount.type, source: mount.source, target: mount.target, options: mount.options });
  }
  if (config.netnsPath !== "") steps.push({ op: "netns-add", path: config.netnsPath });
  return steps;
}

/** The first `count` of those steps undone, last first. After an exit the namespace stays for the exit command. */
export function undoSteps(config: MonitorConfig, count: number, keepNamespace: boolean): HostStep[] {
  const steps: HostStep[] = [];
  for (let i = count - 1; i >= 0; i--) {
    const mount = config.mounts[i];
    if (mount) steps.push({ op: "umount", target: mount.target });
    else if (!keepNamespace) steps.push({ op: "netns-remove", path: config.netnsPath });
  }
  return steps;
}
