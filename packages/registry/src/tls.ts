import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { BerthError, errnoOf } from "@berth/base";

/** Where docker and podman look for a registry's certificates. */
export const CERTS_DIRS: readonly string[] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];
const SYSTEM_BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/** PEM texts configured for one registry. */
export interface Certificates {
  readonly ca: readonly string[];
  /** Client certificate with its key, if there is one. */
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Reads `<dir>/<domain>/*.crt` (authorities) and `*.cert` with `*.key` (client certificate), and the given file.
 *
 * @throws {BerthError} when a present file cannot be read
 */
export function readCertificates(domain: string, dirs: readonly string[], caFile: string | undefined): Certificates {
  const files = dirs.flatMap((dir) => listFiles(join(dir, domain)));
  const ca = files.filter((file) => file.endsWith(".crt")).map(readPem);
  if (caFile !== undefined) ca.push(readPem(caFile));
  const cert = files.find((file) => file.endsWith(".cert") && files.includes(file.replace(/cert$/, "key")));
  return cert === undefined ? { ca } : { ca, cert: readPem(cert), key: readPem(cert.replace(/cert$/, "key")) };
}

function listFiles(dir: string): readonly string[] {
  try {
    return readdirSync(dir)
      .sort()
      .map((name) => join(dir, name));
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return [];
    throw unreadable(dir, error);
  }
}

function readPem(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(path: string, error: unknown): BerthError {
  const errno = errnoOf(error);
  return new BerthError(errno === "ENOENT" ? "NotFound" : "PermissionDenied", `read certificates ${path}: ${errno}`, {
    cause: error,
  });
}

/** The system's authorities; Node's own list where the system has none. */
export function systemAuthorities(): readonly string[] {
  const system = getCACertificates("system");
  if (system.length > 0) return system;
  const bundle = SYSTEM_BUNDLES.find((file) => existsSync(file));
  return bundle === undefined ? getCACertificates("bundled") : [readPem(bundle)];
}
