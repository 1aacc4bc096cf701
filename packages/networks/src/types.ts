/** A port of a container and where the host takes it; same shape as `PortMapping` of containers. */
export interface PublishedPort {
  /** IPv4 address; empty: all. */
  readonly hostIp: string;
  /** 0 in a request: a free one is chosen. */
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: "tcp" | "udp" | "sctp";
}

export interface AttachRequest {
  readonly containerId: string;
  /** Existing network namespace, pinned at this absolute path until `detach`. */
  readonly netnsPath: string;
  readonly ports: readonly PublishedPort[];
  readonly signal?: AbortSignal | undefined;
}

/** What a container has on the network; addresses are IPv4. */
export interface NetworkResult {
  readonly ipAddress: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly macAddress: string;
  /** As asked, with the chosen host ports. */
  readonly ports: readonly PublishedPort[];
}

/**
 * The default bridge network, made by CNI plugins. Bridge, addresses and ports belong to the machine, so the records
 * do too: one small database in /run, shared by all data roots, gone after a reboot like all that it describes.
 */
export interface Networks extends Disposable {
  /**
   * Connects a namespace to the bridge as `eth0` and publishes its ports. The intent is recorded first; whatever
   * happens in between, `detach` undoes it. If it fails, nothing is left.
   *
   * @throws {BerthError} FailedPrecondition if a port is taken (named, with its holder if that is a container) or a
   * plugin is missing or fails; ResourceExhausted if there is no address left; Cancelled
   */
  attach(request: AttachRequest): Promise<NetworkResult>;
  /** Undoes `attach`, also half of one, and also when the namespace is gone. Not attached is no error. */
  detach(containerId: string): Promise<void>;
  /** What `attach` made; undefined when not attached. */
  find(containerId: string): NetworkResult | undefined;
}
