import { BerthError } from "@berth/base";
import { isDigest } from "./digest.ts";
import { type JsonObject, Reader } from "./json.ts";
import { INDEX_TYPES, MANIFEST_TYPES } from "./media-types.ts";
import type { Descriptor, Platform } from "./types.ts";

/** Longest manifest or index that is read, bytes (distribution-spec asks for at least 4 MiB). */
export const MAX_MANIFEST_BYTES: number = 8 * 1024 * 1024;
/** Overlayfs takes 500 lower layers at most (fs/overlayfs, OVL_MAX_STACK). */
const MAX_LAYERS = 500;
const MAX_MANIFESTS = 10_000;

/** image-spec "OCI Image Manifest". */
export interface Manifest {
  readonly kind: "manifest";
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** image-spec "OCI Image Index". */
export interface Index {
  readonly kind: "index";
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * Reads a manifest or an index, OCI or docker.
 *
 * @param what names the document in messages, for example `manifest sha256:…`
 * @param contentType what the sender called it; must agree with the document when both are known types
 * @throws {BerthError} InvalidArgument when malformed or ambiguous; Unimplemented for docker's schema 1
 */
export function parseManifest(bytes: Uint8Array, what: string, contentType?: string): Manifest | Index {
  const reader = new Reader(what);
  const doc = reader.parse(bytes, MAX_MANIFEST_BYTES);
  if (doc["schemaVersion"] === 1) {
    throw new BerthError("Unimplemented", `read ${what}: docker's image format schema 1 is not supported`, {
      hint: "ask the publisher to push the image again with a current tool",
    });
  }
  if (doc["schemaVersion"] !== 2) throw reader.fail("schemaVersion", "not 2");
  const { mediaType: declared = "" } = reader.optional(doc, "mediaType", (v) => reader.string(v, "mediaType", 255));
  const type = agreedType(reader, declared, contentType?.split(";")[0]?.trim() ?? "");
  const isIndex = "manifests" in doc;
  // A document that is both could be read as one thing by one tool and as the other by the next (CVE-2021-41190).
  if (isIndex === ("layers" in doc || "config" in doc)) {
    throw reader.fail("", isIndex ? "both a manifest and an index" : "neither a manifest nor an index");
  }
  if ((isIndex ? MANIFEST_TYPES : INDEX_TYPES).includes(type))
    throw reader.fail("", `its fields contradict its type ${type}`);
  return isIndex ? toIndex(reader, doc, type) : toManifest(reader, doc, type);
}

function toIndex(reader: Reader, doc: JsonObject, type: string): Index {
  const manifests = reader.array(doc["manifests"], "manifests", MAX_MANIFESTS);
  return {
    kind: "index",
    mediaType: type || (INDEX_TYPES[0] ?? ""),
    manifests: manifests.map((entry, i) => parseDescriptor(reader, entry, `manifests[${i}]`)),
    ...reader.optional(doc, "annotations", (v) => reader.stringMap(v, "annotations")),
  };
}

function toManifest(reader: Reader, doc: JsonObject, type: string): Manifest {
  const layers = reader.array(doc["layers"], "layers", MAX_LAYERS);
  return {
    kind: "manifest",
    mediaType: type || (MANIFEST_TYPES[0] ?? ""),
    config: parseDescriptor(reader, doc["config"], "config"),
    layers: layers.map((layer, i) => parseDescriptor(reader, layer, `layers[${i}]`)),
    ...reader.optional(doc, "artifactType", (v) => reader.string(v, "artifactType", 255)),
    ...reader.optional(doc, "annotations", (v) => reader.stringMap(v, "annotations")),
  };
}

/** The known type of the two, or "": servers say application/json or octet-stream for anything. */
function agreedType(reader: Reader, declared: string, sent: string): string {
  const known = [...INDEX_TYPES, ...MANIFEST_TYPES];
  if (known.includes(declared) && known.includes(sent) && declared !== sent) {
    throw reader.fail("mediaType", `${declared} contradicts the content type ${sent}`);
  }
  return known.includes(declared) ? declared : known.includes(sent) ? sent : "";
}

export function parseDescriptor(reader: Reader, value: unknown, field: string): Descriptor {
  const doc = reader.object(value, field);
  const { digest, size } = doc;
  if (!isDigest(digest)) throw reader.fail(`${field}.digest`, "neither a sha256 nor a sha512 digest");
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw reader.fail(`${field}.size`, "not a size");
  return {
    mediaType: reader.string(doc["mediaType"], `${field}.mediaType`, 255),
    digest,
    size,
    ...reader.optional(doc, "annotations", (v) => reader.stringMap(v, `${field}.annotations`)),
    ...reader.optional(doc, "platform", (v) => parsePlatformField(reader, v, `${field}.platform`)),
    ...reader.optional(doc, "artifactType", (v) => reader.string(v, `${field}.artifactType`, 255)),
    ...reader.optional(doc, "data", (v) => reader.string(v, `${field}.data`, MAX_MANIFEST_BYTES)),
    ...reader.optional(doc, "urls", (v) => reader.strings(v, `${field}.urls`)),
  };
}

function parsePlatformField(reader: Reader, value: unknown, field: string): Platform {
  const doc = reader.object(value, field);
  return {
    os: reader.string(doc["os"], `${field}.os`, 64),
    architecture: reader.string(doc["architecture"], `${field}.architecture`, 64),
    ...reader.optional(doc, "variant", (v) => reader.string(v, `${field}.variant`, 64)),
  };
}
