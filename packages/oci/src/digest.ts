import { BerthError } from "@berth/base";
import type { Digest, DigestAlgorithm } from "./types.ts";

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** True for `sha256:` and 64, or `sha512:` and 128 lower-case hex digits (image-spec "Registered algorithms"). */
export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && DIGEST.test(text);
}

/**
 * @throws {BerthError} InvalidArgument unless `text` is a sha256 or sha512 digest in lower-case hex
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new BerthError(
    "InvalidArgument",
    `parse digest "${text.slice(0, 150)}": neither sha256: and 64 nor sha512: and 128 hex digits`,
  );
}

/** The hex digits of a digest. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** What the digest was made with. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}
