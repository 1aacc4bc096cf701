import { type JsonObject, Reader } from "./json.ts";
import { MAX_MANIFEST_BYTES, parseDescriptor } from "./manifest.ts";
import { INDEX_TYPES, OCI_MANIFEST } from "./media-types.ts";
import type { Descriptor } from "./types.ts";

/** A registry takes longer lists than a host can mount. */
const MAX_REFERENCES = 100_000;

/** What a registry or a copying client must know of a manifest of any kind, artifacts of other tools included. */
export interface StoredManifest {
  readonly mediaType: string;
  /** What kind of artifact it is, as the referrers API tells it. */
  readonly artifactType: string | undefined;
  readonly subject: Descriptor | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
  /** Config and layers. */
  readonly blobs: readonly Descriptor[];
  /** Children of an index. */
  readonly manifests: readonly Descriptor[];
}

/**
 * Reads what a manifest or index points at; fields and media types that nobody knows are no fault.
 *
 * @param what names the document in messages
 * @param contentType what the sender called it; must agree with the document's own mediaType field
 * @throws {BerthError} InvalidArgument
 */
export function parseStoredManifest(bytes: Uint8Array, what: string, contentType: string): StoredManifest {
  const reader = new Reader(what);
  const doc = reader.parse(bytes, MAX_MANIFEST_BYTES);
  const isIndex = "manifests" in doc;
  // A document that is both could be read as one thing by one tool and as the other by the next (CVE-2021-41190).
  if (isIndex && ("layers" in doc || "config" in doc)) throw reader.fail("", "both a manifest and an index");
  const { config } = reader.optional(doc, "config", (v) => parseDescriptor(reader, v, "config"));
  const { subject } = reader.optional(doc, "subject", (v) => parseDescriptor(reader, v, "subject"));
  const { annotations } = reader.optional(doc, "annotations", (v) => reader.stringMap(v, "annotations"));
  const { artifactType = "" } = reader.optional(doc, "artifactType", (v) => reader.string(v, "artifactType", 255));
  return {
    mediaType: typeOf(reader, doc, contentType) ?? (isIndex ? (INDEX_TYPES[0] ?? "") : OCI_MANIFEST),
    artifactType: artifactType || (isIndex ? undefined : config?.mediaType),
    subject,
    annotations,
    blobs: [...(config === undefined ? [] : [config]), ...list(reader, doc, "layers"), ...list(reader, doc, "blobs")],
    manifests: list(reader, doc, "manifests"),
  };
}

/** The type that document and sender agree on; undefined when neither names one. */
function typeOf(reader: Reader, doc: JsonObject, contentType: string): string | undefined {
  const { mediaType } = reader.optional(doc, "mediaType", (v) => reader.string(v, "mediaType", 255));
  const sent = contentType.split(";")[0]?.trim().toLowerCase() ?? "";
  if (sent === "" || sent === "application/json" || sent === "application/octet-stream") return mediaType;
  if (mediaType !== undefined && mediaType.toLowerCase() !== sent) {
    throw reader.fail("mediaType", `${mediaType} contradicts the content type ${sent}`);
  }
  return mediaType ?? sent;
}

function list(reader: Reader, doc: JsonObject, field: string): readonly Descriptor[] {
  const value = doc[field] ?? [];
  return reader.array(value, field, MAX_REFERENCES).map((entry, i) => parseDescriptor(reader, entry, `${field}[${i}]`));
}
