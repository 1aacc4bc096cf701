import { join } from "node:path";
import type { Config } from "@berth/config";
import type { Content } from "@berth/content";
import type { Images } from "@berth/images";
import type { Networks } from "@berth/networks";
import type { Remotes } from "@berth/remotes";
import type { Repositories } from "@berth/repositories";
import type { Snapshots } from "@berth/snapshots";
import type { State } from "@berth/state";
import type { MonitorClient } from "@berth/tasks";
import type { Volumes } from "@berth/volumes";

/** What every use-case works with. */
export interface Context {
  readonly config: Config;
  readonly state: State;
  readonly content: Content;
  readonly snapshots: Snapshots;
  readonly images: Images;
  readonly repositories: Repositories;
  readonly remotes: Remotes;
  readonly networks: Networks;
  readonly volumes: Volumes;
  /** The OCI runtime's command line up to the subcommand. */
  readonly runtime: readonly string[];
  /** Command line of this Berth up to its subcommand, on the same roots: monitors call it to clean up. */
  readonly self: readonly string[];
  /** Connections to the monitors of containers that this process cleans up after, by id. */
  readonly owned: Map<string, MonitorClient>;
  /** Archives of the images that come with Berth, by fully qualified name. */
  readonly builtins: ReadonlyMap<string, string>;
}

/** Where one container's files are. */
export interface ContainerPaths {
  /** Kept until the container is removed: log, exit record. */
  readonly data: string;
  readonly log: string;
  readonly exit: string;
  /** Made at each start, gone after it: everything below. */
  readonly run: string;
  readonly monitorConfig: string;
  readonly socket: string;
  readonly pidFile: string;
  readonly netns: string;
  /** Of containers in a user namespace with a network of their own: the one that owns it. */
  readonly userns: string;
  readonly bundle: string;
  readonly rootfs: string;
  /** Where the engine mounts what it looks at before the container's start. */
  readonly aside: string;
  /** Of the runtime, named by the container. */
  readonly runtimeState: string;
  readonly hosts: string;
  readonly resolvConf: string;
  readonly hostname: string;
}

/** Half an id is unique enough for a directory and keeps socket paths below sun_path's 107 bytes. */
const RUN_NAME_LENGTH = 32;

export function pathsOf(config: Config, id: string): ContainerPaths {
  const data = join(config.root, "containers", id);
  const run = join(config.runRoot, "c", id.slice(0, RUN_NAME_LENGTH));
  const bundle = `${run}/bundle`;
  return {
    data,
    log: `${data}/container.log`,
    exit: `${data}/exit.json`,
    run,
    monitorConfig: `${run}/monitor.json`,
    socket: `${run}/monitor.sock`,
    pidFile: `${run}/pid`,
    netns: `${run}/netns`,
    userns: `${run}/userns`,
    bundle,
    rootfs: `${bundle}/rootfs`,
    aside: `${run}/aside`,
    runtimeState: join(runtimeRoot(config), id),
    hosts: `${data}/hosts`,
    resolvConf: `${data}/resolv.conf`,
    hostname: `${data}/hostname`,
  };
}

export function runtimeRoot(config: Config): string {
  return join(config.runRoot, "keel");
}

/** The lease that makes a process the only one to change this container. */
export function leaseOf(id: string): string {
  return `container:${id}`;
}
