import { BerthError, isCode } from "@berth/base";
import { parseReference, type Reference } from "@berth/oci";
import { type FetchedManifest, openRegistry, type Registry } from "@berth/registry";
import { readRules } from "./names.ts";
import { expandName, type Place, planSources, planTarget } from "./plan.ts";
import type { RegistriesConf } from "./registries-conf.ts";
import type { HostsOptions } from "./types.ts";

/** A repository on a host, with the client that speaks to it. */
export interface Repository {
  readonly registry: Registry;
  readonly domain: string;
  readonly path: string;
}

/** A manifest, and the repositories that may have what it names, in the order to ask them. */
export interface Found extends FetchedManifest {
  readonly sources: readonly Repository[];
}

/** Knows which host serves what, and keeps the connections of one piece of work. */
export class Hosts implements Disposable {
  readonly #options: HostsOptions;
  readonly #open = new Map<string, Registry>();
  #conf: RegistriesConf | undefined;

  constructor(options: HostsOptions) {
    this.#options = options;
  }

  /** Reads a name of the user; short names by their aliases. */
  parse(text: string): Reference {
    return parseReference(expandName(text, this.#rules()));
  }

  /** The repository that is changed under this name. */
  target(ref: Reference): Repository {
    return this.#connect(planTarget(ref, this.#rules()));
  }

  /** The manifest or index that a name leads to, from the first host that has it. */
  async find(ref: Reference, signal?: AbortSignal): Promise<Found> {
    const places = planSources(ref, this.#rules());
    const reference = ref.digest ?? ref.tag ?? "latest";
    for (const [i, place] of places.entries()) {
      try {
        const repository = this.#connect(place);
        const found = await repository.registry.fetchManifest(repository.path, reference, signal);
        return { ...found, sources: [repository, ...places.slice(i + 1).map((next) => this.#connect(next))] };
      } catch (error) {
        if (i === places.length - 1 || !mayHelp(error)) throw error;
      }
    }
    throw new BerthError("NotFound", `find ${reference}: no host serves it`);
  }

  [Symbol.dispose](): void {
    for (const registry of this.#open.values()) registry[Symbol.dispose]();
    this.#open.clear();
  }

  #rules(): RegistriesConf {
    this.#conf ??= readRules(this.#options);
    return this.#conf;
  }

  #connect(place: Place): Repository {
    const { domain, path } = place;
    const key = `${domain}/${path}`;
    const { insecureRegistries = [], caFile } = this.#options;
    const insecure = place.insecure || insecureRegistries.includes(domain);
    const registry = this.#open.get(key) ?? openRegistry({ domain, repository: path, insecure, caFile });
    this.#open.set(key, registry);
    return { registry, domain, path };
  }
}

/** True for failures after which the next host is worth a try; wrong bytes and an interrupt are none. */
export function mayHelp(error: unknown): boolean {
  const codes = ["NotFound", "Unavailable", "Unauthenticated", "PermissionDenied", "DeadlineExceeded"] as const;
  return codes.some((code) => isCode(error, code));
}
