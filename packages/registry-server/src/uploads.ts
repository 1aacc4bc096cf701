import { randomUUID } from "node:crypto";
import { isCode } from "@berth/base";
import type { Repositories } from "@berth/engine";
import { type Digest, type DigestAlgorithm, isDigest, isRepositoryPath } from "@berth/oci";
import { badDigest, notAllowed, Refusal } from "./errors.ts";
import { parseChunkRange } from "./range.ts";
import type { Call, Reply, Site } from "./types.ts";

type Upload = ReturnType<Repositories["beginUpload"]>;

/** Open uploads that nobody has used for so long give back their descriptor; they can still be gone on with. */
const IDLE_MS = 600_000;

interface Session {
  readonly upload: Upload;
  /** Aborts the request that is sending now. */
  interrupt: (() => void) | undefined;
  /** Settles when the last request that was sending is through. */
  sent: Promise<unknown>;
  usedAtMs: number;
}

/** The uploads of one server; any of them can be taken up again by another one, or after a restart. */
export class Uploads implements AsyncDisposable {
  readonly #site: Site;
  readonly #sessions = new Map<string, Session>();

  constructor(site: Site) {
    this.#site = site;
  }

  /** POST: begins an upload, takes over a blob of another repository, or stores a blob at once. */
  async answerStart(call: Call, name: string): Promise<Reply> {
    if (call.method !== "POST") throw notAllowed(call.method);
    const { repositories } = this.#site;
    const mount = call.query.get("mount");
    if (mount !== null) {
      const from = call.query.get("from") ?? undefined;
      if (!isDigest(mount)) throw badDigest(mount);
      const isName = from === undefined || isRepositoryPath(from);
      if (isName && repositories.mountBlob(name, mount, from)) return stored(name, mount);
    }
    const digest = call.query.get("digest");
    if (digest !== null && !isDigest(digest)) throw badDigest(digest);
    const algorithm = algorithmFor(call, digest);
    await this.#closeIdle();
    const id = randomUUID();
    const session = this.#add(name, id, repositories.beginUpload(name, id, algorithm));
    if (digest === null || mount !== null) return going(202, name, id, session.upload);
    await this.#receive(session, call, keyOf(name, id));
    return await this.#commit(session, name, id, digest);
  }

  /** PATCH: a chunk; PUT: the last one, or none, and the end; GET: how far it is; DELETE: forgets it. */
  async answerUpload(call: Call, name: string, id: string): Promise<Reply> {
    const session = this.#find(name, id);
    session.usedAtMs = Date.now();
    switch (call.method) {
      case "GET":
      case "HEAD":
        return going(204, name, id, session.upload);
      case "PATCH":
        await this.#receive(session, call, keyOf(name, id));
        return going(202, name, id, session.upload);
      case "PUT": {
        const digest = call.query.get("digest") ?? "";
        if (!isDigest(digest)) throw badDigest(digest);
        await this.#receive(session, call, keyOf(name, id));
        return await this.#commit(session, name, id, digest);
      }
      case "DELETE":
        session.interrupt?.();
        await session.sent;
        this.#sessions.delete(keyOf(name, id));
        await session.upload.remove();
        return { status: 204 };
      default:
        throw notAllowed(call.method);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const { upload } of sessions) await upload.close();
  }

  #find(name: string, id: string): Session {
    const known = this.#sessions.get(keyOf(name, id));
    if (known !== undefined) return known;
    const upload = this.#site.repositories.findUpload(name, id);
    if (upload !== undefined) return this.#add(name, id, upload);
    throw new Refusal(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown to the repository", { detail: { id } });
  }

  #add(name: string, id: string, upload: Upload): Session {
    const session: Session = { upload, interrupt: undefined, sent: Promise.resolve(), usedAtMs: Date.now() };
    this.#sessions.set(keyOf(name, id), session);
    return session;
  }

  /** Takes the body of one request at a time: whoever comes later has given up on the earlier connection. */
  async #receive(session: Session, call: Call, key: string): Promise<void> {
    session.interrupt?.();
    const before = session.sent;
    const interrupt = (): void => void call.request.destroy();
    session.interrupt = interrupt;
    const receiving = before.then(async () => {
      checkChunk(session.upload, call);
      await session.upload.append(call.body());
    });
    session.sent = receiving.catch(() => {});
    try {
      await receiving;
    } catch (error) {
      // On a full disk nothing waits to be gone on with: others need the space.
      if (isCode(error, "ResourceExhausted") && this.#sessions.delete(key)) await session.upload.remove();
      throw error;
    } finally {
      if (session.interrupt === interrupt) session.interrupt = undefined;
      session.usedAtMs = Date.now();
    }
  }

  async #commit(session: Session, name: string, id: string, digest: Digest): Promise<Reply> {
    // From here on nobody else may have it; what does not have the digest is gone.
    this.#sessions.delete(keyOf(name, id));
    try {
      await this.#site.repositories.commitUpload(name, session.upload, digest);
    } catch (error) {
      if (isCode(error, "ResourceExhausted")) await session.upload.remove();
      else await session.upload.close();
      throw error;
    }
    return stored(name, digest);
  }

  async #closeIdle(): Promise<void> {
    const before = Date.now() - IDLE_MS;
    const idle = [...this.#sessions].filter(([, one]) => one.interrupt === undefined && one.usedAtMs < before);
    for (const [key, { upload }] of idle) {
      this.#sessions.delete(key);
      await upload.close();
    }
  }
}

const keyOf = (name: string, id: string): string => `${name}/${id}`;

function algorithmFor(call: Call, digest: string | null): DigestAlgorithm {
  const asked = call.query.get("digest-algorithm") ?? digest?.split(":")[0] ?? "sha256";
  if (asked === "sha256" || asked === "sha512") return asked;
  throw new Refusal(400, "DIGEST_INVALID", `digest algorithm ${asked.slice(0, 40)} is not supported`);
}

/** A chunk that names its place must follow what is there. */
function checkChunk(upload: Upload, call: Call): void {
  const header = call.request.headers["content-range"];
  if (header === undefined) return;
  const range = parseChunkRange(header);
  if (range === undefined) throw new Refusal(400, "BLOB_UPLOAD_INVALID", "malformed Content-Range");
  const length = call.request.headers["content-length"];
  if (length !== undefined && Number(length) !== range.length) {
    throw new Refusal(400, "SIZE_INVALID", `Content-Range is for ${range.length} bytes, Content-Length is ${length}`);
  }
  if (range.start !== upload.length) {
    throw new Refusal(416, "BLOB_UPLOAD_INVALID", `the next chunk begins at ${upload.length}, not ${range.start}`, {
      headers: { range: rangeOf(upload) },
    });
  }
}

/** What is there, first and last byte; docker's registry writes the same for no byte and for one. */
const rangeOf = (upload: Upload): string => `0-${Math.max(upload.length - 1, 0)}`;

function going(status: number, name: string, id: string, upload: Upload): Reply {
  return {
    status,
    headers: { location: `/v2/${name}/blobs/uploads/${id}`, range: rangeOf(upload), "docker-upload-uuid": id },
  };
}

function stored(name: string, digest: Digest): Reply {
  return { status: 201, headers: { location: `/v2/${name}/blobs/${digest}`, "docker-content-digest": digest } };
}
