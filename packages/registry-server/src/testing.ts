/** A server on a data root of its own, for the tests of this package. */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEngine } from "@berth/engine";
import { openRegistryServer, type RegistryServer, type RegistryServerOptions } from "./index.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  /** The code of a refusal. */
  readonly code: string | undefined;
}

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface Served extends AsyncDisposable {
  readonly root: string;
  readonly server: RegistryServer;
  readonly faults: string[];
  ask(method: Method, path: string, body?: Uint8Array | string, headers?: Record<string, string>): Promise<Answer>;
}

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";

export function digestOf(bytes: Uint8Array | string, algorithm = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/** In memory where that is possible: each stored blob is synced, which a disk may take long for. */
const SCRATCH = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** @param root an existing data root to serve; it is left alone then */
export async function serve(options: Partial<RegistryServerOptions> = {}, root?: string): Promise<Served> {
  const dir = root ?? mkdtempSync(join(SCRATCH, "berth-serve-"));
  const engine = openEngine({ root: join(dir, "data"), runRoot: join(dir, "run") });
  const faults: string[] = [];
  const server = await openRegistryServer({
    repositories: engine.repositories,
    collect: () => engine.collect(),
    host: "127.0.0.1",
    port: 0,
    onFault: (line) => faults.push(line),
    ...options,
  });
  return {
    root: dir,
    server,
    faults,
    ask: (method, path, body, headers) => ask(`${server.url}${path}`, method, body, headers),
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
      if (root === undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function ask(
  url: string,
  method: Method,
  body?: Uint8Array | string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const init = body === undefined ? {} : { body: typeof body === "string" ? body : new Uint8Array(body) };
  const response = await fetch(url, { method, headers, ...init });
  const bytes = Buffer.from(await response.arrayBuffer());
  return { status: response.status, headers: response.headers, body: bytes, code: codeOf(response, bytes) };
}

function codeOf(response: Response, bytes: Buffer): string | undefined {
  if (response.status < 400 || bytes.length === 0) return undefined;
  return (JSON.parse(bytes.toString()) as { errors: { code: string }[] }).errors[0]?.code;
}

/** Stores a blob by one POST; returns its descriptor. */
export async function pushBlob(
  served: Served,
  name: string,
  bytes: Uint8Array | string,
): Promise<{ readonly digest: string; readonly size: number }> {
  const digest = digestOf(bytes);
  const answer = await served.ask("POST", `/v2/${name}/blobs/uploads/?digest=${digest}`, bytes);
  if (answer.status !== 201) throw new Error(`push of a blob: ${answer.status} ${answer.body}`);
  return { digest, size: Buffer.byteLength(bytes) };
}

/** Stores an image of one layer under a tag; returns the manifest's bytes. */
export async function pushImage(
  served: Served,
  name: string,
  reference: string,
  more: Record<string, unknown> = {},
): Promise<Buffer> {
  const config = await pushBlob(served, name, JSON.stringify({ architecture: "amd64", os: "linux" }));
  const layer = await pushBlob(served, name, "a layer");
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
      ...more,
    }),
  );
  const at = reference === "" ? digestOf(manifest) : reference;
  const answer = await served.ask("PUT", `/v2/${name}/manifests/${at}`, manifest, { "content-type": OCI_MANIFEST });
  if (answer.status !== 201) throw new Error(`push of a manifest: ${answer.status} ${answer.body}`);
  return manifest;
}
