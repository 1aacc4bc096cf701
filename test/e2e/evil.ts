/** A registry that serves what it is told to, truth or lies, and remembers what it was asked. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ARCHITECTURE, type Blob, INDEX, MANIFEST } from "../../packages/images/test/fixture.ts";

export const LAYER = "application/vnd.oci.image.layer.v1.tar";
const CONFIG = "application/vnd.oci.image.config.v1+json";

export interface Asked {
  readonly method: string;
  /** What is after the repository: `blobs/sha256:…`, `manifests/1`. */
  readonly what: string;
  readonly range: string | undefined;
  readonly atMs: number;
}

/** Answers in place of the registry; false: it shall answer itself. */
export type Answer = (request: IncomingMessage, response: ServerResponse, what: string) => boolean;

export const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

export class Evil implements AsyncDisposable {
  readonly host: string;
  readonly asked: Asked[] = [];
  answer: Answer = () => false;
  readonly #server: Server;
  readonly #blobs = new Map<string, Buffer>();
  readonly #manifests = new Map<string, { readonly bytes: Buffer; readonly type: string }>();

  private constructor(server: Server) {
    this.#server = server;
    const { address, port, family } = server.address() as AddressInfo;
    this.host = `${family === "IPv6" ? `[${address}]` : address}:${port}`;
    server.on("request", (request: IncomingMessage, response: ServerResponse) => this.#serve(request, response));
  }

  static async start(address = "127.0.0.1"): Promise<Evil> {
    const server = createServer();
    await new Promise<void>((done, fail) => server.once("error", fail).listen(0, address, done));
    return new Evil(server);
  }

  blob(bytes: Uint8Array): Blob {
    const digest = digestOf(bytes);
    this.#blobs.set(digest, Buffer.from(bytes));
    return { digest, size: bytes.length };
  }

  /** Under its digest, and under the tag when there is one. */
  document(value: object, type: string, tag?: string): Blob & { readonly mediaType: string } {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = digestOf(bytes);
    for (const name of tag === undefined ? [digest] : [digest, tag]) this.#manifests.set(name, { bytes, type });
    return { mediaType: type, digest, size: bytes.length };
  }

  index(manifests: readonly object[], tag?: string): Blob & { readonly mediaType: string } {
    return this.document({ schemaVersion: 2, mediaType: INDEX, manifests }, INDEX, tag);
  }

  /**
   * An image of these layers under `tag`.
   *
   * @param layers tars with what they are sent as
   */
  image(
    tag: string,
    layers: readonly { readonly tar: Uint8Array; readonly sent?: Uint8Array; readonly suffix?: string }[],
    change: { readonly diffIds?: readonly string[]; readonly architecture?: string } = {},
  ): Blob & { readonly mediaType: string } {
    const { diffIds = layers.map(({ tar }) => digestOf(tar)), architecture = ARCHITECTURE } = change;
    const config = { architecture, os: "linux", rootfs: { type: "layers", diff_ids: diffIds } };
    const manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: CONFIG, ...this.blob(Buffer.from(JSON.stringify(config))) },
      layers: layers.map(({ tar, sent = tar, suffix = "" }) => ({ mediaType: LAYER + suffix, ...this.blob(sent) })),
    };
    return this.document(manifest, MANIFEST, tag);
  }

  name(tag: string): string {
    return `${this.host}/test/evil:${tag}`;
  }

  gets(digest: string): readonly Asked[] {
    return this.asked.filter(({ what, method }) => method === "GET" && what === `blobs/${digest}`);
  }

  /** Sends the blob, or what the Range asks of it. */
  send(digest: string, request: IncomingMessage, response: ServerResponse, body?: Buffer): void {
    const bytes = body ?? this.#blobs.get(digest);
    if (bytes === undefined) return void response.writeHead(404).end();
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const range = { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
    response.writeHead(start > 0 ? 206 : 200, { "content-length": bytes.length - start, ...(start > 0 ? range : {}) });
    response.end(bytes.subarray(start));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { method = "", url = "", headers } = request;
    const what = url.replace("/v2/test/evil/", "");
    this.asked.push({ method, what, range: headers.range, atMs: performance.now() });
    if (this.answer(request, response, what)) return;
    const [kind, name = ""] = what.split("/");
    if (kind === "blobs") {
      this.send(name, request, response);
      return;
    }
    const found = kind === "manifests" ? this.#manifests.get(name) : undefined;
    if (found === undefined) return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": found.type, "content-length": found.bytes.length }).end(found.bytes);
  }
}
