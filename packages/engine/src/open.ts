import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type GivenConfig, resolveConfig } from "@berth/config";
import * as containers from "@berth/containers";
import * as content from "@berth/content";
import * as images from "@berth/images";
import { openNetworks } from "@berth/networks";
import type { Digest } from "@berth/oci";
import * as remotes from "@berth/remotes";
import * as repositories from "@berth/repositories";
import * as snapshots from "@berth/snapshots";
import { openState, type State } from "@berth/state";
import * as volumes from "@berth/volumes";
import { attach } from "./attach.ts";
import { check } from "./check.ts";
import { type Context, runtimeRoot } from "./context.ts";
import { create } from "./create.ts";
import { exec } from "./exec.ts";
import { exportContainer } from "./export.ts";
import { listImageMounts, mountedImages, mountImage, settleImageMounts, unmountImage } from "./image-mounts.ts";
import { info } from "./info.ts";
import { inspect, list, logs } from "./list.ts";
import { obtainImage } from "./obtain.ts";
import { pruneContainers, pruneImages, pruneVolumes } from "./prune.ts";
import { settleAll } from "./settle.ts";
import { start } from "./start.ts";
import { finish, kill, remove, stop, wait } from "./stop.ts";
import type { Engine } from "./types.ts";
import { diskUsage, history } from "./usage.ts";

export interface EngineOptions extends GivenConfig {
  /** Archives of images that come with Berth, by fully qualified name (`berth.local/hello:latest`). */
  readonly builtins?: Readonly<Record<string, string>>;
  /** Command line of this Berth up to its global flags; default: this process's own program and script. */
  readonly self?: readonly string[];
}

/**
 * Opens the engine on a data root, which is made if it is not there. Cheap: the database is opened, the rest is read
 * when it is asked for.
 *
 * @throws {BerthError} PermissionDenied; FailedPrecondition if a newer version of Berth made the data root
 */
export function openEngine(options: EngineOptions = {}): Engine {
  const ctx = openContext(options);
  return {
    pull: (ref, pullOptions = {}) => obtainImage(ctx, ref, { pull: "always", ...pullOptions }),
    load: (path, loadOptions) => ctx.images.load(path, loadOptions),
    save: (refs, target, saveOptions) => ctx.images.save(refs, target, saveOptions),
    import: (path, name, importOptions) => ctx.images.import(path, name, importOptions),
    export: (ref, target, signal) => exportContainer(ctx, ref, target, signal),
    images: () => ctx.images.list(),
    wholeImages: () => ctx.images.listWhole(),
    image: (ref) => ctx.images.get(ref),
    findImage: (ref) => ctx.images.find(ref),
    removeImage: async (ref, removeOptions) => {
      await settleAll(ctx);
      await settleImageMounts(ctx);
      return ctx.images.remove(ref, removeOptions);
    },
    push: (ref, pushOptions) => ctx.images.push(ref, pushOptions),
    tag: (source, name) => ctx.images.tag(source, name),
    untag: (ref, names) => ctx.images.untag(ref, names),
    check: (checkOptions) => check(ctx, checkOptions),
    history: (ref) => history(ctx, ref),
    diffImage: async (ref) => await ctx.snapshots.diff(ctx.images.get(ref).chainId),
    mountImage: (ref) => mountImage(ctx, ref),
    unmountImage: (ref) => unmountImage(ctx, ref),
    mountedImages: () => listImageMounts(ctx),
    diskUsage: () => diskUsage(ctx),
    pruneImages: (pruneOptions) => pruneImages(ctx, pruneOptions),
    pruneContainers: (fits) => pruneContainers(ctx, fits),
    pruneVolumes: () => pruneVolumes(ctx),
    remotes: ctx.remotes,
    repositories: ctx.repositories,
    collect: () => ctx.images.collect(),
    create: async (spec, createOptions) => {
      await settleAll(ctx);
      return create(ctx, spec, createOptions);
    },
    start: (ref, startOptions = {}) => start(ctx, ref, startOptions),
    finish: (ref) => finish(ctx, ref),
    attach: (ref, io) => attach(ctx, ref, io),
    exec: (ref, execOptions) => exec(ctx, ref, execOptions),
    list: (listOptions) => list(ctx, listOptions),
    get: (ref) => inspect(ctx, ref),
    wait: (ref, waitOptions = {}) => wait(ctx, ref, waitOptions.signal),
    stop: (ref, stopOptions = {}) => stop(ctx, ref, stopOptions),
    kill: (ref, signal) => kill(ctx, ref, signal),
    remove: (ref, removeOptions = {}) => remove(ctx, ref, removeOptions),
    logs: (ref, logOptions) => logs(ctx, ref, logOptions),
    info: () => info(ctx),
    [Symbol.asyncDispose]: async () => {
      for (const client of ctx.owned.values()) client.close();
      ctx.networks[Symbol.dispose]();
      ctx.state[Symbol.dispose]();
    },
  };
}

function openContext(options: EngineOptions): Context {
  const config = resolveConfig(options);
  const { root, runRoot, keelPath, registriesConf } = config;
  const state = openState(join(root, "berth.db"), [
    ...content.migrations,
    ...snapshots.migrations,
    ...images.migrations,
    ...repositories.migrations,
    ...remotes.migrations,
    ...volumes.migrations,
    ...containers.migrations,
  ]);
  if (!existsSync(runRoot)) mkdirSync(runRoot, { recursive: true, mode: 0o711 });
  const blobs = content.openContent({ state, root });
  const layers = snapshots.openSnapshots({ state, root, keelPath, wanted: config.snapshotter });
  const served = repositories.openRepositories({ state, content: blobs });
  return {
    config,
    state,
    content: blobs,
    snapshots: layers,
    images: images.createImages({
      state,
      content: blobs,
      snapshots: layers,
      keelPath,
      registriesConf,
      layerLimits: { bytes: config.maxLayerBytes, entries: config.maxLayerEntries, ratio: config.maxLayerRatio },
      inUse: () => containers.listImagesInUse(state.db).union(mountedImages(layers)),
      mounted: () => mountedImages(layers),
      running: () => runningImages(state),
      keptBlobs: () => served.usedBlobs(),
    }),
    repositories: served,
    remotes: remotes.createRemotes({ state, registriesConf }),
    networks: openNetworks(),
    volumes: volumes.openVolumes({ state, root }),
    runtime: [keelPath, "--root", runtimeRoot(config)],
    self: [...(options.self ?? ownCommand()), "--root", root, "--run-root", runRoot],
    owned: new Map(),
    builtins: new Map(Object.entries(options.builtins ?? {})),
  };
}

function runningImages(state: State): ReadonlySet<Digest> {
  const rows = containers.listContainers(state.db);
  return new Set(rows.filter((row) => row.phase === "running").map((row) => row.imageId));
}

function ownCommand(): readonly string[] {
  return [process.execPath, ...process.execArgv, process.argv[1] ?? ""];
}
