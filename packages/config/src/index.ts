import { homedir } from "node:os";
import { resolve } from "node:path";

/** All settings of one engine; every value is there. */
export interface Config {
  /** Data root: database, blobs, snapshots, volumes, logs. Absolute. */
  readonly root: string;
  /** Sockets, pids, bundles: gone after a reboot. Absolute. */
  readonly runRoot: string;
  /** The low-level runtime, monitor and unpacker. Absolute. */
  readonly keelPath: string;
  /** Which hosts serve what, as containers-registries.conf(5); it need not be there. Absolute. */
  readonly registriesConf: string;
}

interface Setting {
  readonly env: string;
  readonly fallback: (env: NodeJS.ProcessEnv, isRoot: boolean) => string;
}

/** Each setting, once: its environment variable and its default (design.md section 5). */
const SETTINGS: Readonly<Record<keyof Config, Setting>> = {
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
 */
export function resolveConfig(flags: Partial<Config> = {}, env: NodeJS.ProcessEnv = process.env): Config {
  const isRoot = process.geteuid?.() === 0;
  const value = (name: keyof Config): string => {
    const { env: variable, fallback } = SETTINGS[name];
    return resolve(flags[name] || env[variable] || fallback(env, isRoot));
  };
  return Object.freeze({
    root: value("root"),
    runRoot: value("runRoot"),
    keelPath: value("keelPath"),
    registriesConf: value("registriesConf"),
  });
}
