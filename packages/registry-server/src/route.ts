import { isRepositoryPath } from "@berth/oci";
import { Refusal } from "./errors.ts";

/** What a path names; `name` is a repository. */
export type Route =
  | { readonly kind: "ping" }
  | { readonly kind: "catalog" }
  | { readonly kind: "uploads"; readonly name: string }
  | { readonly kind: "upload"; readonly name: string; readonly id: string }
  | { readonly kind: "blob"; readonly name: string; readonly digest: string }
  | { readonly kind: "manifest"; readonly name: string; readonly reference: string }
  | { readonly kind: "tags"; readonly name: string }
  | { readonly kind: "referrers"; readonly name: string; readonly digest: string };

const RESOURCE = /^\/v2\/(.+)\/(?:blobs\/(uploads)\/([^/]*)|(blobs|manifests|referrers)\/([^/]+)|(tags)\/list)$/;
const UPLOAD_ID = /^[0-9a-f-]{36}$/;

/**
 * Reads the path of a request (distribution-spec "Endpoints"); undefined when it names nothing here.
 *
 * @throws {Refusal} NAME_INVALID
 */
export function parseRoute(path: string): Route | undefined {
  if (path === "/v2" || path === "/v2/") return { kind: "ping" };
  if (path === "/v2/_catalog") return { kind: "catalog" };
  // A repository may be called blobs/uploads: the longest possible name is meant.
  const match = RESOURCE.exec(decode(path));
  if (match === null) return undefined;
  const [, name = "", uploads, id = "", kind, last = "", tags] = match;
  if (!isRepositoryPath(name)) throw new Refusal(400, "NAME_INVALID", "invalid repository name");
  if (uploads !== undefined) {
    if (id === "") return { kind: "uploads", name };
    return UPLOAD_ID.test(id) ? { kind: "upload", name, id } : undefined;
  }
  if (tags !== undefined) return { kind: "tags", name };
  if (kind === "blobs") return { kind: "blob", name, digest: last };
  return kind === "manifests" ? { kind: "manifest", name, reference: last } : { kind: "referrers", name, digest: last };
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return "";
  }
}
