import type { IdRange } from "@berth/protocol";
import { invalid, unsupported } from "./errors.ts";
import type { ContainerSpec, UserNamespaceSpec } from "./types.ts";

/** What systemd leaves to containers (its "UIDS-GIDS"), for hosts whose /etc/subuid gives user `containers` nothing. */
const CONTAINERS: Span = { start: 524_288, size: 1_879_048_191 - 524_288 };
const OWNER = "containers";
const MAX_ID = 4_294_967_294;

interface Span {
  readonly start: number;
  readonly size: number;
}

/** @throws {BerthError} InvalidArgument for mappings that no kernel takes */
export function checkUserns(userns: UserNamespaceSpec | undefined): void {
  if (userns === undefined) return;
  if (userns.kind === "auto") {
    if (Number.isInteger(userns.size) && userns.size > 0 && userns.size <= CONTAINERS.size) return;
    throw invalid("use --userns auto", `size ${userns.size} is not from 1 to ${CONTAINERS.size}`);
  }
  for (const [flag, ranges] of [
    ["--uidmap", userns.uid],
    ["--gidmap", userns.gid],
  ] as const)
    checkRanges(flag, ranges);
}

function checkRanges(flag: string, ranges: readonly IdRange[]): void {
  for (const [i, range] of ranges.entries()) {
    const { containerID, hostID, size } = range;
    const what = `map ${containerID}:${hostID}:${size}`;
    if (!(size > 0) || containerID + size - 1 > MAX_ID || hostID + size - 1 > MAX_ID)
      throw invalid(what, "a range has at least one id, and none above 4294967294");
    const overlaps = (other: IdRange): boolean =>
      overlap(containerID, size, other.containerID, other.size) || overlap(hostID, size, other.hostID, other.size);
    if (ranges.slice(0, i).some(overlaps)) throw invalid(what, `it overlaps another ${flag}`);
  }
  if (!ranges.some(({ containerID }) => containerID === 0))
    throw invalid(`use ${flag}`, "it gives the container no id 0", "map 0 too: programs start as root");
}

function overlap(a: number, aSize: number, b: number, bSize: number): boolean {
  return a < b + bSize && b < a + aSize;
}

/**
 * Host ids for a container that asks for any: the lowest that no other container has. They come from user `containers` in
 * /etc/subuid and /etc/subgid, as with podman, else from what systemd leaves to containers without others' ranges there.
 *
 * @param used the other containers' namespaces
 * @throws {BerthError} FailedPrecondition if there are none left
 */
export function planAutoUserns(
  size: number,
  used: readonly UserNamespaceSpec[],
  files: { readonly subuid: string; readonly subgid: string },
): UserNamespaceSpec {
  const taken = used
    .flatMap((one) => (one.kind === "map" ? [...one.uid, ...one.gid] : []))
    .map((range): Span => ({ start: range.hostID, size: range.size }));
  const pick = (text: string): readonly IdRange[] => {
    const own = parseSubIds(text).filter(({ owner }) => owner === OWNER);
    const others = own.length > 0 ? [] : parseSubIds(text).filter(({ owner }) => owner !== OWNER);
    const start = findFree(size, own.length > 0 ? own : [CONTAINERS], [...taken, ...others]);
    if (start === undefined)
      throw unsupported(
        `find ${size} free ids for --userns auto`,
        "other containers have them all",
        "give user containers more in /etc/subuid and /etc/subgid",
      );
    return [{ containerID: 0, hostID: start, size }];
  };
  return { kind: "map", uid: pick(files.subuid), gid: pick(files.subgid) };
}

function findFree(size: number, from: readonly Span[], taken: readonly Span[]): number | undefined {
  for (const span of from) {
    let at = span.start;
    for (let next: Span | undefined; ; at = next.start + next.size) {
      if (at + size > span.start + span.size) break;
      const here = at;
      next = taken.find((one) => overlap(here, size, one.start, one.size));
      if (next === undefined) return at;
    }
  }
  return undefined;
}

/** subuid(5). */
function parseSubIds(text: string): readonly (Span & { readonly owner: string })[] {
  return text.split("\n").flatMap((line) => {
    const match = /^([^:#\s]+):(\d{1,10}):(\d{1,10})\s*$/.exec(line);
    return match === null ? [] : [{ owner: match[1] ?? "", start: Number(match[2]), size: Number(match[3]) }];
  });
}

/** The mappings of a container's user namespace; undefined: it is in the host's. */
export function usernsOf(spec: Pick<ContainerSpec, "userns">): Extract<UserNamespaceSpec, { kind: "map" }> | undefined {
  return spec.userns?.kind === "map" ? spec.userns : undefined;
}
