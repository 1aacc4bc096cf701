import type { ImageConfig } from "@berth/oci";
import { invalid, noCommand } from "./errors.ts";
import { INIT_PATH } from "./mounts.ts";
import { cleanPath } from "./paths.ts";
import type { CapabilitySets, ResolvedUser, RuntimeProcess } from "./plan-types.ts";
import type { ContainerSpec } from "./types.ts";

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const UNLIMITED = (1n << 64n) - 1n;

/**
 * The command line: entrypoint and arguments, by docker's rules. Another entrypoint drops the image's arguments; `[]`
 * resets the entrypoint and keeps them.
 *
 * @throws {BerthError} InvalidArgument if nothing is left to run
 */
export function planArgs(
  spec: Pick<ContainerSpec, "image" | "entrypoint" | "command">,
  image: ImageConfig,
): readonly string[] {
  const replaced = spec.entrypoint !== undefined && spec.entrypoint.length > 0;
  const isReset = spec.entrypoint?.length === 1 && spec.entrypoint[0] === "";
  const entrypoint = isReset ? [] : (spec.entrypoint ?? image.config?.Entrypoint ?? []);
  const command = spec.command.length > 0 || replaced ? spec.command : (image.config?.Cmd ?? []);
  const args = [...entrypoint, ...command];
  if (args.length === 0) throw noCommand(spec.image);
  return args;
}

/**
 * Environment: defaults, then the image's, then the user's; a later entry replaces an earlier one in its place, and
 * one without `=` removes it.
 */
export function planEnv(options: {
  readonly image: readonly string[];
  readonly user: readonly string[];
  readonly hostname: string;
  readonly terminal: boolean;
  readonly home: string;
}): readonly string[] {
  const defaults = [DEFAULT_PATH, `HOSTNAME=${options.hostname}`, ...(options.terminal ? ["TERM=xterm"] : [])];
  const home = options.home === "" ? [] : [`HOME=${options.home}`];
  return mergeEnv([...defaults, ...home, ...options.image, ...options.user]);
}

/** A later entry replaces an earlier one in its place; one without `=` removes it. */
export function mergeEnv(entries: readonly string[]): readonly string[] {
  const chosen = new Map<string, string>();
  for (const entry of entries) {
    const at = entry.indexOf("=", 1);
    if (at < 0) chosen.delete(entry);
    else chosen.set(entry.slice(0, at), entry);
  }
  return [...chosen.values()];
}

/** Absolute working directory: the user's, else the image's, else `/`. @throws {BerthError} InvalidArgument */
export function planWorkdir(workdir: string | undefined, image: ImageConfig): string {
  if (workdir === undefined || workdir === "") return cleanPath(image.config?.WorkingDir ?? "/");
  if (!workdir.startsWith("/")) throw invalid(`use working directory "${workdir}"`, "the path must be absolute");
  return cleanPath(workdir);
}

/** What execve would leave: only root has more than the bounding set. Nothing is inheritable (CVE-2022-24769). */
export function planCapabilitySets(bounding: readonly string[], uid: number): CapabilitySets {
  const own = uid === 0 ? bounding : [];
  return { bounding, effective: own, permitted: own, inheritable: [], ambient: [] };
}

export interface ProcessInput {
  readonly spec: ContainerSpec;
  readonly image: ImageConfig;
  readonly user: ResolvedUser;
  readonly hostname: string;
  readonly caps: readonly string[];
  readonly apparmor: boolean;
}

/** The first process; with `init`, that is our init with the command behind it. */
export function planProcess(input: ProcessInput): RuntimeProcess {
  const { spec, image, user } = input;
  const args = planArgs(spec, image);
  const profile = spec.security.apparmor;
  return {
    terminal: spec.terminal,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    args: spec.init ? [INIT_PATH, "init", "--", ...args] : args,
    env: planEnv({
      image: image.config?.Env ?? [],
      user: spec.env,
      hostname: input.hostname,
      terminal: spec.terminal,
      home: user.home,
    }),
    cwd: planWorkdir(spec.workdir, image),
    capabilities: planCapabilitySets(input.caps, user.uid),
    ...planRlimits(spec),
    noNewPrivileges: spec.security.noNewPrivileges,
    ...(input.apparmor && profile !== undefined && !spec.privileged ? { apparmorProfile: profile } : {}),
    ...(spec.resources.oomScoreAdj === undefined ? {} : { oomScoreAdj: spec.resources.oomScoreAdj }),
  };
}

/** Only those asked for: a limit that is not named stays as it is. */
export function planRlimits(spec: Pick<ContainerSpec, "ulimits">): Pick<RuntimeProcess, "rlimits"> {
  return spec.ulimits.length === 0 ? {} : { rlimits: spec.ulimits.map(toRlimit) };
}

function toRlimit(limit: ContainerSpec["ulimits"][number]): NonNullable<RuntimeProcess["rlimits"]>[number] {
  const value = (number: number): bigint => (number === -1 ? UNLIMITED : BigInt(number));
  return { type: `RLIMIT_${limit.name.toUpperCase()}`, soft: value(limit.soft), hard: value(limit.hard) };
}
