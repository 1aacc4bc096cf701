import { homedir } from "node:os";
import { resolve } from "node:path";
import { BerthError, parseBytes } from "@berth/base";

/** What `snapshotter` may be. */
export const SNAPSHOTTERS = ["auto", "overlayfs", "fuse-overlayfs", "native"] as const;

/** All settings of one engine; every value is there. */
export interface Config {
  /** Data root: database, blobs, snapshots, volumes, logs. Absolute. */
  readonly root: string;
  /** Sockets, pids, bundles: gone after a reboot. Absolute. */
  readonly runRoot: string;
  /** The low-level runtime, monitor and unpacker. Absolute. */
  readonly keelPath: string;
  /** How layers are shown as one tree: `auto` tries what works. */
  readonly snapshotter: (typeof SNAPSHOTTERS)[number];
  /** Which hosts serve what, as containers-registries.conf(5); it need not be there. Absolute. */
  readonly registriesConf: string;
  /** What one layer of an image may unpack to: bytes of its tar, files, and times its own size (past 1 GiB). */
  readonly maxLayerBytes: number;
  readonly maxLayerEntries: number;
  readonly maxLayerRatio: number;
}

/** Settings that are paths. */
type Paths = "root" | "runRoot" | "keelPath" | "registriesConf";

/** What flags give, not checked yet. */
export interface GivenConfig extends Partial<Omit<Config, "snapshotter">> {
  readonly snapshotter?: string;
}

interface Setting {
  readonly env: string;
  readonly fallback: (env: NodeJS.ProcessEnv, isRoot: boolean) => string;
}

/** Each setting, once: its environment variable and its default (design.md section 5). */
const SETTINGS: Readonly<Record<Paths, Setting>> = {
  root: {
    env: "BERTH_ROOT",
    fallback: (env, isRoot) =>
      isRoot ? "/var/lib/berth" : `${env["XDG_DATA_HOME"] || `${homedir()}/.local/share`}/berth`,
  },
  runRoot: {
    env: "BERTH_RUN_ROOT",
    fallback: (env, isRoot) =>
      isRoot ? "/run/berth" : `${env["XDG_RUNTIME_DIR"] || `/tmp/berth-${process.getuid?.()}`}/berth`,
  },
  keelPath: { env: "BERTH_KEEL", fallback: () => "/usr/lib/berth/keel" },
  registriesConf: {
    env: "BERTH_REGISTRIES_CONF",
    fallback: (env, isRoot) =>
      `${isRoot ? "/etc" : env["XDG_CONFIG_HOME"] || `${homedir()}/.config`}/berth/registries.conf`,
  },
};

/**
 * Flags over environment over defaults.
 *
 * @param flags only those that were given
 * @throws {BerthError} InvalidArgument for a value that a setting cannot have
 */
export function resolveConfig(flags: GivenConfig = {}, env: NodeJS.ProcessEnv = process.env): Config {
  const isRoot = process.geteuid?.() === 0;
  const value = (name: Paths): string => {
    const { env: variable, fallback } = SETTINGS[name];
    return resolve(flags[name] || env[variable] || fallback(env, isRoot));
  };
  return Object.freeze({
    root: value("root"),
    runRoot: value("runRoot"),
    keelPath: value("keelPath"),
    snapshotter: parseSnapshotter(flags.snapshotter || env["BERTH_SNAPSHOTTER"] || "auto"),
    registriesConf: value("registriesConf"),
    maxLayerBytes: flags.maxLayerBytes ?? limitOf(env, "BERTH_MAX_LAYER_BYTES", "64g"),
    maxLayerEntries: flags.maxLayerEntries ?? limitOf(env, "BERTH_MAX_LAYER_ENTRIES", "1000000"),
    maxLayerRatio: flags.maxLayerRatio ?? limitOf(env, "BERTH_MAX_LAYER_RATIO", "200"),
  });
}

function limitOf(env: NodeJS.ProcessEnv, variable: string, fallback: string): number {
  const limit = parseBytes(env[variable] || fallback);
  if (limit > 0) return limit;
  throw new BerthError("InvalidArgument", `read ${variable}: ${env[variable]} allows nothing`, {
    hint: "write a number from 1 on, or leave it out",
  });
}

function parseSnapshotter(text: string): Config["snapshotter"] {
  const known = SNAPSHOTTERS.find((name) => name === text);
  if (known !== undefined) return known;
  throw new BerthError("InvalidArgument", `use snapshotter ${text}: there is none of this name`, {
    hint: `BERTH_SNAPSHOTTER and --snapshotter take ${SNAPSHOTTERS.join(", ")}`,
  });
}
