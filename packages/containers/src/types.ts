import type { Digest } from "@berth/oci";
import type { IdRange } from "@berth/protocol";

/** What the user asks for, complete and independent of this host: the CLI and the API servers make it, `create` reads it. */
export interface ContainerSpec {
  /** As typed. */
  readonly image: string;
  /** Without leading slash; a name is made up when absent. */
  readonly name?: string | undefined;
  /** Arguments after the image; empty: the image's own. */
  readonly command: readonly string[];
  /** Replaces the image's; `[]` resets it; undefined keeps it. */
  readonly entrypoint?: readonly string[] | undefined;
  /** `KEY=VALUE`, later ones win, over the image's. */
  readonly env: readonly string[];
  /** `user[:group]`, names or numbers. */
  readonly user?: string | undefined;
  readonly groupAdd: readonly string[];
  readonly workdir?: string | undefined;
  readonly hostname?: string | undefined;
  readonly terminal: boolean;
  /** Keep stdin open (`-i`). */
  readonly stdin: boolean;
  /** Stdin ends with the first client (foreground `run -i`). */
  readonly stdinOnce: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly mounts: readonly MountSpec[];
  readonly network: NetworkMode;
  readonly ports: readonly PortMapping[];
  readonly dns: readonly string[];
  /** `name:address`. */
  readonly addHosts: readonly string[];
  readonly resources: Resources;
  readonly ulimits: readonly Ulimit[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly devices: readonly DeviceSpec[];
  /** Names without or with `CAP_`, any case, or `ALL`. */
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly security: SecurityOptions;
  readonly privileged: boolean;
  /** Undefined: the host's. */
  readonly userns?: UserNamespaceSpec | undefined;
  /** Root file system read-only. */
  readonly readOnly: boolean;
  /** A tiny init as process 1 that reaps orphans and forwards signals. */
  readonly init: boolean;
  readonly autoRemove: boolean;
  /** Name or number; default: the image's, else SIGTERM. */
  readonly stopSignal?: string | undefined;
  /** Seconds until SIGKILL; default 10. */
  readonly stopTimeout?: number | undefined;
}

export type NetworkMode = "bridge" | "host" | "none";

/** Whose ids outside the ids in a container are: any that are free, or these. */
export type UserNamespaceSpec =
  | { readonly kind: "auto"; readonly size: number }
  | { readonly kind: "map"; readonly uid: readonly IdRange[]; readonly gid: readonly IdRange[] };

export type MountSpec =
  | {
      readonly kind: "bind";
      /** Absolute path on the host. */
      readonly source: string;
      readonly target: string;
      readonly readOnly: boolean;
      /** `rprivate` (default), `private`, `rshared`, `shared`, `rslave` or `slave`. */
      readonly propagation?: string | undefined;
      /** `-v` makes a missing source as a directory, `--mount` refuses it. */
      readonly createSource: boolean;
      /** Not the mounts below the source (`bind-nonrecursive`). */
      readonly nonRecursive?: boolean | undefined;
    }
  | {
      readonly kind: "volume";
      /** Undefined: an anonymous volume. */
      readonly source?: string | undefined;
      readonly target: string;
      readonly readOnly: boolean;
      /** Do not copy the image's content into an empty volume. */
      readonly noCopy: boolean;
    }
  | {
      readonly kind: "tmpfs";
      readonly target: string;
      /** fstab-style, for example `size=64m`, `mode=1777`, `ro`, `exec`. */
      readonly options: readonly string[];
    };

export interface PortMapping {
  /** Empty: all addresses. */
  readonly hostIp: string;
  /** 0: a free one is chosen at start. */
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: "tcp" | "udp" | "sctp";
}

export interface Resources {
  readonly memoryBytes?: number | undefined;
  /** Memory and swap together; -1: unlimited swap. */
  readonly memorySwapBytes?: number | undefined;
  readonly memoryReservationBytes?: number | undefined;
  /** Processors, for example 1.5. */
  readonly cpus?: number | undefined;
  readonly cpuShares?: number | undefined;
  readonly cpusetCpus?: string | undefined;
  readonly cpusetMems?: string | undefined;
  /** -1: unlimited. */
  readonly pidsLimit?: number | undefined;
  /** Size of /dev/shm; default 64 MiB. */
  readonly shmBytes?: number | undefined;
  /** -1000 to 1000. */
  readonly oomScoreAdj?: number | undefined;
}

export interface Ulimit {
  /** As setrlimit names it without RLIMIT_, lower case: `nofile`. */
  readonly name: string;
  /** -1: unlimited. */
  readonly soft: number;
  readonly hard: number;
}

export interface DeviceSpec {
  readonly hostPath: string;
  readonly containerPath: string;
  /** Of `r`, `w` and `m`. */
  readonly access: string;
}

export interface SecurityOptions {
  readonly noNewPrivileges: boolean;
  /** `default`, `unconfined`, or the text of a profile in docker's JSON. */
  readonly seccomp: string;
  /** Profile name, `unconfined`, or undefined for the runtime's default. */
  readonly apparmor?: string | undefined;
  /** Show the paths that are masked or read-only by default (`systempaths=unconfined`). */
  readonly systemPathsUnconfined: boolean;
}

/** Where a container stands; docker's words. */
export type ContainerStatus = "created" | "running" | "paused" | "exited" | "removing" | "dead";

/** A port as it is really bound while the container runs. */
export type BoundPort = PortMapping;

/** How far a container has got; the words between two facts (`creating`, `starting`, `removing`) name their process. */
export type ContainerPhase = "creating" | "created" | "starting" | "running" | "exited" | "removing";

/** A container as the user asked for it. */
export interface ContainerRecord {
  /** 64 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly spec: ContainerSpec;
  /** Digest of the image's configuration. */
  readonly imageId: Digest;
  /** Name of the image as the user wrote it. */
  readonly imageName: string;
  readonly createdAtMs: number;
}

/** A mount of a container with its source found: what the runtime is told, and what inspect shows. */
export interface ContainerMount {
  readonly kind: "bind" | "volume" | "tmpfs";
  /** Of the volume; empty for others. */
  readonly name: string;
  /** Absolute path on the host; empty for tmpfs. */
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** Mount options beyond `ro`: propagation of a bind, data of a tmpfs. */
  readonly options: readonly string[];
  /** Fill the empty volume with what the image has there. */
  readonly copyUp: boolean;
}

/** A container's row: the record, and what its life has come to as far as somebody wrote it down. */
export interface ContainerRow extends ContainerRecord {
  /** The whole command line: entrypoint and arguments. */
  readonly args: readonly string[];
  readonly mounts: readonly ContainerMount[];
  readonly phase: ContainerPhase;
  /** Token of the process in the middle of it. */
  readonly owner: string | undefined;
  /** Token of the process that cleans up after the exit. */
  readonly own: string | undefined;
  /** Token of the container's first process. */
  readonly process: string | undefined;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly error: string;
}
