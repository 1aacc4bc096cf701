import { Agent, type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestSecure, Agent as SecureAgent } from "node:https";
import { BerthError } from "@berth/base";
import { pump, readBody } from "./body.ts";
import { isLoopback, isSameOrigin } from "./endpoint.ts";
import { connectionError, idleTimeout } from "./errors.ts";
import type { Certificates } from "./tls.ts";
import { systemAuthorities } from "./tls.ts";

/** Silence that is borne, ms. */
export const IDLE_MS = 60_000;
/** After an upload the server may have to read all of it once more. */
const UPLOAD_PATIENCE = 5;
const MAX_REDIRECTS = 10;
const MAX_REDIRECT_BYTES = 65_536;
const MAX_SOCKETS = 8;

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Bytes that are made while they are sent; a broken request may ask for them again. A chunk lasts until the next one. */
export interface StreamedBody {
  readonly length: number;
  readonly open: () => AsyncIterable<Uint8Array>;
}

export interface HttpRequest {
  readonly url: URL;
  readonly method?: Method;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | StreamedBody | undefined;
  /** Begins messages: what the request is for. */
  readonly what: string;
  /** Silence that is borne, ms. */
  readonly idleMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Transport extends Disposable {
  /** Follows redirects; headers that carry credentials go to the first host only. The caller consumes or destroys it. */
  send(request: HttpRequest): Promise<IncomingMessage>;
}

export interface TransportOptions {
  readonly certificates: Certificates;
  /** Plain HTTP and unverified TLS are allowed to any host. */
  readonly insecure: boolean;
}

/** Opens connections that are kept for further requests. What HTTPS needs is read when it is first needed. */
export function openTransport(options: TransportOptions): Transport {
  const stack = new DisposableStack();
  const plain = once(() => {
    const agent = stack.adopt(new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS }), (a) => a.destroy());
    const proxied = stack.adopt(new Agent({ keepAlive: true, proxyEnv: process.env }), (a) => a.destroy());
    return { request: requestPlain, agentFor: (url: URL) => (isLoopback(url.hostname) ? agent : proxied) };
  });
  const secure = once(() => {
    const { ca, cert, key } = options.certificates;
    const settings = {
      keepAlive: true,
      maxSockets: MAX_SOCKETS,
      ca: [...new Set([...systemAuthorities(), ...ca])],
      rejectUnauthorized: !options.insecure,
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
    };
    const agent = stack.adopt(new SecureAgent(settings), (a) => a.destroy());
    const proxied = stack.adopt(new SecureAgent({ ...settings, proxyEnv: process.env }), (a) => a.destroy());
    return { request: requestSecure, agentFor: (url: URL) => (isLoopback(url.hostname) ? agent : proxied) };
  });
  return {
    send: async (request) => {
      let { url, headers } = request;
      for (let hops = 0; ; hops++) {
        if (url.protocol === "http:" && !options.insecure && !isLoopback(url.hostname))
          throw plainRefused(request.what, url);
        const { request: open, agentFor } = url.protocol === "http:" ? plain() : secure();
        const response = await exchange(open, agentFor(url), { ...request, url, headers });
        const location = response.headers.location;
        if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) return response;
        const next = URL.parse(location, url);
        // Read, so that the connection can be used again; an endless body is not worth that.
        await readBody(response, MAX_REDIRECT_BYTES, { ...request, url }).catch(() => {});
        if (hops === MAX_REDIRECTS || next === null || !mayFollow(request, response)) {
          throw badRedirect(request.what, url);
        }
        // Signed storage URLs break with an Authorization header, and the other host has no right to it.
        if (!isSameOrigin(url, next)) headers = withoutCredentials(headers);
        url = next;
      }
    },
    [Symbol.dispose]: () => stack.dispose(),
  };
}

/** A text is a form with a secret: it goes nowhere else. Other bodies are sent again where the method stays the same. */
function mayFollow({ body }: HttpRequest, { statusCode = 0 }: IncomingMessage): boolean {
  return body === undefined || (typeof body !== "string" && [307, 308].includes(statusCode));
}

function once<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !/^(authorization|cookie)$/i.test(name)));
}

type Open = typeof requestPlain;

/** One request and the head of its answer. */
function exchange(open: Open, agent: Agent, request: HttpRequest): Promise<IncomingMessage> {
  const { url, what, signal, body, idleMs } = request;
  const stream = typeof body === "object" && "open" in body ? body : undefined;
  const timeout = stream === undefined ? idleMs : idleMs * UPLOAD_PATIENCE;
  const length = stream?.length ?? Buffer.byteLength((body as string | Uint8Array | undefined) ?? "");
  const hasBody = body !== undefined || !["GET", "HEAD", "DELETE"].includes(request.method ?? "GET");
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(connectionError(what, url, error));
    const options = {
      agent,
      method: request.method ?? "GET",
      headers: {
        "user-agent": "berth",
        "accept-encoding": "identity",
        ...(hasBody ? { "content-length": String(length) } : {}),
        ...request.headers,
      },
      timeout,
      ...(signal === undefined ? {} : { signal }),
    };
    // A server may also dribble the head of its answer: each byte would count as life.
    let late: NodeJS.Timeout | undefined;
    const sent = open(url, options, (response) => {
      clearTimeout(late);
      // An answer before the end of the body is a refusal: the rest is not sent, so the connection is of no more use.
      response.on("close", () => sent.writableFinished || sent.destroy());
      resolve(response);
    });
    const giveUp = (): void => void sent.destroy(idleTimeout(what, url, timeout));
    sent.on("finish", () => {
      late = setTimeout(giveUp, timeout);
    });
    sent.on("close", () => clearTimeout(late));
    sent.on("timeout", giveUp);
    sent.on("error", fail);
    if (stream === undefined) sent.end(body);
    else pump(stream, sent).catch((error: unknown) => sent.destroy(error instanceof Error ? error : undefined));
  });
}

const plainRefused = (what: string, url: URL): BerthError =>
  new BerthError(
    "FailedPrecondition",
    `${what}: ${url.host} is to be reached by plain HTTP, which is allowed for loopback hosts only`,
    {
      hint: "use HTTPS, or declare the registry insecure",
    },
  );

const badRedirect = (what: string, url: URL): BerthError =>
  new BerthError("Unavailable", `${what}: ${url.host} redirects too often or to no usable address`);
