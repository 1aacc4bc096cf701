export interface HostsInput {
  readonly hostname: string;
  /** Of the container; undefined: it has none. */
  readonly ipAddress?: string | undefined;
  /** `name:address`; the address `host-gateway` is the gateway's. */
  readonly addHosts: readonly string[];
  /** Stands for `host-gateway`; undefined: such entries name loopback. */
  readonly gateway?: string | undefined;
  /** Text of the host's file, for containers on the host's network. */
  readonly host?: string | undefined;
}

const LOCAL = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

/** Text of a container's /etc/hosts. */
export function planHosts(input: HostsInput): string {
  const base = input.host === undefined ? LOCAL : `${input.host.trimEnd()}\n`;
  const added = input.addHosts.map((entry) => {
    const at = entry.indexOf(":");
    const address = entry.slice(at + 1);
    return `${address === "host-gateway" ? (input.gateway ?? "127.0.0.1") : address}\t${entry.slice(0, at)}\n`;
  });
  // `box.example.com` answers to `box` too, as docker writes it.
  const short = input.hostname.split(".")[0] ?? "";
  const names = short === input.hostname || short === "" ? input.hostname : `${input.hostname} ${short}`;
  const own = input.ipAddress === undefined || input.ipAddress === "" ? "" : `${input.ipAddress}\t${names}\n`;
  return `${base}${added.join("")}${own}`;
}
