import { BerthError } from "@berth/base";
import { readBody } from "./body.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import { isLoopback } from "./endpoint.ts";
import { statusError } from "./errors.ts";
import type { HttpRequest, Transport } from "./http.ts";
import type { Credentials } from "./types.ts";

const MAX_TOKEN_BYTES = 1024 * 1024;
/** What a token lives when the server does not say (docker's token specification). */
const DEFAULT_LIFE_S = 60;
/** Shorter passwords are parts of words. */
const MIN_SECRET = 4;

interface Token {
  readonly header: string;
  readonly until: number;
}

/** Answers challenges of one registry and remembers the answers by scope. */
export class Authenticator {
  readonly #transport: Transport;
  readonly #findCredentials: () => Promise<Credentials | undefined>;
  readonly #insecure: boolean;
  #credentials: Promise<Credentials | undefined> | undefined;
  readonly #tokens = new Map<string, Token>();

  /** @param findCredentials called when a server first wants to know who asks */
  constructor(transport: Transport, findCredentials: () => Promise<Credentials | undefined>, insecure: boolean) {
    this.#transport = transport;
    this.#findCredentials = findCredentials;
    this.#insecure = insecure;
  }

  /** The Authorization header that worked for this scope, if it has not expired. */
  find(scope: string): string | undefined {
    const token = this.#tokens.get(scope);
    return token !== undefined && token.until > Date.now() ? token.header : undefined;
  }

  /**
   * Gets a header for the challenge of a 401; undefined when none can be had.
   *
   * @param scope `repository:<path>:pull`, several separated by spaces, or empty to log in only
   */
  async answer(header: string, scope: string, request: HttpRequest): Promise<string | undefined> {
    const challenges = parseChallenges(header);
    this.#credentials ??= this.#findCredentials();
    const credentials = await this.#credentials;
    const bearer = challenges.find((challenge) => challenge.scheme === "bearer");
    const token =
      bearer === undefined
        ? answerBasic(challenges, credentials)
        : await this.#fetchToken({ challenge: bearer, scope, credentials }, request);
    if (token === undefined) this.#tokens.delete(scope);
    else this.#tokens.set(scope, token);
    return token?.header;
  }

  /** The text without the secrets that were sent: some servers and proxies repeat what they got. */
  async redact(text: string): Promise<string> {
    const credentials = await this.#credentials?.catch(() => undefined);
    const secrets = [...this.#tokens.values()].map(({ header }) => header.slice(header.indexOf(" ") + 1));
    if (credentials?.kind === "basic") {
      secrets.push(basicHeader(credentials).slice("Basic ".length));
      if (credentials.password.length >= MIN_SECRET) secrets.push(credentials.password);
    } else if (credentials !== undefined) secrets.push(credentials.token);
    return secrets.filter(Boolean).reduce((rest, secret) => rest.replaceAll(secret, "[secret]"), text);
  }

  async #fetchToken(ask: Ask, request: HttpRequest): Promise<Token> {
    if (ask.credentials?.kind === "bearer") {
      return { header: `Bearer ${ask.credentials.token}`, until: Number.POSITIVE_INFINITY };
    }
    const { what, signal, idleMs } = request;
    const sent: HttpRequest = { ...planTokenRequest(this.#realm(ask.challenge, request), ask), what, signal, idleMs };
    const response = await this.#transport.send(sent);
    const body = await readBody(response, MAX_TOKEN_BYTES, sent);
    const status = response.statusCode ?? 0;
    if (status !== 200) {
      const retryAfter = response.headers["retry-after"];
      const words = await this.redact(body.toString("utf8", 0, 4096));
      throw statusError(what, { status, body: words, retryAfter, host: sent.url.host });
    }
    return parseToken(body, what, sent.url);
  }

  #realm(challenge: Challenge, request: HttpRequest): URL {
    const realm = URL.parse(challenge.params["realm"] ?? "");
    const usable = realm !== null && /^https?:$/.test(realm.protocol) && realm.username === "";
    if (!usable)
      throw new BerthError("Unavailable", `${request.what}: ${request.url.host} names no usable token server`);
    if (realm.protocol === "http:" && !this.#insecure && !isLoopback(realm.hostname)) {
      throw new BerthError(
        "Unavailable",
        `${request.what}: the token server ${realm.host} is to be reached by plain HTTP`,
        {
          hint: "credentials are sent by HTTPS or to loopback only",
        },
      );
    }
    return realm;
  }
}

/** What a token is asked for with. */
interface Ask {
  readonly challenge: Challenge;
  readonly scope: string;
  readonly credentials: Credentials | undefined;
}

function answerBasic(challenges: readonly Challenge[], credentials: Credentials | undefined): Token | undefined {
  if (credentials?.kind !== "basic" || !challenges.some((challenge) => challenge.scheme === "basic")) return undefined;
  return { header: basicHeader(credentials), until: Number.POSITIVE_INFINITY };
}

/** GET with basic credentials or none, or the OAuth form with a refresh token (docker's token specification). */
function planTokenRequest(realm: URL, ask: Ask): Pick<HttpRequest, "url" | "method" | "headers" | "body"> {
  const { credentials } = ask;
  const { service } = ask.challenge.params;
  const scope = mergeScopes(ask.challenge.params["scope"] ?? "", ask.scope);
  if (credentials?.kind === "identity") {
    const secret = { grant_type: "refresh_token", refresh_token: credentials.token };
    const body = new URLSearchParams({ ...secret, client_id: "berth", service: service ?? "", scope }).toString();
    return { url: realm, method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" }, body };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  for (const one of scope.split(" ").filter(Boolean)) url.searchParams.append("scope", one);
  return { url, headers: credentials?.kind === "basic" ? { authorization: basicHeader(credentials) } : {} };
}

/** What the server wants, and what else the request is for (a blob of another repository), each resource once. */
function mergeScopes(wanted: string, own: string): string {
  const resourceOf = (scope: string): string => scope.slice(0, scope.lastIndexOf(":"));
  const first = wanted.split(" ").filter(Boolean);
  const known = new Set(first.map(resourceOf));
  return [...first, ...own.split(" ").filter((scope) => scope !== "" && !known.has(resourceOf(scope)))].join(" ");
}

function basicHeader(credentials: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

function parseToken(body: Buffer, what: string, url: URL): Token {
  let doc: { token?: unknown; access_token?: unknown; expires_in?: unknown } | null;
  try {
    doc = JSON.parse(body.toString("utf8")) as typeof doc;
  } catch {
    doc = null;
  }
  const token = doc?.token || doc?.access_token;
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) {
    throw new BerthError("Unavailable", `${what}: ${url.host} answered without a token`);
  }
  const life = typeof doc?.expires_in === "number" && doc.expires_in > 0 ? doc.expires_in : DEFAULT_LIFE_S;
  // A fifth earlier, so that it does not run out on the way.
  return { header: `Bearer ${token}`, until: Date.now() + life * 800 };
}
