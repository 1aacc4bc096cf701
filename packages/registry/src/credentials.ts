import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BerthError, errnoOf } from "@berth/base";
import type { Credentials } from "./types.ts";

const HUB_KEY = "https://index.docker.io/v1/";
const HELPER_MS = 30_000;
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/** Path of docker's client configuration: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. */
export function dockerConfigPath(env: Readonly<Record<string, string | undefined>>): string {
  const dir = env["DOCKER_CONFIG"] || join(env["HOME"] || "/root", ".docker");
  return join(dir, "config.json");
}

/**
 * Credentials for the registry by docker's config.json: from its credential helper or from the file itself; undefined
 * when the file or the entry is absent.
 *
 * @throws {BerthError} InvalidArgument when the file is malformed; PermissionDenied; FailedPrecondition when a helper fails
 */
export async function findCredentials(path: string, domain: string): Promise<Credentials | undefined> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    throw new BerthError("PermissionDenied", `read ${path}: ${errno ?? "failed"}`, { cause: error });
  }
  if (text.length > MAX_CONFIG_BYTES) throw malformed(path, "too large");
  const config = parseConfig(path, text);
  const helper = findHelper(config, domain);
  const { auths = {} } = config;
  return (helper === undefined ? undefined : await askHelper(helper, domain)) ?? pickCredentials(auths, path, domain);
}

/** What is read of the file. */
interface DockerConfig {
  readonly auths?: Auths;
  readonly credHelpers?: Auths;
  readonly credsStore?: unknown;
}

type Auths = Readonly<Record<string, unknown>>;

function parseConfig(path: string, text: string): DockerConfig {
  let doc: unknown;
  try {
    doc = JSON.parse(text);
  } catch {
    throw malformed(path, "not JSON");
  }
  if (!isObject(doc)) throw malformed(path, "not an object");
  for (const key of ["auths", "credHelpers"]) {
    if (doc[key] !== undefined && !isObject(doc[key])) throw malformed(path, `${key} is not an object`);
  }
  return doc;
}

function isObject(value: unknown): value is Auths {
  return typeof value === "object" && value !== null;
}

/** Name of the program `docker-credential-<name>` that keeps this registry's credentials. */
function findHelper(config: DockerConfig, domain: string): string | undefined {
  const { credHelpers = {}, credsStore } = config;
  const name = Object.hasOwn(credHelpers, domain) ? credHelpers[domain] : credsStore;
  return typeof name === "string" && /^[A-Za-z0-9._-]{1,64}$/.test(name) ? name : undefined;
}

/** Asks a helper (docker's credential helper protocol): the server on stdin, JSON on stdout. */
async function askHelper(name: string, domain: string): Promise<Credentials | undefined> {
  const { spawnSync } = await import("node:child_process");
  const program = `docker-credential-${name}`;
  const input = domain === "docker.io" ? HUB_KEY : domain;
  const ran = spawnSync(program, ["get"], { input, encoding: "utf8", timeout: HELPER_MS, maxBuffer: 1024 * 1024 });
  const failed = (why: string): BerthError =>
    new BerthError("FailedPrecondition", `ask ${program} for credentials of ${domain}: ${why}`, {
      hint: "repair it, or remove it from docker's config.json",
    });
  if (ran.error !== undefined) throw failed(errnoOf(ran.error) ?? ran.error.message);
  if (ran.status !== 0) {
    if (/credentials not found/.test(ran.stdout)) return undefined;
    throw failed(`it ended with ${ran.status ?? ran.signal}`);
  }
  const answer = parseAnswer(ran.stdout);
  if (answer === undefined) throw failed("its answer has no user and secret");
  const { Username: username, Secret: secret } = answer;
  return username === "<token>" ? { kind: "identity", token: secret } : { kind: "basic", username, password: secret };
}

function parseAnswer(stdout: string): { readonly Username: string; readonly Secret: string } | undefined {
  try {
    const doc = JSON.parse(stdout) as { Username?: unknown; Secret?: unknown } | null;
    const { Username, Secret } = doc ?? {};
    return typeof Username === "string" && typeof Secret === "string" ? { Username, Secret } : undefined;
  } catch {
    return undefined;
  }
}

function pickCredentials(auths: Auths, path: string, domain: string): Credentials | undefined {
  const wanted = domain === "docker.io" ? ["docker.io", "index.docker.io"] : [domain];
  const keys = Object.keys(auths);
  const key = keys.find((k) => wanted.includes(hostOfKey(k))) ?? (domain === "docker.io" ? HUB_KEY : "");
  const entry = Object.hasOwn(auths, key) ? auths[key] : undefined;
  if (typeof entry !== "object" || entry === null) return undefined;
  const field = (name: string): string => {
    const value: unknown = (entry as Auths)[name];
    return typeof value === "string" ? value : "";
  };
  if (field("registrytoken") !== "") return { kind: "bearer", token: field("registrytoken") };
  if (field("identitytoken") !== "") return { kind: "identity", token: field("identitytoken") };
  const plain = Buffer.from(field("auth"), "base64").toString("utf8").replace(/\0+$/, "");
  const colon = plain.indexOf(":");
  if (colon > 0) return { kind: "basic", username: plain.slice(0, colon), password: plain.slice(colon + 1) };
  if (field("username") !== "") return { kind: "basic", username: field("username"), password: field("password") };
  if (field("auth") !== "") throw malformed(path, `the entry ${key} is not base64 of user:password`);
  return undefined;
}

/** Old files have URLs as keys: `https://host/v1/`. */
function hostOfKey(key: string): string {
  return key.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

function malformed(path: string, why: string): BerthError {
  return new BerthError("InvalidArgument", `read ${path}: ${why}`, {
    hint: "repair it, or log in again with docker login",
  });
}
