import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BerthError, isCode } from "@berth/base";
import { listProcessesWithEnv } from "@berth/linux";
import { openState, type State } from "@berth/state";
import { cancelled, noNamespace, noPlugin, noRight, noSubnet } from "./errors.ts";
import { readIfThere } from "./host.ts";
import { removeMasquerade } from "./masquerade.ts";
import { planPlugins, readResult } from "./plan.ts";
import { environmentEntry, hasPlugin, runPlugin } from "./plugin.ts";
import { reservePorts } from "./ports.ts";
import { listNameservers } from "./resolv.ts";
import * as store from "./store.ts";
import { chooseSubnet, formatSubnet, parseRoutes } from "./subnet.ts";
import type { AttachRequest, NetworkResult, Networks } from "./types.ts";

const PLUGIN_DIRS = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
const NEEDED = ["bridge", "host-local"];
const ORPHAN_TIMEOUT_MS = 10_000;

export interface NetworksOptions {
  /** Directory of records and addresses in use, on a file system that is empty after boot. */
  readonly dir?: string | undefined;
  /** Of the bridge, which is the network's name too. */
  readonly name?: string | undefined;
  /** Default: CNI_PATH, else where distributions put them. */
  readonly pluginDirs?: readonly string[] | undefined;
}

/** Opens the machine's default network. Cheap: nothing is read or made. */
export function openNetworks(options: NetworksOptions = {}): Networks {
  const fromEnv = process.env["CNI_PATH"]?.split(":").filter(Boolean);
  return new BridgeNetwork({
    dir: options.dir ?? "/run/berth-networks",
    name: options.name ?? "berth0",
    pluginDirs: options.pluginDirs ?? (fromEnv?.length ? fromEnv : PLUGIN_DIRS),
  });
}

class BridgeNetwork implements Networks {
  readonly #dir: string;
  readonly #name: string;
  readonly #dirs: readonly string[];
  #opened: State | undefined;

  constructor(options: { readonly dir: string; readonly name: string; readonly pluginDirs: readonly string[] }) {
    this.#dir = options.dir;
    this.#name = options.name;
    this.#dirs = options.pluginDirs;
  }

