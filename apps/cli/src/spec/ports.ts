import type { PortMapping } from "@berth/engine";
import { invalid } from "./values.ts";

/**
 * `[[IP:][HOST]:]PORT[/PROTOCOL]`; HOST and PORT may be ranges of the same length, an IPv6 address stands in brackets.
 *
 * @throws {BerthError} InvalidArgument
 */
export function parsePorts(items: readonly string[]): readonly PortMapping[] {
  return items.flatMap(parsePort);
}

function parsePort(text: string): readonly PortMapping[] {
  const fail = (why: string): Error =>
    invalid(
      `invalid argument "${text}" for "-p, --publish" flag: ${why}`,
      "write [[IP:]HOST_PORT:]CONTAINER_PORT[/tcp|udp|sctp]",
    );
  const { hostIp, host, container, protocol } = splitPort(text, fail);
  const [from, to] = parseRange(container, (port) => fail(`invalid containerPort: ${port}`));
  const hosts = host === "" ? undefined : parseRange(host, (port) => fail(`invalid hostPort: ${port}`));
  if (hosts !== undefined && hosts[1] - hosts[0] !== to - from) {
    throw fail(`the ranges ${host} and ${container} differ in length`);
  }
  return Array.from({ length: to - from + 1 }, (_, i) => ({
    hostIp,
    hostPort: hosts === undefined ? 0 : hosts[0] + i,
    containerPort: from + i,
    protocol,
  }));
}

interface PortParts {
  readonly hostIp: string;
  /** Port or range; empty: any. */
  readonly host: string;
  readonly container: string;
  readonly protocol: PortMapping["protocol"];
}

function splitPort(text: string, fail: (why: string) => Error): PortParts {
  const match = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?(?:([0-9-]*):)?([0-9-]+)(?:\/([a-zA-Z]+))?$/.exec(text);
  if (match === null) throw fail("not a port");
  const [, bracketed, plain = "", middle, container = "", protocolText = "tcp"] = match;
  const protocol = protocolText.toLowerCase();
  if (protocol !== "tcp" && protocol !== "udp" && protocol !== "sctp") throw fail(`invalid protocol: ${protocolText}`);
  // With one colon only, what stands before it is the host's port: `8080:80`.
  if (bracketed === undefined && middle === undefined) return { hostIp: "", host: plain, container, protocol };
  const hostIp = bracketed ?? plain;
  if (hostIp !== "" && !isAddress(hostIp, bracketed !== undefined)) throw fail(`invalid IP address: ${hostIp}`);
  return { hostIp, host: middle ?? "", container, protocol };
}

function parseRange(text: string, fail: (port: string) => Error): readonly [number, number] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (match === null || from < 1 || to > 65_535 || from > to) throw fail(text);
  return [from, to];
}

/** A rough look, so that a name is refused at once; who binds the port judges the rest. */
function isAddress(text: string, six: boolean): boolean {
  if (six) return /^[0-9a-fA-F:.]+(%\w+)?$/.test(text) && text.includes(":");
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255);
}
