import type { DeviceNode, HostFacts } from "@berth/linux";
import type { ImageConfig } from "@berth/oci";
import type { IdRange } from "@berth/protocol";
import type { ContainerMount, ContainerSpec } from "./types.ts";

/** A user as the kernel knows it. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** The primary group first (CVE-2022-36109), then the others. */
  readonly additionalGids: readonly number[];
  /** From passwd; empty if it has no entry. */
  readonly home: string;
}

/** A device of the host under its path in the container. */
export interface ResolvedDevice extends DeviceNode {
  /** Of `r`, `w` and `m`. */
  readonly access: string;
}

/** Host paths of the files that are bound over the image's; undefined: the image's own stays. */
export interface BoundFiles {
  readonly hosts?: string | undefined;
  readonly resolvConf?: string | undefined;
  readonly hostname?: string | undefined;
}

export interface SpecInput {
  readonly id: string;
  /** Checked by `checkSpec`. */
  readonly spec: ContainerSpec;
  readonly image: ImageConfig;
  readonly host: HostFacts;
  readonly user: ResolvedUser;
  /** Absolute path of the mounted root file system. */
  readonly rootfs: string;
  /** One for each of `planMounts`, by `planContainerMount`, in any order. */
  readonly mounts: readonly ContainerMount[];
  /** One or more for each of `spec.devices`; for privileged containers all of the host's. */
  readonly devices: readonly ResolvedDevice[];
  readonly files: BoundFiles;
  /** From `planHostname`. */
  readonly hostname: string;
  /** Pinned network namespace; undefined: a new one, or the host's if `spec.network` says so. */
  readonly netnsPath: string | undefined;
  /** User namespace that owns the network namespace; undefined: a new one, if `spec.userns` says so. */
  readonly usernsPath?: string | undefined;
  /** Below each hierarchy, for example `/berth/<id>`. */
  readonly cgroupsPath: string;
  /** Host path of keel's binary, bound into containers with `init`. */
  readonly keelPath: string;
}

/** runtime-spec config.json, as Berth writes it; bigint where a number may exceed 2^53. */
export interface RuntimeSpec {
  readonly ociVersion: string;
  readonly process: RuntimeProcess;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname: string;
  readonly mounts: readonly RuntimeMount[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: RuntimeLinux;
}

export interface RuntimeProcess {
  readonly terminal: boolean;
  readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids: readonly number[] };
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: CapabilitySets;
  readonly rlimits?: readonly { readonly type: string; readonly soft: bigint; readonly hard: bigint }[];
  readonly noNewPrivileges: boolean;
  readonly apparmorProfile?: string;
  readonly oomScoreAdj?: number;
}

export interface CapabilitySets {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly permitted: readonly string[];
  readonly inheritable: readonly string[];
  readonly ambient: readonly string[];
}

export interface RuntimeMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface RuntimeDevice {
  readonly path: string;
  readonly type: string;
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface RuntimeDeviceRule {
  readonly allow: boolean;
  readonly type?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly access: string;
}

export interface RuntimeResources {
  readonly devices: readonly RuntimeDeviceRule[];
  readonly memory?: { readonly limit?: number; readonly swap?: number; readonly reservation?: number };
  readonly cpu?: {
    readonly shares?: number;
    readonly quota?: number;
    readonly period?: number;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly pids?: { readonly limit: number };
}

export interface RuntimeSeccompArg {
  readonly index: number;
  readonly value: number | bigint;
  readonly valueTwo?: number | bigint;
  readonly op: string;
}

export interface RuntimeSeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly RuntimeSeccompArg[];
}

export interface RuntimeSeccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  readonly syscalls: readonly RuntimeSeccompRule[];
}

export interface RuntimeLinux {
  readonly namespaces: readonly { readonly type: string; readonly path?: string }[];
  readonly uidMappings?: readonly IdRange[];
  readonly gidMappings?: readonly IdRange[];
  readonly devices?: readonly RuntimeDevice[];
  readonly cgroupsPath: string;
  readonly resources: RuntimeResources;
  readonly rootfsPropagation?: string;
  readonly seccomp?: RuntimeSeccomp;
  readonly sysctl: Readonly<Record<string, string>>;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
}
