/** Servers for the tests of this package. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Digest } from "@berth/oci";
import { openRegistry, type Registry, type RegistryOptions } from "./index.ts";

export interface Running extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly seen: IncomingMessage[];
}

export async function serve(
  handler: RequestListener,
  make: (h: RequestListener) => Server = createServer,
  port = 0,
): Promise<Running> {
  const seen: IncomingMessage[] = [];
  const server = make((request, response) => {
    seen.push(request);
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const bound = (server.address() as AddressInfo).port;
  return {
    host: `127.0.0.1:${bound}`,
    port: bound,
    seen,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function open(domain: string, more: Partial<RegistryOptions> = {}): Registry {
  return openRegistry({ domain, certsDirs: [], ...more });
}

export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
}

export async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(body));
}

export interface Pair {
  readonly key: string;
  readonly cert: string;
}

/** Self-signed certificates as PEM texts; undefined without openssl. */
export function makeCertificate(altName: string): Pair | undefined {
  const dir = mkdtempSync(join(tmpdir(), "berth-tls-"));
  try {
    const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
    const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    args.push("-subj", "/CN=berth test", "-addext", `subjectAltName=${altName}`, "-keyout", key, "-out", cert);
    if (spawnSync("openssl", args).status !== 0) return undefined;
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
