import { BerthError, type BerthErrorOptions, errnoOf } from "@berth/base";

const CONNECT_HINT = "check the registry's name, its port and the network; plain HTTP works for loopback hosts only";

const LOGIN_HINT = "check the name; if the repository is private, log in to the registry: berth login";

/** Retrying may help: the connection broke or the server was busy. */
export class TransientError extends Error {
  /** How long the server asked to wait, ms. */
  readonly retryAfterMs: number | undefined;
  /** What to report when no attempt is left. */
  readonly final: BerthError;

  constructor(final: BerthError, retryAfterMs?: number) {
    super(final.message);
    this.final = final;
    this.retryAfterMs = retryAfterMs;
  }
}

const PASSING = [
  "ECONNRESET",
  "EPIPE",
  "ETIMEDOUT",
  "EAI_AGAIN",
  "ECONNABORTED",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "ERR_STREAM_PREMATURE_CLOSE",
];

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** True when the peer does not speak the protocol that was tried: HTTP to a TLS port or the reverse. */
export function isWrongProtocol(error: unknown): boolean {
  const code = codeOf(error);
  return code === "EPROTO" || code.startsWith("HPE_") || code.startsWith("ERR_SSL_") || code === "ECONNRESET";
}

/** An error of the connection as what to do about it. */
export function connectionError(what: string, url: URL, error: unknown): unknown {
  if (error instanceof BerthError || error instanceof TransientError) return error;
  if (error instanceof Error && error.name === "AbortError") return cancelled(what, error);
  const code = codeOf(error);
  const why = code || (error instanceof Error ? error.message : String(error));
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return new BerthError("Unavailable", `${what}: the certificate of ${url.host} is for another name`, {
      hint: "use a name that the certificate has, or ask the registry's operator",
      cause: error,
    });
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS/.test(code)) {
    return new BerthError("Unavailable", `${what}: the certificate of ${url.host} is not trusted (${why})`, {
      hint: `put its authority's certificate into /etc/docker/certs.d/${url.host}/ca.crt`,
      cause: error,
    });
  }
  const known = new BerthError("Unavailable", `${what}: connect to ${url.host}: ${why}`, {
    hint: CONNECT_HINT,
    cause: error,
  });
  return PASSING.includes(code) ? new TransientError(known) : errnoOf(error) || code ? known : error;
}

/** The caller wants no more. */
export const cancelled = (what: string, cause: unknown): BerthError =>
  new BerthError("Cancelled", `${what}: interrupted`, { cause });

/** Bytes came, but so few that it would never end. */
export const tooSlow = (what: string, url: URL, bytes: number, ms: number): TransientError =>
  new TransientError(
    new BerthError("Unavailable", `${what}: ${url.host} sent ${bytes} bytes in ${Math.round(ms / 1000)} s`, {
      hint: CONNECT_HINT,
    }),
  );

/** No byte came for too long. */
export const idleTimeout = (what: string, url: URL, ms: number): TransientError =>
  new TransientError(
    new BerthError("Unavailable", `${what}: ${url.host} sent nothing for ${ms / 1000} s`, { hint: CONNECT_HINT }),
  );

export interface FailedResponse {
  readonly status: number;
  /** First bytes of the body. */
  readonly body: string;
  readonly retryAfter: string | undefined;
  readonly host: string;
}

/** What a status other than the wanted one means. */
export function statusError(what: string, response: FailedResponse): BerthError | TransientError {
  const { status, host } = response;
  const said = serverMessage(response.body);
  const because = said === "" ? "" : ` (${said})`;
  const make = (code: ConstructorParameters<typeof BerthError>[0], why: string, hint?: string): BerthError => {
    const options: BerthErrorOptions = { ...(hint === undefined ? {} : { hint }), details: { status, host } };
    return new BerthError(code, `${what}: ${why}${because}`, options);
  };
  if (status === 401)
    return make("Unauthenticated", "repository does not exist or may require authorization", LOGIN_HINT);
  if (status === 403) return make("PermissionDenied", `${host} denies access`, LOGIN_HINT);
  if (status === 404) return make("NotFound", `not found in ${host}`, "check the name and the tag");
  if (status === 405 || /^UNSUPPORTED\b/.test(said)) {
    return make("Unimplemented", `${host} does not allow it`, "its operator decides what is allowed");
  }
  if (status === 413) return make("ResourceExhausted", `it is too large for ${host}`);
  if (status === 507)
    return make("ResourceExhausted", `${host} has no space left`, "its operator must free space; then push again");
  if (/^DIGEST_INVALID\b/.test(said)) {
    return make("DataLoss", `${host} got other bytes`, "push again; if it repeats, a proxy changes the bytes");
  }
  if (status === 429 || status === 408 || status >= 500) {
    const why = status === 429 ? `${host} allows no more requests now` : `${host} answered ${status}`;
    return new TransientError(make("Unavailable", why, "try again later"), retryAfterMs(response.retryAfter));
  }
  return make("Unavailable", `${host} answered ${status}`, "is it an OCI registry?");
}

/** The registry's own words, of `{"errors":[{"code","message"}]}`; printable characters only. */
function serverMessage(body: string): string {
  try {
    const doc = JSON.parse(body) as { errors?: readonly { code?: unknown; message?: unknown }[] } | null;
    const first = doc?.errors?.[0];
    const words = [first?.code, first?.message].filter((word) => typeof word === "string").join(": ");
    return words.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 200);
  } catch {
    return "";
  }
}

function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}
