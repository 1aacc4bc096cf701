import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { errnoOf } from "@berth/base";
import { isDigest } from "@berth/oci";
import { badDigest, notAllowed, unknownBlob } from "./errors.ts";
import { parseRange } from "./range.ts";
import type { Call, Reply, Site } from "./types.ts";

const CHUNK = 256 * 1024;

/** GET, HEAD and DELETE of a blob. */
export async function answerBlob(site: Site, call: Call, name: string, digest: string): Promise<Reply | undefined> {
  if (!isDigest(digest)) throw badDigest(digest);
  const { method, request } = call;
  if (method === "DELETE") {
    if (!site.repositories.removeBlob(name, digest)) throw unknownBlob(digest);
    site.deleted();
    return { status: 202 };
  }
  if (method !== "GET" && method !== "HEAD") throw notAllowed(method);
  const blob = site.repositories.findBlob(name, digest);
  if (blob === undefined) throw unknownBlob(digest);
  const { path, sizeBytes: size } = blob;
  const headers: Record<string, string | number> = {
    "content-type": "application/octet-stream",
    "docker-content-digest": digest,
    "accept-ranges": "bytes",
    etag: `"${digest}"`,
  };
  if (request.headers["if-none-match"] === `"${digest}"`) return { status: 304, headers };
  if (method === "HEAD") return { status: 200, headers: { ...headers, "content-length": size } };
  const ifRange = request.headers["if-range"];
  const isSame = ifRange === undefined || ifRange === `"${digest}"`;
  const range = isSame ? parseRange(request.headers.range, size) : undefined;
  if (range === "unsatisfiable") {
    return { status: 416, headers: { "content-range": `bytes */${size}` } };
  }
  if (range !== undefined) headers["content-range"] = `bytes ${range.start}-${range.end}/${size}`;
  headers["content-length"] = range === undefined ? size : range.end - range.start + 1;
  await send(call, { status: range === undefined ? 200 : 206, headers }, path, range ?? { start: 0, end: size - 1 });
  return undefined;
}

async function send(
  { response }: Call,
  head: Reply,
  path: string,
  range: { readonly start: number; readonly end: number },
): Promise<void> {
  if (range.end < range.start) {
    response.writeHead(head.status, head.headers).end();
    return;
  }
  const file = createReadStream(path, { ...range, highWaterMark: CHUNK });
  file.once("open", () => response.writeHead(head.status, head.headers));
  try {
    await pipeline(file, response);
  } catch (error) {
    // It went between the question and the answer.
    if (errnoOf(error) === "ENOENT" && !response.headersSent) throw unknownBlob(path.split("/").at(-1) ?? "");
    // Else the client has gone, or it notices that the body is too short.
    response.destroy();
  }
}
