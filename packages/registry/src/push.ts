import { BerthError, isCode } from "@berth/base";
import { algorithmOf, isDigest, parseStoredManifest } from "@berth/oci";
import { TransientError } from "./errors.ts";
import { addReferrer } from "./referrers.ts";
import { backOff, persist } from "./retry.ts";
import type { Answer, Call, Session } from "./session.ts";
import type { PushedBlob, PushedBy, PushedManifest } from "./types.ts";

/** Broken connections that one blob may survive, however far it comes each time. */
const MAX_BREAKS = 100;

/** For a registry that may not answer at all. */
const CANCEL_MS = 1000;

/** An upload that the registry has opened. */
interface Upload {
  /** Where the next request goes; each answer may name another place. */
  readonly place: URL;
  /** Bytes that the registry has. */
  readonly offset: number;
  /** Smallest chunk that the registry takes. */
  readonly minChunk: number;
}

/** What the requests of one push have in common. */
interface Push {
  readonly session: Session;
  readonly path: string;
  readonly blob: PushedBlob;
  readonly call: Pick<Call, "scope" | "what" | "signal">;
}

/** Sends a blob unless the repository has it. */
export async function pushBlob(session: Session, path: string, blob: PushedBlob): Promise<PushedBy> {
  const { signal, mountFrom } = blob;
  const what = `push blob ${blob.digest} to ${session.domain}/${path}`;
  const scope = [`repository:${path}:pull,push`, ...(mountFrom === undefined ? [] : [`repository:${mountFrom}:pull`])];
  const push: Push = { session, path, blob, call: { scope: scope.join(" "), what, signal } };
  if (await persist(signal, () => isThere(push))) return "exists";
  let place: URL | undefined;
  let best = 0;
  let breaks = 0;
  for (let attempt = 0; ; attempt++) {
    try {
      const upload = (place === undefined ? undefined : await resume(push, place)) ?? (await begin(push));
      if (upload === "mounted") return "mounted";
      place = upload.place;
      // As long as it comes further, another attempt is worth it.
      if (upload.offset > best && breaks < MAX_BREAKS) attempt = 0;
      best = Math.max(best, upload.offset);
      if (await finish(push, upload, (at) => (place = at))) return "uploaded";
      place = undefined;
    } catch (error) {
      breaks++;
      try {
        await backOff(error, attempt, signal);
      } catch (final) {
        if (place !== undefined) await cancel(push, place);
        throw final;
      }
    }
  }
}

/**
 * Nobody will go on with this upload: its bytes need not stay in the registry until that finds out by itself. The registry may
 * be what failed, so that it is not waited for long, and nothing is said.
 */
async function cancel({ session, call }: Push, place: URL): Promise<void> {
  const signal = AbortSignal.timeout(CANCEL_MS);
  try {
    await session.ask({ ...call, signal, method: "DELETE", at: place, ok: [200, 202, 204] });
  } catch (error) {
    if (!(error instanceof BerthError) && !(error instanceof TransientError)) throw error;
  }
}

async function isThere({ session, path, blob, call }: Push): Promise<boolean> {
  try {
    await session.ask({ ...call, method: "HEAD", at: `${path}/blobs/${blob.digest}`, ok: [200] });
    return true;
  } catch (error) {
    if (isCode(error, "NotFound")) return false;
    throw error;
  }
}

/**
 * Opens an upload, or finds that the registry takes the blob from another repository. Without a known one it may look
 * for itself (distribution-spec "Mounting a blob"); registries that do not know that open an upload as well.
 */
async function begin(push: Push): Promise<Upload | "mounted"> {
  const { blob, call } = push;
  const mount = { mount: blob.digest, ...(blob.mountFrom === undefined ? {} : { from: blob.mountFrom }) };
  let answer: Answer;
  try {
    answer = await post(push, mount);
  } catch (error) {
    // One that takes a mount without a source for a mistake.
    if (blob.mountFrom !== undefined || !isCode(error, "Unavailable") || error.details?.["status"] !== 400) throw error;
    answer = await post(push, {});
  }
  if (answer.response.statusCode === 201) return "mounted";
  const minChunk = Number(answer.response.headers["oci-chunk-min-length"] ?? 0);
  return { place: placeOf(answer, call.what), offset: 0, minChunk: Number.isSafeInteger(minChunk) ? minChunk : 0 };
}

function post({ session, path, blob, call }: Push, mount: Readonly<Record<string, string>>): Promise<Answer> {
  const algorithm = algorithmOf(blob.digest);
  const query = new URLSearchParams({ ...mount, ...(algorithm === "sha256" ? {} : { "digest-algorithm": algorithm }) });
  const at = `${path}/blobs/uploads/${query.size === 0 ? "" : `?${query}`}`;
  return session.ask({ ...call, method: "POST", at, ok: [201, 202] });
}

