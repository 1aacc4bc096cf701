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

/** What else runs on an architecture, worse than any variant of its own. */
const NARROWER: Readonly<Record<string, Omit<Platform, "os">>> = {
  amd64: { architecture: "386" },
  arm64: { architecture: "arm", variant: "v8" },
};
const NARROWER_RANK = 100;

/**
 * How well an image's platform suits: 0 is exact, larger is a lesser one that runs as well; undefined does not run.
 * Variants are upward compatible (arm v7 runs v6 and v5, amd64 v3 runs v2 and v1).
 */
export function rankPlatform(want: Platform, have: Platform): number | undefined {
  if (want.os !== have.os) return undefined;
  if (want.architecture !== architectureOf(have.architecture)) {
    const narrower = NARROWER[want.architecture];
    const rank = narrower === undefined ? undefined : rankPlatform({ os: want.os, ...narrower }, have);
    return rank === undefined ? undefined : rank + NARROWER_RANK;
  }
  const [wanted, had] = [variantOf(want), variantOf({ ...have, architecture: want.architecture })];
  if (wanted === had) return 0;
  if (!["arm", "arm64", "amd64"].includes(want.architecture)) return undefined;
  const distance = Number(wanted.slice(1)) - Number(had.slice(1));
  return distance > 0 ? distance : undefined;
}

/**
 * The entries of an index that may be used, the best platform match first, in the index's order on ties; then those
 * without a platform: indexes, or manifests whose configuration has to tell it. Attestations are never among them.
 */
export function rankManifests(manifests: readonly Descriptor[], want: Platform): readonly Descriptor[] {
  const ranked = manifests.flatMap((entry) => {
    if (entry.platform === undefined) return isAttestation(entry) ? [] : [{ entry, rank: Number.POSITIVE_INFINITY }];
    const rank = rankPlatform(want, entry.platform);
    return rank === undefined ? [] : [{ entry, rank }];
  });
  return ranked.sort((a, b) => (a.rank === b.rank ? 0 : a.rank - b.rank)).map(({ entry }) => entry);
}

function isAttestation(entry: Descriptor): boolean {
  return entry.annotations?.["vnd.docker.reference.type"] !== undefined;
}
