import type { IncomingMessage } from "node:http";
import { BerthError, errnoOf } from "@berth/base";
import { Authenticator } from "./auth.ts";
import { readBody } from "./body.ts";
import { findCredentials } from "./credentials.ts";
import { type Endpoint, isSameOrigin, planEndpoint } from "./endpoint.ts";
import { isWrongProtocol, statusError, TransientError } from "./errors.ts";
import { type HttpRequest, IDLE_MS, type Method, openTransport, type Transport } from "./http.ts";
import { CERTS_DIRS, readCertificates } from "./tls.ts";
import type { RegistryOptions } from "./types.ts";

const MAX_ERROR_BYTES = 65_536;

/** One request to a registry, without what the session knows. */
export interface Call {
  readonly method?: Method;
  /** Below `/v2/`, or an address that the registry gave. */
  readonly at: string | URL;
  /** `repository:<path>:<actions>`, several separated by spaces. */
  readonly scope: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: HttpRequest["body"];
  /** Statuses of success. */
  readonly ok: readonly number[];
  /** Begins messages: what the request is for. */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
}

/** The caller consumes or destroys the response. */
export interface Answer {
  readonly response: IncomingMessage;
  readonly request: HttpRequest;
}

/** Connections to one registry: finds the scheme that works and answers challenges on the way. */
export class Session implements Disposable {
  readonly domain: string;
  readonly #endpoint: Endpoint;
  readonly #transport: Transport;
  readonly #auth: Authenticator;
  readonly #idleMs: number;
  /** The scheme that has worked. */
  #scheme: string | undefined;

  constructor(options: RegistryOptions) {
    const { domain, insecure = false, repository } = options;
    const certificates = readCertificates(domain, options.certsDirs ?? CERTS_DIRS, options.caFile);
    this.domain = domain;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#endpoint = planEndpoint(domain, { insecure, hasCa: certificates.ca.length > 0 });
    this.#transport = openTransport({ certificates, insecure });
    const find = async () => options.credentials ?? (await findCredentials(process.env, domain, repository));
    this.#auth = new Authenticator(this.#transport, find, insecure);
  }

  /** A successful answer. One attempt: TransientError says that another one may help. */
  async send(call: Call): Promise<Answer> {
    let authorization = this.#auth.find(call.scope);
    for (let asked = false; ; asked = true) {
      const { response, request } = await this.#sendByScheme(call, authorization);
      const status = response.statusCode ?? 0;
      if (call.ok.includes(status)) return { response, request };
      const body = (await readBody(response, MAX_ERROR_BYTES, request)).toString("utf8");
      if (status === 401 && !asked && this.#isOwn(request.url)) {
        authorization = await this.#auth.answer(response.headers["www-authenticate"] ?? "", call.scope, request);
        if (authorization !== undefined) continue;
      }
      throw statusError(call.what, {
        status,
        body: await this.#auth.redact(body),
        retryAfter: response.headers["retry-after"],
        host: request.url.host,
      });
    }
  }

  /** As {@link send}, for answers whose body nobody needs. */
  async ask(call: Call): Promise<Answer> {
    const answer = await this.send(call);
    // Read to its end, so that the connection can be used again.
    await readBody(answer.response, MAX_ERROR_BYTES, answer.request);
    return answer;
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  /** Sends by the scheme that works; until one has worked, tries them in their order. */
  async #sendByScheme(call: Call, authorization: string | undefined): Promise<Answer> {
    const { schemes } = this.#endpoint;
    if (this.#scheme !== undefined) return await this.#sendAgain(this.#scheme, call, authorization);
    let first: unknown;
    for (const scheme of schemes) {
      try {
        const answer = await this.#send(scheme, call, authorization);
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
  async #sendAgain(scheme: string, call: Call, authorization: string | undefined): Promise<Answer> {
    try {
      return await this.#send(scheme, call, authorization);
    } catch (error) {
      if (error instanceof BerthError && errnoOf(error.cause) === "ECONNREFUSED") throw new TransientError(error);
      throw error;
    }
  }

  async #send(scheme: string, call: Call, authorization: string | undefined): Promise<Answer> {
    const { at, what, signal, method = "GET", body } = call;
    const url = typeof at === "string" ? new URL(`${scheme}://${this.#endpoint.host}/v2/${at}`) : at;
    const isAllowed = authorization !== undefined && (typeof at === "string" || this.#isOwn(url));
    const headers = { ...call.headers, ...(isAllowed ? { authorization } : {}) };
    const request: HttpRequest = { url, method, headers, body, what, signal, idleMs: this.#idleMs };
    return { response: await this.#transport.send(request), request };
  }

  /** True for addresses of this registry: no other one may see its credentials. */
  #isOwn(url: URL): boolean {
    const scheme = this.#scheme ?? url.protocol.slice(0, -1);
    return isSameOrigin(url, new URL(`${scheme}://${this.#endpoint.host}`));
  }
}

/** True for failures after which another scheme is worth a try. */
function mayBeWrongScheme(error: unknown, scheme: string): boolean {
  const known = error instanceof TransientError ? error.final : error;
  const cause = known instanceof BerthError ? known.cause : undefined;
  // Behind a proxy for plain HTTP only, the host's name may be unknown here.
  const isUnreachable = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"].includes(errnoOf(cause) ?? "");
  return isWrongProtocol(cause) || (scheme === "https" && isUnreachable);
}
