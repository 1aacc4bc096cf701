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
} from "@berth/containers";
export type { Image, PullOptions, PullProgress } from "@berth/images";
export type { ArtifactFile, Pushed, PushProgress, Remotes } from "@berth/remotes";
export type { Repositories } from "@berth/repositories";
export { type EngineOptions, openEngine } from "./open.ts";
export type * from "./types.ts";
export { VERSION } from "./version.ts";
