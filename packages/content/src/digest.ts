import { createHash } from "node:crypto";
import type { Digest } from "@berth/oci";

/** sha-256 digest of bytes or UTF-8 text. */
export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
}