/** How far a broken upload is; undefined when it is to be begun again. */
async function resume({ session, call }: Push, place: URL): Promise<Upload | undefined> {
  try {
    const answer = await session.ask({ ...call, at: place, ok: [204, 200, 202] });
    const last = Number(/^(?:bytes=)?0-(\d{1,15})$/.exec(answer.response.headers["range"] ?? "")?.[1] ?? 0);
    // 0-0 is said of one byte and of none.
    return last === 0 ? undefined : { place: placeOf(answer, call.what), offset: last + 1, minChunk: 0 };
  } catch (error) {
    if (error instanceof BerthError && error.code !== "Cancelled") return undefined;
    throw error;
  }
}

/**
 * Sends what is missing and closes the upload.
 *
 * @returns false when it was a resumed one and the registry has other bytes than it told: it is to be sent afresh
 */
async function finish(push: Push, upload: Upload, moved: (place: URL) => void): Promise<boolean> {
  try {
    await send(push, upload, moved);
    return true;
  } catch (error) {
    if (upload.offset > 0 && isCode(error, "DataLoss")) return false;
    // It has got more from the broken connection since it told how far it is: ask once more.
    if (error instanceof BerthError && error.details?.["status"] === 416) throw new TransientError(error);
    throw error;
  }
}

async function send(push: Push, upload: Upload, moved: (place: URL) => void): Promise<void> {
  const { session, blob, call } = push;
  const { size, chunkBytes } = blob;
  let { place, offset } = upload;
  const put = (body: Call["body"]): Promise<Answer> =>
    session.ask({ ...call, method: "PUT", at: withDigest(place, blob.digest), headers: OCTETS, body, ok: [201, 204] });
  if (chunkBytes === undefined && offset === 0) {
    await put(bodyOf(blob, 0, size));
    return;
  }
  if (offset > size) throw new BerthError("DataLoss", `${call.what}: the registry has ${offset} of ${size} bytes`);
  while (offset < size) {
    const end = Math.min(offset + Math.max(chunkBytes ?? size, upload.minChunk, 1), size);
    const headers = { ...OCTETS, "content-range": `${offset}-${end - 1}` };
    const body = bodyOf(blob, offset, end);
    const answer = await session.ask({ ...call, method: "PATCH", at: place, headers, body, ok: [202, 204] });
    place = placeOf(answer, call.what);
    moved(place);
    offset = end;
  }
  await put(undefined);
}

const OCTETS = { "content-type": "application/octet-stream" };

function bodyOf(blob: PushedBlob, start: number, end: number): NonNullable<Call["body"]> {
  const open = async function* (): AsyncGenerator<Uint8Array> {
    let done = start;
    blob.onProgress?.(done);
    for await (const chunk of blob.open(start, end)) {
      yield chunk;
      done += chunk.length;
      blob.onProgress?.(done);
    }
  };
  return { length: end - start, open };
}

function placeOf({ response, request }: Answer, what: string): URL {
  const place = URL.parse(response.headers.location ?? "", request.url);
  if (place !== null && /^https?:$/.test(place.protocol)) return place;
  throw new BerthError("Unavailable", `${what}: ${request.url.host} names no place for the upload`);
}

/** Written behind the query as it is: it may be signed. */
function withDigest(place: URL, digest: string): URL {
  const url = new URL(place);
  url.search = `${url.search === "" ? "?" : `${url.search}&`}digest=${encodeURIComponent(digest)}`;
  return url;
}

/** A manifest on its way. */
export interface ManifestPush extends PushedManifest {
  readonly reference: string;
  readonly signal: AbortSignal | undefined;
}

export async function pushManifest(session: Session, path: string, push: ManifestPush): Promise<void> {
  const { reference, bytes, mediaType, signal } = push;
  const name = `${session.domain}/${path}${isDigest(reference) ? "@" : ":"}${reference}`;
  const { response } = await persist(signal, () =>
    session.ask({
      method: "PUT",
      at: `${path}/manifests/${reference}`,
      scope: `repository:${path}:pull,push`,
      headers: { "content-type": mediaType },
      body: bytes,
      ok: [201],
      what: `push ${name}`,
      signal,
    }),
  );
  const document = parseStoredManifest(bytes, `manifest of ${name}`, mediaType);
  if (document.subject === undefined || response.headers["oci-subject"] !== undefined) return;
  await addReferrer(session, path, { bytes, document, subject: document.subject, signal });
}
