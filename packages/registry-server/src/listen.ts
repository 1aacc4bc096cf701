import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { BerthError, errnoOf } from "@berth/base";
import { isLoopback } from "@berth/registry";
import { answerBlob } from "./blobs.ts";
import { notAllowed, Refusal, refusalOf, replyOf } from "./errors.ts";
import { answerCatalog, answerReferrers, answerTags } from "./lists.ts";
import { answerManifest } from "./manifests.ts";
import { parseRoute, type Route } from "./route.ts";
import type { Call, RegistryServer, RegistryServerOptions, Reply, Site } from "./types.ts";
import { Uploads } from "./uploads.ts";
import { Users } from "./users.ts";

/** No byte for so long ends a connection; uploads and downloads may take as long as they go on. */
const IDLE_MS = 60_000;
const HEADERS_MS = 20_000;
/** What still runs at the end gets so long. */
const LEAVE_MS = 3000;
/** After deletions, so that many of them cost one collection. */
const COLLECT_MS = 2000;
const READING = ["GET", "HEAD"];
/**
 * A refused body up to this is read to its end, so that the connection can go on: more than any manifest has, since a
 * client may send one before it knows that it has to log in, and closing on it can lose our answer.
 */
const MAX_DISCARD_BYTES = 8 * 1024 * 1024;

/**
 * Serves the repositories until it is disposed.
 *
 * @throws {BerthError} FailedPrecondition when the address or a file cannot be used
 */
export async function openRegistryServer(options: RegistryServerOptions): Promise<RegistryServer> {
  const { host, port, tls, onFault = () => {} } = options;
  const collector = collectLater(options.collect, onFault);
  const { repositories, requireBlobs = false } = options;
  const site: Site = { repositories, requireBlobs, deleted: collector.soon };
  const uploads = new Uploads(site);
  const users = options.htpasswd === undefined ? undefined : new Users(options.htpasswd);
  const context: Context = { site, uploads, users, readOnly: options.readOnly ?? false, onFault };
  const handle =
    (asks: boolean): RequestListener =>
    (request, response) =>
      void serve(context, request, response, asks);
  const server = tls === undefined ? createServer(handle(false)) : openSecure(tls, handle(false));
  server.on("checkContinue", handle(true));
  Object.assign(server, { headersTimeout: HEADERS_MS, requestTimeout: 0, keepAliveTimeout: IDLE_MS, timeout: IDLE_MS });
  await listen(server, host, port);
  return {
    url: `${tls === undefined ? "http" : "https"}://${addressOf(server, host)}`,
    isLocal: isLoopback(host),
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((done) => server.close(done));
      server.closeIdleConnections();
      const last = setTimeout(() => server.closeAllConnections(), LEAVE_MS);
      await closed;
      clearTimeout(last);
      await uploads[Symbol.asyncDispose]();
      await collector.stop();
    },
  };
}

function openSecure(tls: { readonly cert: string; readonly key: string }, listener: RequestListener): Server {
  try {
    return createSecureServer({ ...tls, minVersion: "TLSv1.2" }, listener) as unknown as Server;
  } catch (error) {
    throw new BerthError(
      "FailedPrecondition",
      `read certificate and key: ${error instanceof Error ? error.message : ""}`,
      {
        hint: "give a PEM certificate (with its chain) and the key that belongs to it",
        cause: error,
      },
    );
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      const errno = errnoOf(error) ?? "failed";
      reject(
        new BerthError("FailedPrecondition", `listen on ${host} port ${port}: ${errno}`, {
          hint: errno === "EADDRINUSE" ? "another program listens there: choose another port" : undefined,
          cause: error,
        }),
      );
    });
    server.listen(port, host, resolve);
  });
}

