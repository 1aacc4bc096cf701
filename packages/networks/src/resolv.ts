/** A resolv.conf(5) as far as containers get it. */
export interface ResolvConfInput {
  /** Text of the host's file. */
  readonly host: string;
  /** The container uses the host's network: its name servers on loopback work there too. */
  readonly hostNetwork: boolean;
  /** `--dns`; replaces the host's name servers. */
  readonly dns: readonly string[];
}

/** Docker's: used when the host has no server that a container can reach. */
const PUBLIC_SERVERS = ["8.8.8.8", "8.8.4.4"];

/**
 * Text of a container's /etc/resolv.conf, by docker's rules: the host's, without servers on loopback and, since the
 * bridge has no IPv6, without those with IPv6 addresses.
 */
export function planResolvConf({ host, hostNetwork, dns }: ResolvConfInput): string {
  if (hostNetwork && dns.length === 0) return host;
  const usable = listNameservers(host).filter((address) => hostNetwork || isReachable(address));
  const servers = dns.length > 0 ? dns : usable.length > 0 ? usable : PUBLIC_SERVERS;
  const others = host
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => /^(search|domain|options|sortlist)\s/.test(line));
  return [...servers.map((address) => `nameserver ${address}`), ...others, ""].join("\n");
}

/** Addresses of the `nameserver` lines. */
export function listNameservers(text: string): readonly string[] {
  return text.split("\n").flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
}

function isReachable(address: string): boolean {
  return /^\d+(\.\d+){3}$/.test(address) && !address.startsWith("127.");
}

/** True if systemd-resolved's stub is the only server: its own list then tells the real ones. */
export function isStubOnly(text: string): boolean {
  const servers = listNameservers(text);
  return servers.length > 0 && servers.every((address) => address === "127.0.0.53" || address === "127.0.0.54");
}
