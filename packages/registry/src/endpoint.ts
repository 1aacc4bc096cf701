/** How a registry is reached. */
export interface Endpoint {
  /** Host with optional port, as it goes into URLs. */
  readonly host: string;
  /** Host alone, without brackets. */
  readonly hostname: string;
  /** To try in this order; more than one only where plain HTTP is allowed. */
  readonly schemes: readonly ("https" | "http")[];
}

/** True for `localhost`, 127.0.0.0/8 and `::1`. */
export function isLoopback(hostname: string): boolean {
  const name = hostname.toLowerCase().replace(/^\[|\]$/g, "");
  if (name === "localhost" || name.endsWith(".localhost") || name === "::1") return true;
  const parts = name.split(".");
  return (
    parts.length === 4 && parts[0] === "127" && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)
  );
}

export interface EndpointFacts {
  readonly insecure: boolean;
  /** Somebody configured a certificate authority for this host. */
  readonly hasCa: boolean;
}

/** Plans how to reach the registry that an image name calls `domain`. */
export function planEndpoint(domain: string, facts: EndpointFacts): Endpoint {
  const host = domain === "docker.io" ? "registry-1.docker.io" : domain.toLowerCase();
  const hostname = host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (facts.hasCa) return { host, hostname, schemes: ["https"] };
  // Nobody can listen in on loopback, so the plain attempt goes first and TLS need not even be loaded.
  if (isLoopback(hostname)) return { host, hostname, schemes: ["http", "https"] };
  return { host, hostname, schemes: facts.insecure ? ["https", "http"] : ["https"] };
}

/** True if both URLs name the same scheme, host and port: only then may credentials go along. */
export function isSameOrigin(a: URL, b: URL): boolean {
  return a.protocol === b.protocol && a.host === b.host;
}