function addressOf(server: Server, host: string): string {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Runs garbage collection once after several deletions. */
function collectLater(
  collect: () => Promise<void>,
  onFault: (line: string) => void,
): { readonly soon: () => void; readonly stop: () => Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  const run = async (): Promise<void> => {
    timer = undefined;
    try {
      await collect();
    } catch (error) {
      onFault(`collect garbage: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  return {
    soon: () => {
      timer ??= setTimeout(() => void run(), COLLECT_MS);
    },
    stop: async () => {
      if (timer === undefined) return;
      clearTimeout(timer);
      await run();
    },
  };
}

interface Context {
  readonly site: Site;
  readonly uploads: Uploads;
  readonly users: Users | undefined;
  readonly readOnly: boolean;
  readonly onFault: (line: string) => void;
}

/** Answers one request. Never throws. */
async function serve(
  context: Context,
  request: IncomingMessage,
  response: ServerResponse,
  asks: boolean,
): Promise<void> {
  response.on("error", () => {}); // the client has gone
  try {
    const reply = await answer(context, request, response, asks);
    if (reply !== undefined) write(response, reply);
  } catch (error) {
    const refusal = refusalOf(error);
    if (request.destroyed && refusal === undefined) return; // it broke off itself
    if (refusal === undefined) {
      context.onFault(
        `${request.method} ${request.url?.slice(0, 300)}: ${error instanceof Error ? error.stack : error}`,
      );
    }
    if (response.headersSent) response.destroy();
    else {
      const drained = await drain(request, asks);
      write(response, replyOf(refusal ?? new Refusal(500, "UNSUPPORTED", "internal error")), drained ? {} : CLOSE);
    }
  }
}

async function answer(
  context: Context,
  request: IncomingMessage,
  response: ServerResponse,
  asks: boolean,
): Promise<Reply | undefined> {
  const { users } = context;
  if (users !== undefined && !(await users.check(request.headers.authorization))) {
    throw new Refusal(401, "UNAUTHORIZED", "authentication required", {
      headers: { "www-authenticate": 'Basic realm="berth registry", charset="UTF-8"' },
    });
  }
  const [path = "", query = ""] = (request.url ?? "").split("?", 2);
  const route = parseRoute(path);
  const method = request.method ?? "";
  if (route === undefined) throw new Refusal(404, "UNSUPPORTED", "no such resource");
  if (context.readOnly && !READING.includes(method)) {
    throw new Refusal(405, "UNSUPPORTED", "this registry is read-only");
  }
  const body = (): AsyncIterable<Buffer> => {
    if (asks) response.writeContinue();
    return request;
  };
  return await dispatch(context, { request, response, method, query: new URLSearchParams(query), route, body });
}

function dispatch(context: Context, call: Call): Reply | undefined | Promise<Reply | undefined> {
  const { site, uploads } = context;
  const route: Route = call.route;
  switch (route.kind) {
    case "ping":
      if (!READING.includes(call.method)) throw notAllowed(call.method);
      return { status: 200, headers: { "content-type": "application/json" }, body: "{}" };
    case "catalog":
      return answerCatalog(site, call);
    case "uploads":
      return uploads.answerStart(call, route.name);
    case "upload":
      return uploads.answerUpload(call, route.name, route.id);
    case "blob":
      return answerBlob(site, call, route.name, route.digest);
    case "manifest":
      return answerManifest(site, call, route.name, route.reference);
    case "tags":
      return answerTags(site, call, route.name);
    case "referrers":
      return answerReferrers(site, call, route.name, route.digest);
  }
}

const CLOSE = { connection: "close" };

/**
 * Reads what is left of a refused body, before the answer: many clients give a connection up on which the answer comes
 * while they send, or lose it when the connection ends. False when there is more than is worth it: then it ends.
 */
async function drain(request: IncomingMessage, asks: boolean): Promise<boolean> {
  if (request.complete) return true;
  if (Number(request.headers["content-length"] ?? 0) > MAX_DISCARD_BYTES) return false;
  // who asked before sending is told no instead
  if (asks || request.destroyed) return true;
  return await new Promise<boolean>((resolve) => {
    // a body in chunks has no length
    let left = MAX_DISCARD_BYTES;
    request.on("data", (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) resolve(false);
    });
    request.once("end", () => resolve(true)).once("close", () => resolve(true));
  });
}

function write(response: ServerResponse, reply: Reply, more: Readonly<Record<string, string>> = {}): void {
  const { status, body = "" } = reply;
  const hasLength = reply.headers?.["content-length"] !== undefined;
  const headers: Record<string, string | number> = {
    "docker-distribution-api-version": "registry/2.0",
    ...reply.headers,
    ...more,
  };
  if (!hasLength && status !== 204 && status !== 304) headers["content-length"] = Buffer.byteLength(body);
  response.writeHead(status, headers);
  response.end(response.req.method === "HEAD" ? undefined : body);
}
