import { BerthError } from "@berth/base";
import type { Descriptor, Digest } from "@berth/oci";
import { listReferrers, listTags } from "./lists.ts";
import { checkLogin } from "./login.ts";
import { fetchBlob, fetchManifest } from "./pull.ts";
import { pushBlob, pushManifest } from "./push.ts";
import { persist } from "./retry.ts";
import { Session } from "./session.ts";
import type {
  FetchBlobOptions,
  FetchedManifest,
  ListReferrersOptions,
  ListTagsOptions,
  PushedBlob,
  PushedBy,
  PushedManifest,
  Registry,
  RegistryOptions,
} from "./types.ts";

/**
 * A client for one registry. Nothing is sent yet.
 *
 * @throws {BerthError} when a certificate cannot be read
 */
export function openRegistry(options: RegistryOptions): Registry {
  return new HttpRegistry(options);
}

class HttpRegistry implements Registry {
  readonly #session: Session;

  constructor(options: RegistryOptions) {
    this.#session = new Session(options);
  }

  check(signal?: AbortSignal): Promise<void> {
    return checkLogin(this.#session, signal);
  }

  fetchManifest(path: string, reference: string, signal?: AbortSignal): Promise<FetchedManifest> {
    return fetchManifest(this.#session, path, reference, signal);
  }

  fetchBlob(path: string, digest: Digest, options: FetchBlobOptions = {}): AsyncIterable<Uint8Array> {
    return fetchBlob(this.#session, path, digest, options);
  }

  pushBlob(path: string, blob: PushedBlob): Promise<PushedBy> {
    return pushBlob(this.#session, path, blob);
  }

  pushManifest(path: string, reference: string, manifest: PushedManifest, signal?: AbortSignal): Promise<void> {
    return pushManifest(this.#session, path, { ...manifest, reference, signal });
  }

  listTags(path: string, options: ListTagsOptions = {}): AsyncIterable<string> {
    return listTags(this.#session, path, options);
  }

  listReferrers(path: string, digest: Digest, options: ListReferrersOptions = {}): Promise<readonly Descriptor[]> {
    return listReferrers(this.#session, path, digest, options);
  }

  async remove(path: string, reference: string, signal?: AbortSignal): Promise<void> {
    const { domain } = this.#session;
    const at = `${path}/manifests/${reference}`;
    const what = `delete ${domain}/${path}${reference.includes(":") ? "@" : ":"}${reference}`;
    const scope = `repository:${path}:pull,push,delete`;
    try {
      await persist(signal, () => this.#session.ask({ method: "DELETE", at, scope, ok: [200, 202], what, signal }));
    } catch (error) {
      // docker's registry deletes no tags, and manifests only when it is told so.
      if (!(error instanceof BerthError) || error.code !== "Unimplemented") throw error;
      const hint = reference.includes(":") ? error.hint : "delete it by its digest, or ask the registry's operator";
      throw new BerthError(error.code, error.message, { hint, cause: error });
    }
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }
}
