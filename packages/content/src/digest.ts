import { createHash } from "node:crypto";
import type { Digest, DigestAlgorithm } from "@berth/oci";

/** Digest of bytes or UTF-8 text. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = "sha256"): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}
