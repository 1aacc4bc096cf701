import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { BerthError, errnoOf } from "@berth/base";
import type { Helper } from "./helper.ts";
import type { Credentials } from "./types.ts";

/** What docker knows Docker Hub by. */
const HUB_KEY = "https://index.docker.io/v1/";
const MAX_BYTES = 4 * 1024 * 1024;

type Env = Readonly<Record<string, string | undefined>>;
type Entries = Readonly<Record<string, unknown>>;

/** docker's config.json or podman's auth.json: credentials, and programs that keep them. */
export interface AuthFile {
  readonly path: string;
  readonly document: Entries;
  readonly auths: Entries;
  readonly credHelpers: Entries;
}

/** Path of docker's client configuration: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. */
export function dockerConfigPath(env: Env): string {
  const dir = env["DOCKER_CONFIG"] || join(env["HOME"] || "/root", ".docker");
  return join(dir, "config.json");
}

/** Where a login is written to: the file that the user names for all tools, else docker's. */
export function loginPath(env: Env): string {
  return env["REGISTRY_AUTH_FILE"] || dockerConfigPath(env);
}

/** The files that are asked for credentials, in this order: docker's, then podman's. */
export function authPaths(env: Env): readonly string[] {
  const runtimeDir = env["XDG_RUNTIME_DIR"] || `/run/containers/${process.getuid?.() ?? 0}`;
  const configDir = env["XDG_CONFIG_HOME"] || join(env["HOME"] || "/root", ".config");
  const podman = env["XDG_RUNTIME_DIR"] ? join(runtimeDir, "containers/auth.json") : join(runtimeDir, "auth.json");
  return [...new Set([loginPath(env), dockerConfigPath(env), podman, join(configDir, "containers/auth.json")])];
}

/**
 * Reads a file; an absent one is empty.
 *
 * @throws {BerthError} InvalidArgument when it is malformed; PermissionDenied
 */
export function readAuthFile(path: string): AuthFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return { path, document: {}, auths: {}, credHelpers: {} };
    throw new BerthError("PermissionDenied", `read ${path}: ${errno ?? "failed"}`, { cause: error });
  }
  if (text.length > MAX_BYTES) throw malformed(path, "too large");
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw malformed(path, "not JSON");
  }
  if (!isObject(document)) throw malformed(path, "not an object");
  const { auths = {}, credHelpers = {} } = document;
  if (!isObject(auths)) throw malformed(path, "auths is not an object");
  if (!isObject(credHelpers)) throw malformed(path, "credHelpers is not an object");
  return { path, document, auths, credHelpers };
}

function isObject(value: unknown): value is Entries {
  return typeof value === "object" && value !== null;
}

/** The program that keeps this registry's credentials, if the file names one. */
export function helperOf(file: AuthFile, domain: string): Helper | undefined {
  const { credHelpers, document } = file;
  const name = Object.hasOwn(credHelpers, domain) ? credHelpers[domain] : document["credsStore"];
  if (typeof name !== "string" || !/^[A-Za-z0-9._-]{1,64}$/.test(name)) return undefined;
  return { name, server: domain === "docker.io" ? HUB_KEY : domain };
}

/** Credentials that stand in the file itself: of the repository or the nearest namespace around it, else of the host. */
export function pickCredentials(
  file: AuthFile,
  domain: string,
  repository: string | undefined,
): Credentials | undefined {
  const key = keyOf(file, domain, repository);
  const entry = key === undefined ? undefined : file.auths[key];
  if (!isObject(entry)) return undefined;
  const field = (name: string): string => {
    const value: unknown = entry[name];
    return typeof value === "string" ? value : "";
  };
  if (field("registrytoken") !== "") return { kind: "bearer", token: field("registrytoken") };
  if (field("identitytoken") !== "") return { kind: "identity", token: field("identitytoken") };
  const plain = Buffer.from(field("auth"), "base64").toString("utf8").replace(/\0+$/, "");
  const colon = plain.indexOf(":");
  if (colon > 0) return { kind: "basic", username: plain.slice(0, colon), password: plain.slice(colon + 1) };
  if (field("username") !== "") return { kind: "basic", username: field("username"), password: field("password") };
  if (field("auth") !== "") throw malformed(file.path, `the entry ${key} is not base64 of user:password`);
  return undefined;
}

/** The entry's key: `host/name/space` (podman), `host`, or an old URL `https://host/v1/` (docker). */
function keyOf(file: AuthFile, domain: string, repository: string | undefined): string | undefined {
  const parts = repository === undefined ? [] : repository.split("/");
  const hosts = domain === "docker.io" ? ["docker.io", "index.docker.io"] : [domain];
  const wanted = hosts.flatMap((host) =>
    [...parts.keys(), parts.length].reverse().map((n) => [host, ...parts.slice(0, n)].join("/")),
  );
  const keys = Object.keys(file.auths);
  for (const name of wanted) {
    const key = keys.find((one) => plainKey(one) === name);
    if (key !== undefined) return key;
  }
  return undefined;
}

/** A URL names the host only. */
function plainKey(key: string): string {
  const bare = key.replace(/^https?:\/\//, "");
  return bare === key ? key.replace(/\/(v[12]\/?)?$/, "") : bare.replace(/\/.*$/, "");
}

/** The file with these credentials for the registry, or without any. */
export function withCredentials(
  file: AuthFile,
  domain: string,
  credentials: { readonly username: string; readonly password: string } | undefined,
): AuthFile {
  const old = keyOf(file, domain, undefined);
  const auths = Object.fromEntries(Object.entries(file.auths).filter(([key]) => key !== old));
  if (credentials === undefined) return { ...file, auths };
  const isDocker = file.path.endsWith("config.json");
  const key = old ?? (domain === "docker.io" && isDocker ? HUB_KEY : domain);
  const auth = Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64");
  return { ...file, auths: { ...auths, [key]: { auth } } };
}

/** Replaces the file at once, readable by its owner only; what Berth does not know in it stays. */
export function writeAuthFile(file: AuthFile): void {
  const path = realPath(file.path);
  const temporary = `${path}.${process.pid}.new`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    rmSync(temporary, { force: true });
    const fd = openSync(temporary, "wx", 0o600);
    try {
      writeFileSync(fd, `${JSON.stringify({ ...file.document, auths: file.auths }, null, "\t")}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    const errno = errnoOf(error) ?? "failed";
    throw new BerthError(errno === "ENOSPC" ? "ResourceExhausted" : "PermissionDenied", `write ${path}: ${errno}`, {
      hint: "the login is not remembered",
      cause: error,
    });
  }
}

/** What a symlink leads to: people keep these files elsewhere. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function malformed(path: string, why: string): BerthError {
  return new BerthError("InvalidArgument", `read ${path}: ${why}`, {
    hint: "repair it, or remove it and log in again",
  });
}
