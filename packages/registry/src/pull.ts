import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { BerthError } from "@berth/base";
import { algorithmOf, type Digest, INDEX_TYPES, isDigest, MANIFEST_TYPES, MAX_MANIFEST_BYTES } from "@berth/oci";
import { paced, readBody } from "./body.ts";
import type { HttpRequest } from "./http.ts";
import { backOff, persist } from "./retry.ts";
import type { Session } from "./session.ts";
import type { FetchBlobOptions, FetchedManifest } from "./types.ts";

const ACCEPT = [...INDEX_TYPES, ...MANIFEST_TYPES].join(", ");
/** Broken connections that one blob may survive, however far it comes each time. */
const MAX_BREAKS = 100;
/** A connection that brought so much was worth making. */
const WORTH_BYTES = 65_536;

export function fetchManifest(
  session: Session,
  path: string,
  reference: string,
  signal: AbortSignal | undefined,
): Promise<FetchedManifest> {
  const name = `${session.domain}/${path}${isDigest(reference) ? "@" : ":"}${reference}`;
  const call = {
    at: `${path}/manifests/${reference}`,
    scope: `repository:${path}:pull`,
    headers: { accept: ACCEPT },
    ok: [200],
    what: `pull ${name}`,
    signal,
  };
  return persist(signal, async () => {
    const { response, request } = await session.send(call);
    const bytes = await readBody(response, MAX_MANIFEST_BYTES, request);
    const claimed = response.headers["docker-content-digest"];
    for (const want of [reference, claimed]) if (isDigest(want)) verify(bytes, want, name);
    const digest = isDigest(reference) ? reference : digestOf(bytes, "sha256");
    return { bytes, digest, contentType: response.headers["content-type"] ?? "" };
  });
}

function digestOf(bytes: Buffer, algorithm: string): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}

function verify(bytes: Buffer, want: Digest, name: string): void {
  const got = digestOf(bytes, algorithmOf(want));
  if (got === want) return;
  throw new BerthError("DataLoss", `verify manifest of ${name}: it has digest ${got} instead of ${want}`, {
    hint: "pull again; if it repeats, the registry or a proxy changes the bytes",
    details: { want, got },
  });
}

export async function* fetchBlob(
  session: Session,
  path: string,
  digest: Digest,
  options: FetchBlobOptions,
): AsyncGenerator<Uint8Array> {
  const { signal } = options;
  const what = `pull blob ${digest} of ${session.domain}/${path}`;
  const call = { at: `${path}/blobs/${digest}`, scope: `repository:${path}:pull`, ok: [200, 206], what, signal };
  let position = options.offset ?? 0;
  let breaks = 0;
  let start = position;
  for (let attempt = 0; ; attempt++) {
    try {
      start = position;
      const headers: Record<string, string> = position > 0 ? { range: `bytes=${position}-` } : {};
      const { response, request } = await session.send({ ...call, headers });
      for await (const chunk of bodyFrom(response, position, request)) {
        yield chunk;
        position += chunk.length;
        if (position - start >= WORTH_BYTES) attempt = 0;
      }
      return;
    } catch (error) {
      await backOff(error, breaks++ < MAX_BREAKS ? attempt : Number.POSITIVE_INFINITY, signal);
    }
  }
}

/** The body's bytes from `position` on; a server that ignores the range sends the first ones again: they are skipped. */
async function* bodyFrom(
  response: IncomingMessage,
  position: number,
  request: HttpRequest,
): AsyncGenerator<Uint8Array> {
  let skip = response.statusCode === 206 ? position - rangeStart(response) : position;
  if (skip < 0 || Number.isNaN(skip)) {
    response.destroy();
    throw new BerthError("Unavailable", `${request.what}: ${request.url.host} sent another range than asked for`);
  }
  for await (const chunk of paced(response, request)) {
    const rest = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - rest.length;
    if (rest.length > 0) yield rest;
  }
}

function rangeStart(response: IncomingMessage): number {
  return Number(/^bytes (\d{1,15})-/.exec(response.headers["content-range"] ?? "")?.[1] ?? Number.NaN);
}