  async attach(request: AttachRequest): Promise<NetworkResult> {
    const { containerId, netnsPath, ports, signal } = request;
    const needed = [...NEEDED, ...(ports.length > 0 ? ["portmap"] : [])];
    const missing = needed.find((name) => !hasPlugin(name, this.#dirs));
    if (missing !== undefined) throw noPlugin(missing, this.#dirs);
    if (!existsSync(netnsPath)) throw noNamespace(netnsPath);
    try {
      await this.#reap();
      using _lease = await this.#lease(containerId, signal);
      // What a process left that died in the middle, or without a detach.
      await this.#undo(containerId);
      store.addAttachment(this.#state.db, containerId, netnsPath);
      try {
        return await this.#add(request);
      } catch (error) {
        await this.#undo(containerId).catch(() => {
          // The row stays, so that detach, or the next attach of anybody, undoes it; this error says less.
        });
        throw error;
      }
    } catch (error) {
      throw signal?.aborted && !isCode(error, "Cancelled") ? cancelled(containerId, error) : error;
    }
  }

  async detach(containerId: string): Promise<void> {
    if (this.#record(containerId) === undefined) return;
    using _lease = await this.#lease(containerId, undefined);
    await this.#undo(containerId);
  }

  find(containerId: string): NetworkResult | undefined {
    return this.#record(containerId)?.result;
  }

  [Symbol.dispose](): void {
    this.#opened?.[Symbol.dispose]();
    this.#opened = undefined;
  }

  get #state(): State {
    try {
      this.#opened ??= openState(this.#path, store.migrations);
      return this.#opened;
    } catch (error) {
      throw error instanceof BerthError && error.code === "PermissionDenied" ? noRight(error) : error;
    }
  }

  /** Undefined too where the records may not be read: who may not write them has attached nothing. */
  #record(containerId: string): ReturnType<typeof store.findAttachment> {
    if (this.#opened === undefined && !existsSync(this.#path)) return undefined;
    try {
      return store.findAttachment(this.#state.db, containerId);
    } catch (error) {
      if (isCode(error, "PermissionDenied")) return undefined;
      throw error;
    }
  }

  get #path(): string {
    return join(this.#dir, `${this.#name}.db`);
  }

  async #lease(containerId: string, signal: AbortSignal | undefined): Promise<Disposable> {
    return this.#state.lease(`attachment:${containerId}`, signal === undefined ? {} : { signal });
  }

  async #add({ containerId, netnsPath, ports: wanted, signal }: AttachRequest): Promise<NetworkResult> {
    const { db } = this.#state;
    const ports = await reservePorts(this.#state, containerId, wanted);
    const plugins = planPlugins({
      name: this.#name,
      subnet: this.#subnet(),
      ipamDir: join(this.#dir, "ipam"),
      ports,
      firewall: hasPlugin("firewall", this.#dirs),
    });
    store.setPlugins(db, containerId, plugins);
    let last: unknown;
    for (const plugin of plugins) {
      const config = last === undefined ? plugin : { ...plugin, prevResult: last };
      const call = { command: "ADD" as const, containerId, netnsPath, config, dirs: this.#dirs, signal };
      last = (await runPlugin(call)) ?? last;
      store.setCniResult(db, containerId, last);
    }
    const result = readResult(last, ports);
    store.setResult(db, containerId, result);
    return result;
  }

  /** CNI's DEL for whatever ADD may have done; the record goes last. */
  async #undo(containerId: string): Promise<void> {
    const row = store.findAttachment(this.#state.db, containerId);
    if (row === undefined) return;
    const isGone = !existsSync(row.netnsPath);
    const isHalf = row.result === undefined;
    if (row.plugins.length > 0) {
      if (isHalf) await waitForOrphans(containerId);
      for (const plugin of row.plugins.toReversed()) {
        const config = row.cniResult === undefined ? plugin : { ...plugin, prevResult: row.cniResult };
        const netnsPath = isGone ? "" : row.netnsPath;
        await runPlugin({ command: "DEL", containerId, netnsPath, config, dirs: this.#dirs });
      }
      if (isHalf || isGone) await removeMasquerade(this.#name, containerId);
    }
    store.removeAttachment(this.#state.db, containerId);
  }

  /** Undoes attachments whose namespace is gone: their data root may be gone too. */
  async #reap(): Promise<void> {
    for (const { containerId, netnsPath } of store.listAttachments(this.#state.db)) {
      if (existsSync(netnsPath)) continue;
      try {
        await this.detach(containerId);
      } catch (error) {
        // Not this container's business; the next one tries again.
        if (!(error instanceof BerthError)) throw error;
      }
    }
  }

  /** Subnet of the bridge, chosen by whoever needs it first. */
  #subnet(): string {
    const { db } = this.#state;
    const found = store.findSubnet(db, this.#name);
    if (found !== undefined) return found;
    const routes = parseRoutes(readIfThere("/proc/net/route"));
    const servers = listNameservers(readIfThere("/etc/resolv.conf")).filter((one) => /^\d+(\.\d+){3}$/.test(one));
    return this.#state.transaction(() => {
      const meanwhile = store.findSubnet(db, this.#name);
      if (meanwhile !== undefined) return meanwhile;
      const chosen = chooseSubnet(this.#name, routes, servers);
      if (chosen === undefined) throw noSubnet();
      const subnet = formatSubnet(chosen);
      store.addSubnet(db, this.#name, subnet);
      return subnet;
    });
  }
}

/** Plugins of a process that was killed go on: until they end, DEL would miss what they still make. */
async function waitForOrphans(containerId: string): Promise<void> {
  const until = performance.now() + ORPHAN_TIMEOUT_MS;
  while (performance.now() < until && listProcessesWithEnv(environmentEntry(containerId)).length > 0) await sleep(10);
}
