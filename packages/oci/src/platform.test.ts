import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  type Platform,
  parsePlatform,
  rankManifests,
  rankPlatform,
} from "./index.ts";

const HOST: Platform = { os: "linux", architecture: "amd64" };
const entry = (name: string, platform?: Platform, annotations?: Record<string, string>): Descriptor => ({
  mediaType: name,
  digest: "sha256:" as Digest,
  size: 1,
  ...(platform ? { platform } : {}),
  ...(annotations ? { annotations } : {}),
});
const chosen = (list: readonly Descriptor[], want: string): string | undefined =>
  rankManifests(list, parsePlatform(want, HOST))[0]?.mediaType;

test("parsePlatform: full, short and other tools' names", () => {
  const table: readonly (readonly [string, string])[] = [
    ["linux/amd64", "linux/amd64"],
    ["linux/x86_64", "linux/amd64"],
    ["aarch64", "linux/arm64"],
    ["linux/arm/7", "linux/arm/v7"],
    ["linux/armel", "linux/arm/v6"],
    ["windows", "windows/amd64"],
  ];
  for (const [text, full] of table) assert.equal(formatPlatform(parsePlatform(text, HOST)), full);
  for (const text of ["", "a/b/c/d", "linux/", "linux/am d64"]) {
    assert.throws(
      () => parsePlatform(text, HOST),
      (e) => isCode(e, "InvalidArgument"),
    );
  }
});

test("rankPlatform: a lesser variant runs on a greater one, never the other way round", () => {
  const arm = (variant?: string): Platform => ({ os: "linux", architecture: "arm", ...(variant ? { variant } : {}) });
  assert.equal(rankPlatform(arm("v7"), arm("v6")), 1);
  assert.equal(rankPlatform(arm("v6"), arm("v7")), undefined);
  assert.equal(rankPlatform(arm(), arm("v7")), 0);
  const arm64 = { os: "linux", architecture: "arm64" };
  assert.equal(rankPlatform(arm64, { ...arm64, variant: "v8" }), 0);
  assert.equal(rankPlatform(HOST, { ...HOST, variant: "v3" }), undefined);
  assert.equal(rankPlatform({ ...HOST, variant: "v3" }, HOST), 2);
  assert.equal(rankPlatform(HOST, { ...HOST, os: "windows" }), undefined);
});

test("rankManifests: of all variants of an architecture, the greatest that runs", () => {
  const all = (architecture: string, ...variants: readonly string[]): readonly Descriptor[] =>
    variants.map((variant) =>
      entry(variant, { os: "linux", architecture, ...(variant === "none" ? {} : { variant }) }),
    );
  const table: readonly (readonly [string, readonly Descriptor[], string | undefined])[] = [
    ...(["v5", "v6", "v7", "v8"] as const).map((v) => [`arm/${v}`, all("arm", "v5", "v6", "v7", "v8"), v] as const),
    ...(["v1", "v2", "v3", "v4"] as const).map((v) => [`amd64/${v}`, all("amd64", "v4", "v3", "v2", "v1"), v] as const),
    ["arm/v8", all("arm", "v5", "v7"), "v7"],
    ["arm/v6", all("arm", "v5", "v7"), "v5"],
    ["arm/v5", all("arm", "v6", "v7", "v8"), undefined],
    ["arm", all("arm", "v5", "v8", "none"), "none"],
    ["amd64/v3", all("amd64", "none", "v2", "v4"), "v2"],
    ["amd64", all("amd64", "v2", "v3"), undefined],
    ["amd64/v4", all("amd64", "none"), "none"],
    ["arm64", all("arm64", "v9", "v8"), "v8"],
    ["arm64/v9", all("arm64", "v8", "none"), "v8"],
    ["amd64/v3", [...all("386", "none"), ...all("amd64", "v1")], "v1"],
    ["amd64", all("386", "none"), "none"],
    ["386", all("amd64", "v1"), undefined],
    ["arm64", [...all("arm", "v7", "v6")], "v7"],
    ["arm/v7", all("arm64", "v8"), undefined],
  ];
  for (const [want, list, best] of table) assert.equal(chosen(list, `linux/${want}`), best, want);
});

test("rankManifests: best variant, first on ties, no-platform entries last, attestations never", () => {
  const list = [
    entry("arm5", { os: "linux", architecture: "arm", variant: "v5" }),
    entry("arm6", { os: "linux", architecture: "arm", variant: "v6" }),
    entry("attest", { os: "unknown", architecture: "unknown" }),
    entry("amd-a", HOST),
    entry("amd-b", HOST),
    entry("any"),
  ];
  assert.equal(chosen(list, "linux/arm/v7"), "arm6");
  assert.equal(chosen(list, "linux/amd64"), "amd-a");
  assert.equal(chosen(list, "linux/s390x"), "any");
  assert.equal(chosen(list.slice(0, 5), "linux/s390x"), undefined);
  assert.equal(
    chosen([entry("x", undefined, { "vnd.docker.reference.type": "attestation-manifest" })], "linux/amd64"),
    undefined,
  );
});
