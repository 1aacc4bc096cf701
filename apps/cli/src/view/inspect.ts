import type {
  BoundPort,
  Container,
  ContainerMount,
  Image,
  Resources,
  SecurityOptions,
  UserNamespaceSpec,
} from "@berth/engine";
import { familiarName } from "@berth/oci";

/** A Go map: unlike a struct, a key may be missing. */
type GoMap = ReadonlyMap<string, unknown>;

const toMap = (record: Readonly<Record<string, unknown>> | undefined): GoMap => new Map(Object.entries(record ?? {}));
const orNull = (map: GoMap): GoMap | null => (map.size > 0 ? map : null);
const NEVER = "0001-01-01T00:00:00Z";

/**
 * What `docker inspect` shows of a container, as far as Berth has it.
 *
 * @param image when it is still there; its configuration is the base of the container's
 */
export function inspectContainer(container: Container, image: Image | undefined): object {
  const [path = "", ...args] = container.args;
  return {
    Id: container.id,
    Created: new Date(container.createdAtMs).toISOString(),
    Path: path,
    Args: args,
    State: stateOf(container),
    Image: container.imageId,
    LogPath: container.logPath,
    Name: `/${container.name}`,
    RestartCount: 0,
    Driver: "overlayfs",
    Platform: image?.config.os ?? "linux",
    HostConfig: hostConfigOf(container),
    Mounts: container.mounts.map(mountOf),
    Config: configOf(container, image),
    NetworkSettings: networkOf(container),
  };
}

function stateOf(container: Container): object {
  return {
    Status: container.status,
    Running: container.status === "running" || container.status === "paused",
    Paused: container.status === "paused",
    Restarting: false,
    OOMKilled: container.oomKilled,
    Dead: container.status === "dead",
    Pid: container.pid,
    ExitCode: container.exitCode,
    Error: container.error,
    StartedAt: container.startedAt || NEVER,
    FinishedAt: container.finishedAt || NEVER,
  };
}

/** Docker's null for an empty list. */
const listOrNull = <T>(list: readonly T[] | undefined): readonly T[] | null =>
  list === undefined || list.length === 0 ? null : list;

function configOf(container: Container, image: Image | undefined): object {
  const { spec } = container;
  const base = image?.config.config ?? {};
  const env = new Map([...(base.Env ?? []), ...spec.env].map((item) => [item.split("=", 1)[0], item]));
  const isAttached = spec.stdinOnce || spec.terminal;
  const published = spec.ports.map((port) => [`${port.containerPort}/${port.protocol}`, {}] as const);
  return {
    Hostname: spec.hostname ?? container.id.slice(0, 12),
    Domainname: "",
    AttachStdin: spec.stdinOnce,
    AttachStdout: isAttached,
    AttachStderr: isAttached,
    ExposedPorts: new Map([...Object.entries(base.ExposedPorts ?? {}), ...published]),
    Tty: spec.terminal,
    OpenStdin: spec.stdin,
    StdinOnce: spec.stdinOnce,
    Env: [...env.values()],
    Image: container.imageName,
    Volumes: orNull(toMap(base.Volumes)),
    ...programOf(spec, base),
    Labels: toMap({ ...base.Labels, ...spec.labels }),
    StopTimeout: spec.stopTimeout ?? null,
  };
}

type ProcessConfig = NonNullable<Image["config"]["config"]>;

/** What the command line says of the program, else the image. */
function programOf(spec: Container["spec"], base: ProcessConfig): object {
  // An entrypoint on the command line resets the image's command.
  const imageCommand = spec.entrypoint === undefined ? base.Cmd : undefined;
  return {
    User: spec.user ?? base.User ?? "",
    Cmd: listOrNull(spec.command.length > 0 ? spec.command : imageCommand),
    WorkingDir: spec.workdir ?? base.WorkingDir ?? "",
    Entrypoint: listOrNull(spec.entrypoint ?? base.Entrypoint),
    StopSignal: spec.stopSignal ?? base.StopSignal ?? "SIGTERM",
  };
}

function hostConfigOf(container: Container): object {
  const { spec } = container;
  const tmpfs = spec.mounts.flatMap((m) => (m.kind === "tmpfs" ? [[m.target, m.options.join(",")] as const] : []));
  return {
    Binds: bindsOf(container),
    NetworkMode: spec.network,
    PortBindings: portMap(spec.ports),
    RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
    AutoRemove: spec.autoRemove,
    CapAdd: listOrNull(spec.capAdd),
    CapDrop: listOrNull(spec.capDrop),
    Dns: spec.dns,
    ExtraHosts: listOrNull(spec.addHosts),
    GroupAdd: listOrNull(spec.groupAdd),
    Init: spec.init,
    Privileged: spec.privileged,
    ReadonlyRootfs: spec.readOnly,
    UsernsMode: spec.userns === undefined ? "" : "private",
    ...(spec.userns?.kind === "map" ? { IDMappings: idMappings(spec.userns) } : {}),
    SecurityOpt: listOrNull(securityOf(spec.security)),
    Sysctls: orNull(toMap(spec.sysctls)),
    Tmpfs: orNull(new Map(tmpfs)),
    ...resourcesOf(spec.resources),
    Ulimits: spec.ulimits.map((limit) => ({ Name: limit.name, Hard: limit.hard, Soft: limit.soft })),
    Devices: spec.devices.map((device) => ({
      PathOnHost: device.hostPath,
      PathInContainer: device.containerPath,
      CgroupPermissions: device.access,
    })),
    LogConfig: { Type: "cri", Config: new Map() },
  };
}

