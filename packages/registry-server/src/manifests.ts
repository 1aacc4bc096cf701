import { createHash } from "node:crypto";
import { isCode } from "@berth/base";
import {
  algorithmOf,
  type Digest,
  isDigest,
  isTag,
  MAX_MANIFEST_BYTES,
  parseStoredManifest,
  type StoredManifest,
} from "@berth/oci";
import { badDigest, notAllowed, Refusal, unknownManifest } from "./errors.ts";
import type { Call, Reply, Site } from "./types.ts";

/** distribution-spec asks for at least 10. */
const MAX_TAGS = 100;

/** GET, HEAD, PUT and DELETE of a manifest by tag or digest. */
export async function answerManifest(site: Site, call: Call, name: string, reference: string): Promise<Reply> {
  if (reference.includes(":") ? !isDigest(reference) : !isTag(reference)) {
    throw reference.includes(":") ? badDigest(reference) : new Refusal(400, "MANIFEST_INVALID", "invalid tag");
  }
  switch (call.method) {
    case "GET":
    case "HEAD":
      return read(site, call, name, reference);
    case "PUT":
      return await put(site, call, name, reference);
    case "DELETE":
      return remove(site, name, reference);
    default:
      throw notAllowed(call.method);
  }
}

function read(site: Site, call: Call, name: string, reference: string): Reply {
  const found = site.repositories.findManifest(name, reference);
  if (found === undefined) throw unknownManifest(reference);
  const headers = {
    "content-type": found.mediaType,
    "content-length": found.sizeBytes,
    "docker-content-digest": found.digest,
    etag: `"${found.digest}"`,
  };
  if (call.request.headers["if-none-match"] === `"${found.digest}"`) return { status: 304, headers };
  if (call.method === "HEAD") return { status: 200, headers };
  try {
    return { status: 200, headers, body: site.repositories.readManifest(found.digest) };
  } catch (error) {
    // Deleted between the question and the answer.
    if (isCode(error, "NotFound")) throw unknownManifest(reference);
    throw error;
  }
}

async function put(site: Site, call: Call, name: string, reference: string): Promise<Reply> {
  const bytes = await readBody(call);
  const document = parse(bytes, call.request.headers["content-type"] ?? "");
  const algorithm = isDigest(reference) ? algorithmOf(reference) : "sha256";
  const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
  if (isDigest(reference) && reference !== digest) {
    throw new Refusal(400, "DIGEST_INVALID", `the manifest has digest ${digest}`, { detail: { digest: reference } });
  }
  const tags = tagsOf(call, reference);
  const missing = site.requireBlobs ? site.repositories.missing(name, document) : [];
  if (missing.length > 0) {
    throw new Refusal(400, "MANIFEST_BLOB_UNKNOWN", "the manifest names blobs that the repository does not have", {
      detail: missing.slice(0, 20).map((one) => one.digest),
    });
  }
  site.repositories.putManifest(name, { bytes, digest, document, tags });
  return {
    status: 201,
    headers: {
      location: `/v2/${name}/manifests/${reference}`,
      "docker-content-digest": digest,
      ...(document.subject === undefined ? {} : { "oci-subject": document.subject.digest }),
      ...(isDigest(reference) && tags.length > 0 ? { "oci-tag": tags.join(", ") } : {}),
    },
  };
}

function parse(bytes: Buffer, contentType: string): StoredManifest {
  try {
    return parseStoredManifest(bytes, "manifest", contentType);
  } catch (error) {
    if (isCode(error, "InvalidArgument")) throw new Refusal(400, "MANIFEST_INVALID", error.message);
    throw error;
  }
}

/** The tag of the path, or the `tag` parameters that go with a digest. */
function tagsOf(call: Call, reference: string): readonly string[] {
  if (!isDigest(reference)) return [reference];
  const tags = [...new Set(call.query.getAll("tag"))];
  if (tags.length > MAX_TAGS) throw new Refusal(414, "UNSUPPORTED", `more than ${MAX_TAGS} tags at once`);
  if (!tags.every(isTag)) throw new Refusal(400, "MANIFEST_INVALID", "invalid tag");
  return tags;
}

async function readBody(call: Call): Promise<Buffer> {
  const tooLong = (): Refusal =>
    new Refusal(413, "SIZE_INVALID", `the manifest is longer than the allowed ${MAX_MANIFEST_BYTES} bytes`);
  if (Number(call.request.headers["content-length"] ?? 0) > MAX_MANIFEST_BYTES) throw tooLong();
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of call.body()) {
    length += chunk.length;
    if (length > MAX_MANIFEST_BYTES) throw tooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function remove(site: Site, name: string, reference: string): Reply {
  const { repositories } = site;
  const isGone = isDigest(reference)
    ? repositories.removeManifest(name, reference)
    : repositories.removeTag(name, reference);
  if (!isGone) throw unknownManifest(reference);
  site.deleted();
  return { status: 202 };
}
