import type { IncomingMessage } from "node:http";
import { BerthError } from "@berth/base";
import { isLoopback, isSameOrigin } from "./endpoint.ts";
import { connectionError, idleTimeout } from "./errors.ts";
import type { Certificates } from "./tls.ts";
import { systemAuthorities } from "./tls.ts";

const IDLE_MS = 60_000;
/** After an upload the server may have to read all of it once more. */
const IDLE_UPLOAD_MS = 300_000;
const MAX_REDIRECTS = 10;
const MAX_SOCKETS = 8;

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Bytes that are made while they are sent; a broken request may ask for them again. */
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

/** Opens connections that are kept for further requests. Loads HTTP and TLS code when first needed. */
export function openTransport(options: TransportOptions): Transport {
  const stack = new DisposableStack();
  const plain = once(async () => {
    const http = await import("node:http");
    const agent = stack.adopt(new http.Agent({ keepAlive: true, maxSockets: MAX_SOCKETS }), (a) => a.destroy());
    const proxied = stack.adopt(new http.Agent({ keepAlive: true, proxyEnv: process.env }), (a) => a.destroy());
    return { request: http.request, agentFor: (url: URL) => (isLoopback(url.hostname) ? agent : proxied) };
  });
  const secure = once(async () => {
    const [https, tls] = await Promise.all([import("node:https"), import("node:tls")]);
    const { ca, cert, key } = options.certificates;
    const settings = {
      keepAlive: true,
      maxSockets: MAX_SOCKETS,
      ca: [...new Set([...systemAuthorities(tls), ...ca])],
      rejectUnauthorized: !options.insecure,
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
    };
    const agent = stack.adopt(new https.Agent(settings), (a) => a.destroy());
    const proxied = stack.adopt(new https.Agent({ ...settings, proxyEnv: process.env }), (a) => a.destroy());
    return { request: https.request, agentFor: (url: URL) => (isLoopback(url.hostname) ? agent : proxied) };
  });
  return {
    send: async (request) => {
      let { url, headers } = request;
      for (let hops = 0; ; hops++) {
        if (url.protocol === "http:" && !options.insecure && !isLoopback(url.hostname))
          throw plainRefused(request.what, url);
        const { request: open, agentFor } = url.protocol === "http:" ? await plain() : await secure();
        const response = await exchange(open, agentFor(url), { ...request, url, headers });
        const location = response.headers.location;
        if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) return response;
        response.resume();
        const next = URL.parse(location, url);
        if (hops === MAX_REDIRECTS || next === null || request.body !== undefined) throw badRedirect(request.what, url);
        // Signed storage URLs break with an Authorization header, and the other host has no right to it.
        if (!isSameOrigin(url, next)) headers = withoutCredentials(headers);
        url = next;
      }
    },
    [Symbol.dispose]: () => stack.dispose(),
  };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !/^(authorization|cookie)$/i.test(name)));
}

type Open = typeof import("node:http").request;

/** One request and the head of its answer. */
function exchange(open: Open, agent: import("node:http").Agent, request: HttpRequest): Promise<IncomingMessage> {
  const { url, what, signal } = request;
  const { body } = request;
  const stream = typeof body === "object" && "open" in body ? body : undefined;
  const timeout = stream === undefined ? IDLE_MS : IDLE_UPLOAD_MS;
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
    const sent = open(url, options, (response) => {
      // An answer before the end of the body is a refusal: the rest is not sent, so the connection is of no more use.
      response.on("close", () => sent.writableFinished || sent.destroy());
      resolve(response);
    });
    sent.on("timeout", () => sent.destroy(idleTimeout(what, url, timeout)));
    sent.on("error", fail);
    if (stream === undefined) sent.end(body);
    else pump(stream, sent).catch((error: unknown) => sent.destroy(error instanceof Error ? error : undefined));
  });
}

/** Sends a body until its end, or until there is an answer. */
async function pump(body: StreamedBody, sent: import("node:http").ClientRequest): Promise<void> {
  let isAnswered = false;
  sent.once("response", () => {
    isAnswered = true;
  });
  for await (const chunk of body.open()) {
    if (isAnswered || sent.destroyed) return;
    if (!sent.write(chunk)) await writable(sent);
  }
  if (!isAnswered) sent.end();
}

/** Resolves when there is room for more, an answer, or the end of the connection. */
function writable(sent: import("node:http").ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const name of ["drain", "close", "response"]) sent.off(name, done);
      resolve();
    };
    for (const name of ["drain", "close", "response"]) sent.once(name, done);
  });
}

/** The whole body, at most `maxBytes`. */
export async function readBody(response: IncomingMessage, maxBytes: number, request: HttpRequest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBytes) {
        throw new BerthError(
          "ResourceExhausted",
          `${request.what}: the answer is longer than the allowed ${maxBytes} bytes`,
        );
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw connectionError(request.what, request.url, error);
  }
  return Buffer.concat(chunks);
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
