import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BerthError, errnoOf } from "@berth/base";
import type { Credentials } from "./types.ts";

const HUB_KEY = "https://index.docker.io/v1/";
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/** Path of docker's client configuration: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. */
export function dockerConfigPath(env: Readonly<Record<string, string | undefined>>): string {
  const dir = env["DOCKER_CONFIG"] || join(env["HOME"] || "/root", ".docker");
  return join(dir, "config.json");
}

/**
 * Credentials for the registry in docker's config.json; undefined when the file or the entry is absent.
 *
 * @throws {BerthError} InvalidArgument when the file is malformed; PermissionDenied
 */
export function findCredentials(path: string, domain: string): Credentials | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
    throw new BerthError("PermissionDenied", `read ${path}: ${errno ?? "failed"}`, { cause: error });
  }
  if (text.length > MAX_CONFIG_BYTES) throw malformed(path, "too large");
  return pickCredentials(parseAuths(path, text), path, domain);
}

type Auths = Readonly<Record<string, unknown>>;

function parseAuths(path: string, text: string): Auths {
  let doc: unknown;
  try {
    doc = JSON.parse(text);
  } catch {
    throw malformed(path, "not JSON");
  }
  if (typeof doc !== "object" || doc === null || !("auths" in doc)) return {};
  if (typeof doc.auths !== "object" || doc.auths === null) throw malformed(path, "auths is not an object");
  return doc.auths as Auths;
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
