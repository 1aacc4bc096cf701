export type {
  BoundPort,
  ContainerMount,
  ContainerSpec,
  ContainerStatus,
  DeviceSpec,
  MountSpec,
  NetworkMode,
  PortMapping,
  Resources,
  SecurityOptions,
  Ulimit,
  UserNamespaceSpec,
} from "@berth/containers";
export type { ArchiveFormat, Image, ImageSummary, PullOptions, PullProgress, SaveTarget } from "@berth/images";
export type { ArtifactFile, Pushed, PushProgress, Remotes } from "@berth/remotes";
export type { Repositories } from "@berth/repositories";
export type { Change } from "@berth/snapshots";
export { type EngineOptions, openEngine } from "./open.ts";
export type * from "./types.ts";
export { VERSION } from "./version.ts";
