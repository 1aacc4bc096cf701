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

export interface Resources {
  readonly devices?: readonly DeviceRule[];
  readonly memory?: {
    readonly limit?: Int;
    readonly reservation?: Int;
    readonly swap?: Int;
    readonly swappiness?: number;
    readonly disableOOMKiller?: boolean;
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
  };
}
