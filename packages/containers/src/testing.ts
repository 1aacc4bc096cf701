import { CAPABILITIES, type HostFacts } from "@berth/linux";
import type { ImageConfig } from "@berth/oci";
import type { ContainerSpec } from "./types.ts";

/** A host with cgroup v2 on which everything is possible. */
export const HOST: HostFacts = {
  kernelRelease: "6.1.0-18-amd64",
  arch: "amd64",
  cpus: 2,
  cgroup: { version: "2", controllers: ["cpu", "cpuset", "memory", "pids"], swap: true },
  apparmor: false,
  selinux: false,
  seccomp: true,
  capabilities: CAPABILITIES,
  rlimits: { nofile: { soft: 1024, hard: 4096 }, nproc: { soft: Infinity, hard: Infinity } },
  uid: 0,
  groups: 4_294_967_295,
};
export const ID: string = "0123456789abcdef".repeat(4);

/** A specification with docker's defaults. */
export function specOf(more: Partial<ContainerSpec> = {}): ContainerSpec {
  return {
    image: "box",
    command: ["sh"],
    env: [],
    groupAdd: [],
    terminal: false,
    stdin: false,
    stdinOnce: false,
    labels: {},
    mounts: [],
    network: "bridge",
    ports: [],
    dns: [],
    addHosts: [],
    resources: {},
    ulimits: [],
    sysctls: {},
    devices: [],
    capAdd: [],
    capDrop: [],
    security: { noNewPrivileges: false, seccomp: "default", systemPathsUnconfined: false },
    privileged: false,
    readOnly: false,
    init: false,
    autoRemove: false,
    ...more,
  };
}

/** An image with this configuration and no layers. */
export const imageOf = (config: ImageConfig["config"] = {}): ImageConfig => ({
  architecture: "amd64",
  os: "linux",
  config,
  rootfs: { type: "layers", diff_ids: [] },
});
