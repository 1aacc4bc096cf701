import { isCode } from "@berth/base";
import type { Reply } from "./types.ts";

/** distribution-spec "Error Codes". */
export type RegistryCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "UNAUTHORIZED"
  | "DENIED"
  | "UNSUPPORTED"
  | "TOOMANYREQUESTS";

/** What the client is told instead of what it wanted. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: RegistryCode;
  readonly detail: unknown;
  readonly headers: Readonly<Record<string, string | number>>;

  constructor(
    status: number,
    code: RegistryCode,
    message: string,
    more: { readonly detail?: unknown; readonly headers?: Readonly<Record<string, string | number>> } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.detail = more.detail;
    this.headers = more.headers ?? {};
  }
}

/** The refusal that an error of a handler means; undefined for a fault of ours. */
export function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (isCode(error, "DataLoss") && error.details?.["want"] !== undefined) {
    return new Refusal(400, "DIGEST_INVALID", error.message);
  }
  if (isCode(error, "ResourceExhausted")) return new Refusal(507, "DENIED", error.message);
  if (isCode(error, "Unavailable")) return new Refusal(503, "TOOMANYREQUESTS", error.message);
  return undefined;
}

export function replyOf(refusal: Refusal): Reply {
  const { code, message, detail } = refusal;
  const errors = [{ code, message, ...(detail === undefined ? {} : { detail }) }];
  return {
    status: refusal.status,
    headers: { "content-type": "application/json", ...refusal.headers },
    body: JSON.stringify({ errors }),
  };
}

export const unknownBlob = (digest: string): Refusal =>
  new Refusal(404, "BLOB_UNKNOWN", "blob unknown to the repository", { detail: { digest } });

export const unknownManifest = (reference: string): Refusal =>
  new Refusal(404, "MANIFEST_UNKNOWN", "manifest unknown to the repository", { detail: { reference } });

export const unknownName = (name: string): Refusal =>
  new Refusal(404, "NAME_UNKNOWN", "repository unknown to the registry", { detail: { name } });

export const badDigest = (digest: string): Refusal =>
  new Refusal(400, "DIGEST_INVALID", "neither a sha256 nor a sha512 digest", {
    detail: { digest: digest.slice(0, 200) },
  });

export const notAllowed = (method: string): Refusal =>
  new Refusal(405, "UNSUPPORTED", `${method} is not possible here`);