function securityOf(security: SecurityOptions): readonly string[] {
  return [
    ...(security.noNewPrivileges ? ["no-new-privileges"] : []),
    ...(security.seccomp === "default" ? [] : [`seccomp=${security.seccomp}`]),
    ...(security.apparmor === undefined ? [] : [`apparmor=${security.apparmor}`]),
    ...(security.systemPathsUnconfined ? ["systempaths=unconfined"] : []),
  ];
}

/** 0 where there is no limit, as docker says it. */
function resourcesOf(resources: Resources): object {
  return {
    OomScoreAdj: resources.oomScoreAdj ?? 0,
    ShmSize: resources.shmBytes ?? 64 * 1024 * 1024,
    Memory: resources.memoryBytes ?? 0,
    MemorySwap: resources.memorySwapBytes ?? 0,
    MemoryReservation: resources.memoryReservationBytes ?? 0,
    NanoCpus: Math.round((resources.cpus ?? 0) * 1e9),
    CpuShares: resources.cpuShares ?? 0,
    CpusetCpus: resources.cpusetCpus ?? "",
    CpusetMems: resources.cpusetMems ?? "",
    PidsLimit: resources.pidsLimit ?? null,
  };
}

function bindsOf(container: Container): readonly string[] | null {
  const binds = container.spec.mounts.flatMap((mount) => {
    if (mount.kind === "tmpfs" || mount.source === undefined) return [];
    return [`${mount.source}:${mount.target}${mount.readOnly ? ":ro" : ""}`];
  });
  return binds.length > 0 ? binds : null;
}

function mountOf(mount: ContainerMount): object {
  return {
    Type: mount.kind,
    ...(mount.kind === "volume" ? { Name: mount.name, Driver: "local" } : {}),
    Source: mount.source,
    Destination: mount.target,
    Mode: mount.options.join(","),
    RW: !mount.readOnly,
    Propagation:
      mount.kind === "bind"
        ? (mount.options.find((option) => /^r?(private|shared|slave)$/.test(option)) ?? "rprivate")
        : "",
  };
}

function portMap(ports: readonly BoundPort[]): GoMap {
  const groups = Map.groupBy(ports, (port) => `${port.containerPort}/${port.protocol}`);
  return new Map(
    [...groups].map(([key, items]) => [
      key,
      items.map((port) => ({ HostIp: port.hostIp, HostPort: port.hostPort === 0 ? "" : String(port.hostPort) })),
    ]),
  );
}

function networkOf(container: Container): object {
  const { network, spec } = container;
  const address = {
    Gateway: network.gateway,
    IPAddress: network.ipAddress,
    IPPrefixLen: network.prefixLength,
    MacAddress: network.macAddress,
  };
  return { Bridge: "", Ports: portMap(container.ports), ...address, Networks: new Map([[spec.network, address]]) };
}

/** What `docker inspect` shows of an image. */
export function inspectImage(image: Image): object {
  const { config } = image;
  const process = config.config ?? {};
  return {
    Id: image.id,
    RepoTags: image.names.map(familiarName),
    RepoDigests: image.repoDigests.map(familiarName),
    Parent: "",
    Comment: config.history?.at(-1)?.comment ?? "",
    Created: config.created ?? "",
    Author: config.author ?? "",
    Config: {
      User: process.User ?? "",
      ExposedPorts: orNull(toMap(process.ExposedPorts)),
      Env: process.Env ?? null,
      Cmd: process.Cmd ?? null,
      Volumes: orNull(toMap(process.Volumes)),
      WorkingDir: process.WorkingDir ?? "",
      Entrypoint: process.Entrypoint ?? null,
      Labels: toMap(process.Labels),
      StopSignal: process.StopSignal ?? "",
    },
    Architecture: config.architecture,
    Variant: config.variant ?? "",
    Os: config.os,
    Size: image.sizeBytes,
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Descriptor: image.manifest,
  };
}

/** As podman has them. */
function idMappings({ uid, gid }: Extract<UserNamespaceSpec, { kind: "map" }>): object {
  const text = (ranges: typeof uid): readonly string[] =>
    ranges.map(({ containerID, hostID, size }) => `${containerID}:${hostID}:${size}`);
  return { UidMap: text(uid), GidMap: text(gid) };
}
