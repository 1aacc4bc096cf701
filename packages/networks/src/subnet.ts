/** An IPv4 network. */
export interface Subnet {
  /** First address, as a number. */
  readonly base: number;
  readonly prefixLength: number;
}

export interface Route extends Subnet {
  readonly device: string;
}

/** Ranges that neither docker, podman nor the usual clusters take by default, then others. */
const CANDIDATES: readonly string[] = [
  "10.99.0.0/16",
  "10.187.0.0/16",
  "10.203.0.0/16",
  "10.67.0.0/16",
  "172.29.0.0/16",
  "172.25.0.0/16",
  "192.168.208.0/20",
  "192.168.144.0/20",
  "100.101.0.0/16",
];

/** `10.99.0.0/16` as a value; the text must be one. */
export function parseSubnet(text: string): Subnet {
  const [address = "", prefix = ""] = text.split("/");
  const prefixLength = Number(prefix);
  return { base: (parseAddress(address) & maskOf(prefixLength)) >>> 0, prefixLength };
}

export function formatSubnet({ base, prefixLength }: Subnet): string {
  return `${formatAddress(base)}/${prefixLength}`;
}

/** Address number `index` of a network. */
export function addressIn(subnet: Subnet, index: number): string {
  return formatAddress(subnet.base + index);
}

/** Routes of /proc/net/route without the default route. */
export function parseRoutes(text: string): readonly Route[] {
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [device = "", destination = "", , , , , , mask = ""] = line.split("\t");
      // Network byte order, printed as a little endian number.
      const number = (hex: string): number => Buffer.from(hex.padStart(8, "0"), "hex").readUInt32LE();
      const bits = mask.trim();
      if (!/^[0-9A-F]{8}$/.test(destination) || !/^[0-9A-F]{8}$/.test(bits)) return [];
      const prefixLength = 32 - Math.log2(2 ** 32 - number(bits));
      return prefixLength === 0 ? [] : [{ device, base: number(destination), prefixLength }];
    });
}

/**
 * Network for the bridge: the one that it has already, else the first candidate that overlaps no route and holds none
 * of the host's name servers. Undefined if all are taken.
 */
export function chooseSubnet(
  bridge: string,
  routes: readonly Route[],
  nameservers: readonly string[],
): Subnet | undefined {
  const present = routes.find((route) => route.device === bridge);
  if (present !== undefined) return { base: present.base, prefixLength: present.prefixLength };
  const servers = nameservers.map((address) => ({ base: parseAddress(address), prefixLength: 32 }));
  return CANDIDATES.map(parseSubnet).find((one) => ![...routes, ...servers].some((other) => overlaps(one, other)));
}

function overlaps(a: Subnet, b: Subnet): boolean {
  const mask = maskOf(Math.min(a.prefixLength, b.prefixLength));
  return (a.base & mask) === (b.base & mask);
}

function maskOf(prefixLength: number): number {
  return prefixLength === 0 ? 0 : (-1 << (32 - prefixLength)) >>> 0;
}

function parseAddress(text: string): number {
  return text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}
