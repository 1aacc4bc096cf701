import assert from "node:assert/strict";
import { test } from "node:test";
import { BerthError } from "@berth/base";
import {
  parseDockerArchive,
  parseImageConfig,
  parseManifest,
  parsePlatform,
  parseReference,
  parseStoredManifest,
} from "./index.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const DESCRIPTOR = {
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  digest: DIGEST,
  size: 1,
  platform: { os: "linux", architecture: "arm" },
};
const SEEDS = [
  JSON.stringify({ schemaVersion: 2, config: DESCRIPTOR, layers: [DESCRIPTOR, DESCRIPTOR], annotations: { a: "b" } }),
  JSON.stringify({ schemaVersion: 2, manifests: [DESCRIPTOR] }),
  JSON.stringify({ artifactType: "a/b", blobs: [DESCRIPTOR], subject: { ...DESCRIPTOR, data: "e30=", urls: ["x"] } }),
  JSON.stringify({
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [DIGEST] },
    config: { Env: ["A=b"], Labels: { a: "b" } },
    history: [{ created: "x", empty_layer: true }],
  }),
  JSON.stringify([{ Config: "c", RepoTags: ["a:b"], Layers: ["l"] }]),
  `registry.example:5000/a/b__c/d-e:tag_1.0@${DIGEST}`,
  "linux/arm64/v8",
];
const PIECES = [
  "null",
  "{}",
  "[]",
  "-1",
  "1e400",
  '"\\u0000"',
  "/",
  ":",
  "@",
  "..",
  '"',
  "[",
  "{",
  "}",
  "\\",
  "\u0000",
  "é",
  "[::1]",
  "A",
];

/** Small deterministic generator (mulberry32), so that a failure can be repeated. */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function mutate(text: string, next: () => number): string {
  for (let i = 0; i <= next() * 4; i++) {
    const at = Math.floor(next() * text.length);
    const piece = PIECES[Math.floor(next() * PIECES.length)] ?? "";
    text = text.slice(0, at) + piece + text.slice(at + Math.floor(next() * 12));
  }
  return text;
}

test("every reader: mutated input is read or refused with a BerthError, nothing else", () => {
  const host = { os: "linux", architecture: "amd64" };
  for (let seed = 0; seed < 6000; seed++) {
    const text = mutate(SEEDS[seed % SEEDS.length] ?? "", random(seed));
    const bytes = Buffer.from(text);
    const readers = [
      () => parseManifest(bytes, "m"),
      () => parseStoredManifest(bytes, "s", "application/vnd.oci.image.manifest.v1+json"),
      () => parseImageConfig(bytes, "c"),
      () => parseDockerArchive(bytes, "d"),
      () => parseReference(text),
      () => parsePlatform(text, host),
    ];
    for (const read of readers) {
      try {
        read();
      } catch (error) {
        assert.ok(error instanceof BerthError && error.code !== "Internal", `seed ${seed}: ${error}`);
      }
    }
  }
});
