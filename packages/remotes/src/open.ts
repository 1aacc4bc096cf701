import type { Descriptor } from "@berth/oci";
import type { State } from "@berth/state";
import type {
  ArtifactFile,
  CopyOptions,
  HostsOptions,
  Indexes,
  LoginOptions,
  PullArtifactOptions,
  PulledArtifact,
  PushArtifactOptions,
  Pushed,
  Remotes,
} from "./types.ts";

export interface RemotesOptions extends HostsOptions {
  /** Opened with this package's `migrations`. */
  readonly state: State;
  /** Where the files with credentials are named; default: this process's. */
  readonly env?: NodeJS.ProcessEnv | undefined;
}

/** Cheap: nothing is read, loaded or connected before a method is called. */
export function createRemotes(options: RemotesOptions): Remotes {
  return new HostRemotes(options);
}

class HostRemotes implements Remotes {
  readonly #options: RemotesOptions;

  constructor(options: RemotesOptions) {
    this.#options = options;
  }

  async login(
    domain: string,
    credentials: { readonly username: string; readonly password: string },
    options: LoginOptions = {},
  ): Promise<{ readonly path: string; readonly helper: string | undefined }> {
    const { openRegistry, saveCredentials } = await import("@berth/registry");
    const { caFile, insecureRegistries = [], env = process.env } = this.#options;
    const insecure = (options.insecure ?? false) || insecureRegistries.includes(domain);
    using registry = openRegistry({ domain, insecure, caFile, credentials: { kind: "basic", ...credentials } });
    await registry.check(options.signal);
    return await saveCredentials(env, domain, credentials, options.authFile);
  }

  async logout(domain: string, options: LoginOptions = {}): Promise<boolean> {
    const { removeCredentials } = await import("@berth/registry");
    return await removeCredentials(this.#options.env ?? process.env, domain, options.authFile);
  }

  async copy(from: string, to: string, options: CopyOptions = {}): Promise<Pushed> {
    const { copy } = await import("./copy.ts");
    using hosts = await this.#connect();
    return await copy(hosts, hosts.parse(from), hosts.parse(to), options);
  }

  async pushArtifact(name: string, files: readonly ArtifactFile[], options: PushArtifactOptions): Promise<Pushed> {
    const { pushArtifact } = await import("./artifacts.ts");
    using hosts = await this.#connect();
    return await pushArtifact(hosts, hosts.parse(name), files, options);
  }

  async pullArtifact(name: string, options: PullArtifactOptions): Promise<PulledArtifact> {
    const { pullArtifact } = await import("./artifacts.ts");
    using hosts = await this.#connect();
    return await pullArtifact(hosts, hosts.parse(name), options);
  }

  async *tags(repository: string, signal?: AbortSignal): AsyncGenerator<string> {
    using hosts = await this.#connect();
    const { registry, path } = hosts.target(hosts.parse(repository));
    yield* registry.listTags(path, { signal });
  }

  async remove(name: string, signal?: AbortSignal): Promise<void> {
    using hosts = await this.#connect();
    const ref = hosts.parse(name);
    const { registry, path } = hosts.target(ref);
    await registry.remove(path, ref.digest ?? ref.tag ?? "latest", signal);
  }

  async referrers(
    name: string,
    options: { readonly artifactType?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<readonly Descriptor[]> {
    using hosts = await this.#connect();
    const ref = hosts.parse(name);
    const { registry, path } = hosts.target(ref);
    const known = ref.digest ?? (await registry.fetchManifest(path, ref.tag ?? "latest", options.signal)).digest;
    return await registry.listReferrers(path, known, options);
  }

  async indexes(): Promise<Indexes> {
    const { createIndexes } = await import("./indexes.ts");
    const { Hosts } = await import("./hosts.ts");
    return createIndexes(this.#options.state, () => new Hosts(this.#options));
  }

  async #connect(): Promise<import("./hosts.ts").Hosts> {
    const { Hosts } = await import("./hosts.ts");
    return new Hosts(this.#options);
  }
}
