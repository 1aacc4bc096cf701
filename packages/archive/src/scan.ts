import { readSync } from "node:fs";
import { badArchive } from "./errors.ts";
import { BLOCK, parseHeader, parsePax } from "./header.ts";
import type { TarMember } from "./types.ts";

const MAX_MEMBERS = 100_000;
const MAX_EXTENSION = 1024 * 1024;
const MAX_NAME = 4096;

/** Names and sizes that come before the member they belong to. */
interface Extension {
  name?: string;
  linkName?: string;
  size?: number;
}

/**
 * Lists the members of the tar in `fd` by reading headers only.
 *
 * @param length of the file, bytes
 * @throws {BerthError} InvalidArgument if it is no tar, is truncated, or exceeds the limits
 */
export function scanTar(fd: number, length: number, path: string): readonly TarMember[] {
  const members: TarMember[] = [];
  const block = Buffer.alloc(BLOCK);
  let extension: Extension = {};
  for (let at = 0; ; ) {
    if (readSync(fd, block, 0, BLOCK, at) !== BLOCK) throw badArchive(path, "it ends without an end mark");
    const header = parseHeader(block);
    if (typeof header === "string") throw badArchive(path, header);
    if (header === undefined) return members;
    const data = at + BLOCK;
    const size = extension.size ?? header.size;
    if (data + size > length) throw badArchive(path, "it ends in the middle of a member");
    at = data + Math.ceil(size / BLOCK) * BLOCK;
    if ("xgLK".includes(header.type)) {
      extension = { ...extension, ...readExtension(fd, header.type, data, header.size, path) };
      at = data + Math.ceil(header.size / BLOCK) * BLOCK;
      continue;
    }
    if (members.length === MAX_MEMBERS) throw badArchive(path, `more than ${MAX_MEMBERS} members`);
    members.push(
      toMember(header.type, extension.name ?? header.name, extension.linkName ?? header.linkName, data, size),
    );
    extension = {};
  }
}

function toMember(type: string, rawName: string, linkName: string, offset: number, size: number): TarMember {
  const name = normalise(rawName);
  if (name === undefined) return { kind: "other", name: "" };
  if (type === "0" || type === "\0" || type === "7") return { kind: "file", name, offset, size };
  // A hard link's target counts from the archive's root, a symbolic link's from the link's directory.
  const from = type === "1" ? "" : name.slice(0, name.lastIndexOf("/") + 1);
  const target = type === "1" || type === "2" ? normalise(from + linkName) : undefined;
  return target === undefined ? { kind: "other", name } : { kind: "link", name, target };
}

/** `a/../b/./c` as `b/c`; undefined for what is absolute, leaves the archive, or is too long. */
export function normalise(name: string): string | undefined {
  if (name.startsWith("/") || name.length > MAX_NAME || name.includes("\0")) return undefined;
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join("/");
}

function readExtension(fd: number, type: string, at: number, size: number, path: string): Extension {
  if (size > MAX_EXTENSION) throw badArchive(path, `a header extension of ${size} bytes`);
  const data = Buffer.alloc(size);
  if (readSync(fd, data, 0, size, at) !== size) throw badArchive(path, "it ends in the middle of a header");
  if (type === "g") return {};
  const plain = data.toString("utf8").replace(/\0.*$/s, "");
  if (type === "L") return { name: plain };
  if (type === "K") return { linkName: plain };
  const records = parsePax(data);
  const paxSize = records?.get("size");
  if (records === undefined || (paxSize !== undefined && !/^\d{1,15}$/.test(paxSize))) {
    throw badArchive(path, "a malformed pax header");
  }
  const [name, linkName] = [records.get("path"), records.get("linkpath")];
  return {
    ...(name === undefined ? {} : { name }),
    ...(linkName === undefined ? {} : { linkName }),
    ...(paxSize === undefined ? {} : { size: Number(paxSize) }),
  };
}
