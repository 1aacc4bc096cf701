import { BerthError } from "@berth/base";
import { isDigest, parseDigest } from "./digest.ts";
import type { Digest } from "./types.ts";

/** A name of an image, fully qualified; at least one of tag and digest is there. */
export interface Reference {
  /** Registry host with optional port; `docker.io` when the text named none. */
  readonly domain: string;
  /** Path in that registry, for example `library/alpine`. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const DEFAULT_DOMAIN = "docker.io";
const MAX_REFERENCE = 1024;
/** distribution-spec "Pulling manifests": host and name together. */
const MAX_NAME = 255;
const HOST_PART = "[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*";
const DOMAIN = new RegExp(`^(?:${HOST_PART}(?:\\.${HOST_PART})*|\\[[a-fA-F0-9:.]+\\])(?::[0-9]{1,5})?$`);
const PATH_PART = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/**
 * Reads an image name by docker's rules: no registry means `docker.io`, there no namespace means `library`, and neither
 * tag nor digest means `latest`.
 *
 * @throws {BerthError} InvalidArgument
 */
export function parseReference(text: string): Reference {
  if (text.length > MAX_REFERENCE) throw invalid(text, `longer than ${MAX_REFERENCE} characters`);
  if (/^[0-9a-f]{64}$/.test(text)) throw invalid(text, "64 hex digits are an id, not a name");
  const at = text.indexOf("@");
  const named = at < 0 ? text : text.slice(0, at);
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) throw invalid(text, "what follows @ is no digest");
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const name = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? (digest === undefined ? "latest" : undefined) : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `"${tag}" is no tag`);
  const { domain, path } = splitDomain(name);
  checkName(text, domain, path);
  return {
    domain,
    path,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest: parseDigest(digest) }),
  };
}

function splitDomain(name: string): { readonly domain: string; readonly path: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = /[.:[]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  const host = isHost ? first : DEFAULT_DOMAIN;
  const path = isHost ? name.slice(slash + 1) : name;
  const domain = host === "index.docker.io" ? DEFAULT_DOMAIN : host;
  return { domain, path: domain === DEFAULT_DOMAIN && !path.includes("/") ? `library/${path}` : path };
}

function checkName(text: string, domain: string, path: string): void {
  if (!DOMAIN.test(domain)) throw invalid(text, `"${domain}" is no registry host`);
  if (path !== path.toLowerCase()) throw invalid(text, "the repository name must be lower case");
  if (!path.split("/").every((part) => PATH_PART.test(part))) throw invalid(text, `"${path}" is no repository name`);
  if (domain.length + path.length + 1 > MAX_NAME) throw invalid(text, `its name is longer than ${MAX_NAME} characters`);
}

function invalid(text: string, why: string): BerthError {
  return new BerthError("InvalidArgument", `parse image name "${text.slice(0, 200)}": ${why}`, {
    hint: "write [REGISTRY/]REPOSITORY[:TAG][@DIGEST], for example docker.io/library/debian:12",
  });
}

/** True for a repository's path in its registry (distribution-spec "Pulling manifests"). */
export function isRepositoryPath(text: string): boolean {
  return text.length <= MAX_NAME && text.split("/").every((part) => PATH_PART.test(part));
}

/** True for what may stand after the colon of a name. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/** `domain/path`. */
export function repositoryOf(ref: Reference): string {
  return `${ref.domain}/${ref.path}`;
}

/** `domain/path[:tag][@digest]`, fully qualified. */
export function formatReference(ref: Reference): string {
  const tag = ref.tag === undefined ? "" : `:${ref.tag}`;
  const digest = ref.digest === undefined ? "" : `@${ref.digest}`;
  return `${repositoryOf(ref)}${tag}${digest}`;
}

/** A fully qualified name or repository as docker shows it: without `docker.io/library/` or `docker.io/`. */
export function familiarName(name: string): string {
  for (const prefix of ["docker.io/library/", "docker.io/"]) {
    if (name.startsWith(prefix) && (prefix !== "docker.io/library/" || !name.slice(prefix.length).includes("/"))) {
      return name.slice(prefix.length);
    }
  }
  return name;
}
