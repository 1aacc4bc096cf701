import { existsSync } from "node:fs";
import { listContainers } from "@berth/containers";
import { readHostFacts, readSystemInfo } from "@berth/linux";
import type { Context } from "./context.ts";
import { settleAll } from "./settle.ts";
import type { EngineInfo } from "./types.ts";
import { VERSION } from "./version.ts";
import { viewOf } from "./view.ts";

/** Where distributions and the CNI project put plugins; the first that has the bridge plugin is used. */
const PLUGIN_DIRS = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];

export async function info(ctx: Context): Promise<EngineInfo> {
  await settleAll(ctx);
  const host = readHostFacts();
  const system = readSystemInfo();
  const running = listContainers(ctx.state.db).filter((row) => viewOf(ctx, row).status === "running").length;
  const total = listContainers(ctx.state.db).length;
  const storage = await ctx.snapshots.choice();
  const plugins = PLUGIN_DIRS.find((dir) => existsSync(`${dir}/bridge`)) ?? "";
  return {
    version: VERSION,
    containers: { total, running, stopped: total - running },
    images: ctx.images.list().length,
    root: ctx.config.root,
    runRoot: ctx.config.runRoot,
    storage: { driver: storage.driver, reason: storage.reason, idmap: storage.idmap },
    runtime: ctx.config.keelPath,
    cgroupVersion: host.cgroup.version,
    cgroupDriver: "cgroupfs",
    securityOptions: [
      ...(host.seccomp ? ["seccomp, profile: default"] : []),
      ...(host.apparmor ? ["apparmor"] : []),
      ...(host.selinux ? ["selinux"] : []),
      "no-new-privileges: on request",
    ],
    kernel: system.kernelRelease,
    operatingSystem: system.operatingSystem,
    architecture: system.machine,
    cpus: system.cpus,
    memoryBytes: system.memoryBytes,
    hostname: system.hostname,
    cniPlugins: plugins,
    warnings: warningsOf(host, plugins),
  };
}

function warningsOf(host: ReturnType<typeof readHostFacts>, plugins: string): readonly string[] {
  const missing = ["memory", "cpu", "pids"].filter((controller) => !host.cgroup.controllers.includes(controller));
  return [
    ...missing.map((controller) => `no cgroup controller ${controller}: its limits cannot be set`),
    ...(host.cgroup.swap ? [] : ["the kernel does not account swap: --memory-swap has no effect"]),
    ...(host.seccomp ? [] : ["the kernel has no seccomp: system calls are not filtered"]),
    ...(plugins === "" ? ["no CNI plugins: --network bridge fails (package containernetworking-plugins)"] : []),
    ...(host.capabilities.includes("CAP_SYS_RESOURCE")
      ? []
      : ["this process lacks CAP_SYS_RESOURCE: --ulimit cannot raise hard limits"]),
  ];
}
