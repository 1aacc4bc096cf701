import { BerthError } from "@berth/base";
import type { Descriptor, Platform } from "./types.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64",
  x86_64: "amd64",
  "x86-64": "amd64",
  aarch64: "arm64",
  ia32: "386",
  i386: "386",
  i686: "386",
  armhf: "arm",
  armel: "arm",
  loong64: "loong64",
};

/** Go's name for an architecture that Node, uname or a user names otherwise; unknown names stay. */
export function architectureOf(name: string): string {
  return ARCHITECTURES[name.toLowerCase()] ?? name.toLowerCase();
}

/**
 * Reads `os/arch[/variant]`, `arch` alone, or `os` alone (then with the host's architecture).
 *
 * @throws {BerthError} InvalidArgument
 */
export function parsePlatform(text: string, host: Platform): Platform {
  const parts = text.split("/");
  if (parts.length > 3 || !parts.every((part) => /^[A-Za-z0-9_.-]{1,64}$/.test(part))) {
    throw new BerthError("InvalidArgument", `parse platform "${text.slice(0, 100)}": not os/arch[/variant]`, {
      hint: "write for example linux/amd64 or linux/arm/v7",
    });
  }
  const [first = "", second, variant] = parts;
  if (second === undefined) {
    if (["linux", "windows", "darwin", "freebsd"].includes(first)) return { ...host, os: first };
    return normalise("linux", first, undefined);
  }
  return normalise(first.toLowerCase(), second, variant);
}

function normalise(os: string, name: string, variant: string | undefined): Platform {
  const implied = name === "armel" ? "v6" : undefined;
  const found = variant?.toLowerCase() ?? implied;
  const full = found !== undefined && /^\d$/.test(found) ? `v${found}` : found;
  return { os, architecture: architectureOf(name), ...(full === undefined ? {} : { variant: full }) };
}

/** `os/arch[/variant]`. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/** Variant as it is compared: what an architecture means when it names none. */
function variantOf(platform: Platform): string {
  if (platform.variant !== undefined && platform.variant !== "") return platform.variant;
  return { arm: "v7", arm64: "v8", amd64: "v1" }[platform.architecture] ?? "";
}

/**
 * How well an image's platform suits: 0 is exact, larger is a lesser variant that runs as well; undefined does not run.
 * Variants of arm and amd64 are upward compatible (arm v7 runs v6 and v5, amd64 v3 runs v2 and v1).
 */
export function rankPlatform(want: Platform, have: Platform): number | undefined {
  if (want.os !== have.os || want.architecture !== architectureOf(have.architecture)) return undefined;
  const [wanted, had] = [variantOf(want), variantOf({ ...have, architecture: want.architecture })];
  if (wanted === had) return 0;
  if (want.architecture !== "arm" && want.architecture !== "amd64") return undefined;
  const distance = Number(wanted.slice(1)) - Number(had.slice(1));
  return distance > 0 ? distance : undefined;
}

/**
 * The entry of an index to use: the best platform match, the first on ties; one without a platform only if no entry
 * names a matching one. Attestations are never chosen.
 */
export function selectManifest(manifests: readonly Descriptor[], want: Platform): Descriptor | undefined {
  let best: { readonly entry: Descriptor; readonly rank: number } | undefined;
  for (const entry of manifests) {
    if (entry.platform === undefined) continue;
    const rank = rankPlatform(want, entry.platform);
    if (rank !== undefined && (best === undefined || rank < best.rank)) best = { entry, rank };
  }
  return best?.entry ?? manifests.find((entry) => entry.platform === undefined && !isAttestation(entry));
}

function isAttestation(entry: Descriptor): boolean {
  return entry.annotations?.["vnd.docker.reference.type"] !== undefined;
}
