import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { BerthError, errnoOf } from "@berth/base";
import { type Digest, INDEX_TYPES, isDigest, MANIFEST_TYPES, MAX_MANIFEST_BYTES } from "@berth/oci";
import { Authenticator } from "./auth.ts";
import { dockerConfigPath, findCredentials } from "./credentials.ts";
import { type Endpoint, planEndpoint } from "./endpoint.ts";
import { connectionError, isWrongProtocol, statusError, TransientError } from "./errors.ts";
import { type HttpRequest, openTransport, readBody, type Transport } from "./http.ts";
import { backOff } from "./retry.ts";
import { CERTS_DIRS, readCertificates } from "./tls.ts";
import type { FetchBlobOptions, FetchedManifest, Registry, RegistryOptions } from "./types.ts";

const ACCEPT = [...INDEX_TYPES, ...MANIFEST_TYPES].join(", ");
/** Broken connections that one blob may survive, however far it comes each time. */
const MAX_BREAKS = 100;
const MAX_ERROR_BYTES = 65_536;

/**
 * A client for one registry. Nothing is sent yet.
 *
 * @throws {BerthError} when a certificate cannot be read
 */
export function openRegistry(options: RegistryOptions): Registry {
  return new HttpRegistry(options);
}

interface Get {
  readonly path: string;
  /** Below `/v2/<path>/`. */
  readonly resource: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly what: string;
  readonly signal: AbortSignal | undefined;
}

interface Answer {
  readonly response: IncomingMessage;
  readonly request: HttpRequest;
}

class HttpRegistry implements Registry {
  readonly #domain: string;
  readonly #endpoint: Endpoint;
  readonly #transport: Transport;
  readonly #auth: Authenticator;
  /** The scheme that has worked. */
  #scheme: string | undefined;

  constructor(options: RegistryOptions) {
    const { domain, insecure = false } = options;
    const certificates = readCertificates(domain, options.certsDirs ?? CERTS_DIRS, options.caFile);
    this.#domain = domain;
    this.#endpoint = planEndpoint(domain, { insecure, hasCa: certificates.ca.length > 0 });
    this.#transport = openTransport({ certificates, insecure });
    const find = async () => options.credentials ?? (await findCredentials(dockerConfigPath(process.env), domain));
    this.#auth = new Authenticator(this.#transport, find, insecure);
  }

  async fetchManifest(path: string, reference: string, signal?: AbortSignal): Promise<FetchedManifest> {
    const name = `${this.#domain}/${path}${isDigest(reference) ? "@" : ":"}${reference}`;
    const get: Get = {
      path,
      resource: `manifests/${reference}`,
      headers: { accept: ACCEPT },
      what: `pull ${name}`,
      signal,
    };
    for (let attempt = 0; ; attempt++) {
      try {
        const { response, request } = await this.#get(get);
        const bytes = await readBody(response, MAX_MANIFEST_BYTES, request);
        const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
        const claimed = response.headers["docker-content-digest"];
        for (const want of [reference, claimed])
          if (isDigest(want) && want !== digest) throw wrongManifest(name, want, digest);
        return { bytes, digest, contentType: response.headers["content-type"] ?? "" };
      } catch (error) {
        await backOff(error, attempt, signal);
      }
    }
  }

