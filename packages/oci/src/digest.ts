import { BerthError } from "@berth/base";
import type { Digest } from "./types.ts";

/** True for `sha256:` and 64 lower-case hex digits. */
export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && /^sha256:[0-9a-f]{64}$/.test(text);
}

/**
 * @throws {BerthError} InvalidArgument unless `text` is `sha256:` and 64 lower-case hex digits
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new BerthError("InvalidArgument", `parse digest "${text.slice(0, 100)}": not sha256: and 64 hex digits`);
}

/** The 64 hex digits of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length);
}
