import { runtimeError } from "../lib/errors.ts";
import type { MountOptions } from "../lib/mountopts.ts";
import type { IdMapping, Namespace, Spec, SpecMount } from "../spec/types.ts";
import type { IdMap } from "./steps.ts";

function invalid(field: string, rule: string): unknown {
  return runtimeError("InvalidArgument", `invalid config.json: ${field}: ${rule}`);
}

/**
 * The mappings of one mount: its own (`uidMappings`, or crun's `idmap=uids=0-1000-1;gids=…`), else those of the
 * container's user namespace (runtime-spec "Mounts"). Undefined when it asks for none. Pure.
 */
export function planIdMap(
  mount: SpecMount,
  options: MountOptions,
  linux: NonNullable<Spec["linux"]>,
  field: string,
): IdMap | undefined {
  const own = { uid: mount.uidMappings || [], gid: mount.gidMappings || [] };
  const named = own.uid.length > 0 || own.gid.length > 0;
  if (options.idmap === "" && !named) return undefined;
  const recursive = options.idmap === "ridmap";
  const container = { uid: linux.uidMappings || [], gid: linux.gidMappings || [] };
  let maps = named ? own : container;
  if (options.idmapRanges !== "") maps = parseRanges(options.idmapRanges, container, `${field}.options`);
  const joined = named || options.idmapRanges !== "" ? "" : joinedUser(linux);
  if (joined !== "" && maps.uid.length === 0) return { uid: [], gid: [], namespace: joined, recursive };
  if (maps.uid.length === 0 || maps.gid.length === 0)
    throw invalid(
      `${field}.uidMappings`,
      "an idmapped mount needs uidMappings and gidMappings, its own or those of linux.namespaces' user namespace",
    );
  return { uid: maps.uid, gid: maps.gid, recursive };
}

/** Path of the user namespace that the container joins, "" for none. */
function joinedUser({ namespaces = [] }: NonNullable<Spec["linux"]>): string {
  for (let i = 0; i < namespaces.length; i++) {
    const { type, path } = namespaces[i] as Namespace;
    if (type === "user") return path || "";
  }
  return "";
}

interface Maps {
  readonly uid: readonly IdMapping[];
  readonly gid: readonly IdMapping[];
}

/** `uids=0-1000-1#1-2000-10;gids=@0-0-10`: inside, outside, size; `@`: outside is an id of the container. */
function parseRanges(text: string, container: Maps, field: string): Maps {
  const maps: { uid: IdMapping[]; gid: IdMapping[] } = { uid: [], gid: [] };
  const parts = text.split(";");
  for (let i = 0; i < parts.length; i++) {
    const match = /^(uid|gid)s=(.+)$/.exec(parts[i] as string);
    if (!match) throw invalid(field, `idmap=${text}: must be uids=A-B-SIZE#…;gids=A-B-SIZE#…`);
    const kind = match[1] as "uid";
    const ranges = (match[2] as string).split("#");
    for (let k = 0; k < ranges.length; k++) maps[kind].push(parseRange(ranges[k] as string, container[kind], field));
  }
  return maps;
}

function parseRange(range: string, container: readonly IdMapping[], field: string): IdMapping {
  const match = /^(@?)(\d{1,10})-(\d{1,10})-(\d{1,10})$/.exec(range);
  if (!match) throw invalid(field, `idmap: "${range}" is no range A-B-SIZE`);
  const [containerID, hostID, size] = [Number(match[2]), Number(match[3]), Number(match[4])];
  if (match[1] === "") return { containerID, hostID, size };
  for (let i = 0; i < container.length; i++) {
    const own = container[i] as IdMapping;
    if (hostID >= own.containerID && hostID + size <= own.containerID + own.size)
      return { containerID, hostID: own.hostID + (hostID - own.containerID), size };
  }
  throw invalid(field, `idmap: "${range}" is not within a range of the container's user namespace`);
}