  async *fetchBlob(path: string, digest: Digest, options: FetchBlobOptions = {}): AsyncGenerator<Uint8Array> {
    const { signal } = options;
    const what = `pull blob ${digest} of ${this.#domain}/${path}`;
    let position = options.offset ?? 0;
    let breaks = 0;
    for (let attempt = 0; ; attempt++) {
      try {
        const headers: Record<string, string> = position > 0 ? { range: `bytes=${position}-` } : {};
        const { response, request } = await this.#get({ path, resource: `blobs/${digest}`, headers, what, signal });
        for await (const chunk of bodyFrom(response, position, request)) {
          yield chunk;
          position += chunk.length;
          attempt = 0;
        }
        return;
      } catch (error) {
        await backOff(error, breaks++ < MAX_BREAKS ? attempt : Number.POSITIVE_INFINITY, signal);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  /** A successful answer; answers a challenge and finds the scheme on the way. */
  async #get(get: Get): Promise<Answer> {
    const scope = `repository:${get.path}:pull`;
    let authorization = this.#auth.find(scope);
    for (let asked = false; ; asked = true) {
      const headers = { ...get.headers, ...(authorization === undefined ? {} : { authorization }) };
      const { response, request } = await this.#sendByScheme(get, headers);
      const status = response.statusCode ?? 0;
      if (status === 200 || status === 206) return { response, request };
      const body = (await readBody(response, MAX_ERROR_BYTES, request)).toString("utf8");
      if (status === 401 && !asked) {
        authorization = await this.#auth.answer(response.headers["www-authenticate"] ?? "", scope, request);
        if (authorization !== undefined) continue;
      }
      throw statusError(get.what, {
        status,
        body,
        retryAfter: response.headers["retry-after"],
        host: request.url.host,
      });
    }
  }

  /** Sends by the scheme that works; until one has worked, tries them in their order. */
  async #sendByScheme(get: Get, headers: Readonly<Record<string, string>>): Promise<Answer> {
    const { schemes } = this.#endpoint;
    if (this.#scheme !== undefined) return await this.#sendAgain(this.#scheme, get, headers);
    let first: unknown;
    for (const scheme of schemes) {
      try {
        const answer = await this.#send(scheme, get, headers);
        // What servers that want TLS say to a plain request.
        const isWrong = scheme === "http" && answer.response.statusCode === 400;
        if (!isWrong || answer.response.headers["docker-distribution-api-version"] || scheme === schemes.at(-1)) {
          this.#scheme = scheme;
          return answer;
        }
        answer.response.destroy();
      } catch (error) {
        if (!mayBeWrongScheme(error, scheme)) throw error;
        first ??= error;
      }
    }
    throw first;
  }

  /** To a server that has answered before: when it refuses connections now, it may be restarting. */
  async #sendAgain(scheme: string, get: Get, headers: Readonly<Record<string, string>>): Promise<Answer> {
    try {
      return await this.#send(scheme, get, headers);
    } catch (error) {
      if (error instanceof BerthError && errnoOf(error.cause) === "ECONNREFUSED") throw new TransientError(error);
      throw error;
    }
  }

  async #send(scheme: string, get: Get, headers: Readonly<Record<string, string>>): Promise<Answer> {
    const url = new URL(`${scheme}://${this.#endpoint.host}/v2/${get.path}/${get.resource}`);
    const request: HttpRequest = { url, headers, what: get.what, signal: get.signal };
    return { response: await this.#transport.send(request), request };
  }
}

/** True for failures after which another scheme is worth a try. */
function mayBeWrongScheme(error: unknown, scheme: string): boolean {
  const known = error instanceof TransientError ? error.final : error;
  const cause = known instanceof BerthError ? known.cause : undefined;
  return isWrongProtocol(cause) || (scheme === "https" && errnoOf(cause) === "ECONNREFUSED");
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
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      const rest = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length));
      skip -= chunk.length - rest.length;
      if (rest.length > 0) yield rest;
    }
  } catch (error) {
    throw connectionError(request.what, request.url, error);
  }
}

function rangeStart(response: IncomingMessage): number {
  return Number(/^bytes (\d{1,15})-/.exec(response.headers["content-range"] ?? "")?.[1] ?? Number.NaN);
}

const wrongManifest = (name: string, want: string, got: Digest): BerthError =>
  new BerthError("DataLoss", `verify manifest of ${name}: it has digest ${got} instead of ${want}`, {
    hint: "pull again; if it repeats, the registry or a proxy changes the bytes",
    details: { want, got },
  });
