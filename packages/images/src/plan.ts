import { digestOf } from "@berth/content";
import { type Digest, formatReference, parseReference } from "@berth/oci";

/** Chain ids of the layers, lowest first (image-spec "Layer ChainID"). */
export function planChainIds(diffIds: readonly Digest[]): readonly Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    chain.push(parent === undefined ? diffId : digestOf(`${parent} ${diffId}`));
  }
  return chain;
}

/** Unix time in ms of an RFC 3339 time; 0 when absent, unreadable or before 1970. */
export function parseCreated(created: string | undefined): number {
  const ms = Date.parse(created ?? "");
  return Number.isNaN(ms) ? 0 : Math.max(ms, 0);
}

/** The name under which an archive wants its image known, fully qualified; undefined if it is no image name. */
export function planName(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    const { domain, path, tag = "latest" } = parseReference(text);
    return formatReference({ domain, path, tag });
  } catch {
    return undefined;
  }
}

/** Highest x86-64 micro-architecture level of /proc/cpuinfo's flags, as an image variant (System V ABI, levels 1 to 4). */
export function planAmd64Variant(flags: ReadonlySet<string>): string {
  const levels: readonly (readonly string[])[] = [
    ["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"],
    ["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"],
    ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
  ];
  const missing = levels.findIndex((level) => !level.every((flag) => flags.has(flag)));
  return `v${(missing < 0 ? levels.length : missing) + 1}`;
}
