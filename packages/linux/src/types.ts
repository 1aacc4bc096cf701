export interface CgroupFacts {
  /** `hybrid`: controllers on version 1, with an empty version 2 tree beside them. */
  readonly version: "1" | "2" | "hybrid";
  /** Controllers that a container can use, for example `cpu`, `memory`, `pids`, `cpuset`. */
  readonly controllers: readonly string[];
  /** Swap can be limited. */
  readonly swap: boolean;
}

/** Soft and hard limit; `Infinity`: unlimited. */
export interface RlimitFacts {
  readonly soft: number;
  readonly hard: number;
}

/** What planners need to know of this host and of this process; plain data. */
export interface HostFacts {
  /** As `uname -r`. */
  readonly kernelRelease: string;
  /** Go's name of the processor: `amd64`, `arm64`. */
  readonly arch: string;
  /** Processors. */
  readonly cpus: number;
  readonly cgroup: CgroupFacts;
  readonly apparmor: boolean;
  readonly selinux: boolean;
  readonly seccomp: boolean;
  /** Bounding set of this process, which no container can exceed: `CAP_CHOWN`, …, in the kernel's order. */
  readonly capabilities: readonly string[];
  /** Of this process; raising a hard limit needs CAP_SYS_RESOURCE. */
  readonly rlimits: { readonly nofile: RlimitFacts; readonly nproc: RlimitFacts };
  /** Effective user id of this process. */
  readonly uid: number;
  /** Group ids of this process's user namespace: 0 to this less one. */
  readonly groups: number;
}

/** What `berth info` shows of the host. */
export interface SystemInfo {
  /** Distribution's own name with version. */
  readonly operatingSystem: string;
  readonly kernelRelease: string;
  /** As `uname -m`. */
  readonly machine: string;
  readonly hostname: string;
  readonly cpus: number;
  readonly memoryBytes: number;
}

/** A device file of the host. */
export interface DeviceNode {
  readonly path: string;
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}
