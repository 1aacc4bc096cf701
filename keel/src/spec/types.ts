/** runtime-spec 1.3 config.json as keel reads it. Integers that may exceed 2^53 arrive as decimal strings. */
export type Int = number | string;

export interface Hook {
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  readonly timeout?: number;
}

export type HookKind = "prestart" | "createRuntime" | "createContainer" | "startContainer" | "poststart" | "poststop";

export interface IdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export interface SpecMount {
  readonly destination: string;
  readonly type?: string;
  readonly source?: string;
  readonly options?: readonly string[];
  readonly uidMappings?: readonly IdMapping[];
  readonly gidMappings?: readonly IdMapping[];
}

export interface Rlimit {
  readonly type: string;
  readonly soft: Int;
  readonly hard: Int;
}

export type CapabilitySet = "bounding" | "effective" | "permitted" | "inheritable" | "ambient";

/** sched_setattr(2); times in nanoseconds. */
export interface Scheduler {
  readonly policy: string;
  readonly nice?: number;
  readonly priority?: number;
  readonly flags?: readonly string[];
  readonly runtime?: Int;
  readonly deadline?: Int;
  readonly period?: Int;
}

export interface Process {
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly user?: {
    readonly uid: number;
    readonly gid: number;
    readonly umask?: number;
    readonly additionalGids?: readonly number[];
  };
  readonly args: readonly string[];
  readonly env?: readonly string[];
  readonly cwd: string;
  readonly capabilities?: { readonly [set in CapabilitySet]?: readonly string[] };
  readonly rlimits?: readonly Rlimit[];
  readonly noNewPrivileges?: boolean;
  readonly apparmorProfile?: string;
  readonly selinuxLabel?: string;
  readonly oomScoreAdj?: number;
  readonly scheduler?: Scheduler;
  readonly ioPriority?: { readonly class: string; readonly priority?: number };
  /** CPU lists for exec: before and after it joins the container's cgroup. */
  readonly execCPUAffinity?: { readonly initial?: string; readonly final?: string };
}

export type NamespaceType = "pid" | "network" | "mount" | "ipc" | "uts" | "user" | "cgroup" | "time";

export interface Namespace {
  readonly type: NamespaceType;
  readonly path?: string;
}

export interface Device {
  readonly path: string;
  readonly type: string;
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface DeviceRule {
  readonly allow: boolean;
  readonly type?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly access?: string;
}

export interface Throttle {
  readonly major: number;
  readonly minor: number;
  /** Bytes or operations a second. */
  readonly rate: Int;
}

export interface BlockIO {
  readonly weight?: number;
  readonly leafWeight?: number;
  readonly weightDevice?: readonly {
    readonly major: number;
    readonly minor: number;
    readonly weight?: number;
    readonly leafWeight?: number;
  }[];
  readonly throttleReadBpsDevice?: readonly Throttle[];
  readonly throttleWriteBpsDevice?: readonly Throttle[];
  readonly throttleReadIOPSDevice?: readonly Throttle[];
  readonly throttleWriteIOPSDevice?: readonly Throttle[];
}

export interface Resources {
  readonly devices?: readonly DeviceRule[];
  readonly memory?: {
    readonly limit?: Int;
    readonly reservation?: Int;
    readonly swap?: Int;
    readonly swappiness?: number;
    readonly disableOOMKiller?: boolean;
    readonly checkBeforeUpdate?: boolean;
    readonly kernelTCP?: Int;
  };
  readonly cpu?: {
    readonly shares?: Int;
    readonly quota?: Int;
    readonly period?: Int;
    readonly burst?: Int;
    readonly idle?: number;
    readonly realtimeRuntime?: Int;
    readonly realtimePeriod?: Int;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly pids?: { readonly limit?: Int };
  readonly blockIO?: BlockIO;
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: Int }[];
  /** cgroup v1 alone has it. */
  readonly network?: {
    readonly classID?: number;
    readonly priorities?: readonly { readonly name: string; readonly priority: number }[];
  };
  readonly rdma?: { readonly [device: string]: { readonly hcaHandles?: number; readonly hcaObjects?: number } };
  readonly unified?: { readonly [file: string]: string };
}

export interface SeccompArg {
  readonly index: number;
  readonly value: Int;
  readonly valueTwo?: Int;
  readonly op: string;
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArg[];
}

export interface Seccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  /** Socket of the agent that answers SCMP_ACT_NOTIFY, and what it is told besides the state. */
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls?: readonly SeccompRule[];
}

export interface Spec {
  readonly ociVersion: string;
  readonly process?: Process;
  readonly root?: { readonly path: string; readonly readonly?: boolean };
  readonly hostname?: string;
  readonly domainname?: string;
  readonly mounts?: readonly SpecMount[];
  readonly hooks?: { readonly [kind in HookKind]?: readonly Hook[] };
  readonly annotations?: { readonly [key: string]: string };
  readonly linux?: {
    readonly namespaces?: readonly Namespace[];
    readonly uidMappings?: readonly IdMapping[];
    readonly gidMappings?: readonly IdMapping[];
    readonly devices?: readonly Device[];
    readonly cgroupsPath?: string;
    readonly resources?: Resources;
    readonly rootfsPropagation?: string;
    readonly seccomp?: Seccomp;
    readonly sysctl?: { readonly [name: string]: string };
    readonly maskedPaths?: readonly string[];
    readonly readonlyPaths?: readonly string[];
    readonly mountLabel?: string;
    readonly netDevices?: { readonly [name: string]: { readonly name?: string } };
    readonly timeOffsets?: { readonly [clock: string]: { readonly secs?: number; readonly nanosecs?: number } };
    readonly personality?: { readonly domain: string; readonly flags?: readonly string[] };
    readonly memoryPolicy?: MemoryPolicy;
    readonly intelRdt?: IntelRdt;
  };
}

/** set_mempolicy(2) of the container's processes. */
export interface MemoryPolicy {
  readonly mode?: string;
  readonly nodes?: string;
  readonly flags?: readonly string[];
}

export interface IntelRdt {
  readonly closID?: string;
  readonly schemata?: readonly string[];
  readonly l3CacheSchema?: string;
  readonly memBwSchema?: string;
  readonly enableMonitoring?: boolean;
}
