import { createHash } from "node:crypto";
import { BerthError, isCode } from "@berth/base";
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  hexOf,
  INDEX_TYPES,
  parseManifest,
  type StoredManifest,
} from "@berth/oci";
import { fetchManifest } from "./pull.ts";
import { persist } from "./retry.ts";
import type { Session } from "./session.ts";

const INDEX = INDEX_TYPES[0] ?? "";

/** The tag under which clients keep a subject's referrers where the registry has no list (distribution-spec "Referrers tag schema"). */
export function referrersTag(subject: Digest): string {
  return `${algorithmOf(subject).slice(0, 32)}-${hexOf(subject).slice(0, 64)}`;
}

/** The index that is kept under the tag; no entries when there is none. */
export async function fetchReferrersIndex(
  session: Session,
  path: string,
  subject: Digest,
  signal: AbortSignal | undefined,
): Promise<readonly Descriptor[]> {
  const tag = referrersTag(subject);
  try {
    const { bytes, contentType } = await fetchManifest(session, path, tag, signal);
    const index = parseManifest(bytes, `referrers of ${session.domain}/${path}@${subject}`, contentType);
    if (index.kind === "index") return index.manifests;
  } catch (error) {
    if (isCode(error, "NotFound")) return [];
    throw error;
  }
  throw new BerthError(
    "FailedPrecondition",
    `read referrers of ${session.domain}/${path}@${subject}: the tag ${tag} is no index`,
    {
      hint: "delete that tag if nobody needs it",
    },
  );
}

export interface NewReferrer {
  readonly bytes: Uint8Array;
  readonly document: StoredManifest;
  readonly subject: Descriptor;
  readonly signal: AbortSignal | undefined;
}

/** Enters a manifest into the index of its subject's referrers, once. */
export async function addReferrer(session: Session, path: string, referrer: NewReferrer): Promise<void> {
  const { bytes, document, subject, signal } = referrer;
  const known = await fetchReferrersIndex(session, path, subject.digest, signal);
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
  if (known.some((entry) => entry.digest === digest)) return;
  const { mediaType, artifactType, annotations } = document;
  const entry = {
    mediaType,
    digest,
    size: bytes.length,
    ...(annotations === undefined ? {} : { annotations }),
    ...(artifactType === undefined ? {} : { artifactType }),
  };
  const index = { schemaVersion: 2, mediaType: INDEX, manifests: [...known, entry] };
  const call = {
    method: "PUT" as const,
    at: `${path}/manifests/${referrersTag(subject.digest)}`,
    scope: `repository:${path}:pull,push`,
    headers: { "content-type": INDEX },
    body: Buffer.from(JSON.stringify(index)),
    ok: [201],
    what: `push referrers of ${session.domain}/${path}@${subject.digest}`,
    signal,
  };
  await persist(signal, () => session.ask(call));
}
