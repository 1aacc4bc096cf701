import type { ContainerSpec, NetworkMode } from "@berth/engine";
import type { ContainerFlags } from "./flags.ts";
import { parseDevice, parseResources, parseSecurity, parseUlimit } from "./limits.ts";
import { parseMount, parseTmpfs, parseVolume } from "./mounts.ts";
import { parsePorts } from "./ports.ts";
import { parseUserns } from "./userns.ts";
import { invalid, parseEnv, parseLines, parsePairs, type Surroundings } from "./values.ts";

/**
 * The container that a command line asks for.
 *
 * @param args image, then the command
 * @param foreground the caller stays attached: its stdin ends the container's
 * @throws {BerthError} InvalidArgument, or what reading a named file throws
 */
export function buildSpec(
  args: readonly string[],
  flags: ContainerFlags,
  around: Surroundings,
  foreground: boolean,
): ContainerSpec {
  const [image = "", ...command] = args;
  const fromFiles = (paths: readonly string[]): readonly string[] =>
    paths.flatMap((path) => parseLines(around.readFile(path), path));
  return {
    image,
    name: flags.name,
    command,
    entrypoint: flags.entrypoint === undefined ? undefined : flags.entrypoint === "" ? [] : [flags.entrypoint],
    env: parseEnv([...fromFiles(flags["env-file"]), ...flags.env], around.env),
    user: flags.user,
    groupAdd: flags["group-add"],
    workdir: parseWorkdir(flags.workdir),
    hostname: parseHostname(flags.hostname),
    terminal: flags.tty,
    stdin: flags.interactive,
    stdinOnce: flags.interactive && foreground,
    labels: parsePairs([...fromFiles(flags["label-file"]), ...flags.label], "-l, --label", false),
    mounts: [
      ...flags.volume.map((text) => parseVolume(text, around.cwd)),
      ...flags.mount.map((text) => parseMount(text, around.cwd)),
      ...flags.tmpfs.map(parseTmpfs),
    ],
    network: parseNetwork(flags.network),
    ports: parsePorts(flags.publish),
    dns: flags.dns,
    addHosts: flags["add-host"].map(parseHost),
    resources: parseResources(flags),
    ulimits: flags.ulimit.map(parseUlimit),
    sysctls: parsePairs(flags.sysctl, "--sysctl", true),
    devices: flags.device.map(parseDevice),
    capAdd: flags["cap-add"],
    capDrop: flags["cap-drop"],
    security: parseSecurity(flags["security-opt"], around.readFile),
    privileged: flags.privileged,
    userns: parseUserns(flags),
    readOnly: flags["read-only"],
    init: flags.init,
    autoRemove: flags.rm,
    stopSignal: flags["stop-signal"],
    stopTimeout: flags["stop-timeout"],
  };
}

function parseWorkdir(workdir: string | undefined): string | undefined {
  if (workdir === undefined || workdir.startsWith("/")) return workdir;
  throw invalid(`the working directory '${workdir}' is invalid, it needs to be an absolute path`);
}

function parseHostname(name: string | undefined): string | undefined {
  if (name === undefined || (/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(name) && name.length <= 64)) return name;
  throw invalid(`invalid argument "${name}" for "-h, --hostname" flag: letters, digits, dots and dashes, at most 64`);
}

function parseNetwork(mode: string | undefined): NetworkMode {
  if (mode === undefined || mode === "default" || mode === "bridge") return "bridge";
  if (mode === "host" || mode === "none") return mode;
  throw invalid(`network ${mode} not found`, "the networks are bridge, host and none");
}

/** `name:address` (an IPv6 address may stand in brackets), or with `=`. */
function parseHost(text: string): string {
  const match = /^([^:=\s]+)[:=]\[?([0-9a-fA-F.:]+|host-gateway)\]?$/.exec(text);
  if (match === null) throw invalid(`invalid argument "${text}" for "--add-host" flag: write NAME:ADDRESS`);
  return `${match[1]}:${match[2]}`;
}
