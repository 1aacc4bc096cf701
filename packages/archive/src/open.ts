import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "@berth/base";
import { badArchive, noMember, tooLong, translate, truncated } from "./errors.ts";
import { normalise, scanTar } from "./scan.ts";
import { detectCompression, spool } from "./spool.ts";
import type { Archive, ArchiveOptions, TarMember } from "./types.ts";

const MAX_LINKS = 10;
const READ_CHUNK = 1024 * 1024;

/**
 * Opens a directory or a tar (plain, gzip or zstd; a file, a pipe, or `-` for standard input).
 *
 * @throws {BerthError} NotFound, PermissionDenied, InvalidArgument (no archive), ResourceExhausted
 */
export async function openArchive(path: string, options: ArchiveOptions): Promise<Archive> {
  try {
    if (path !== "-" && statSync(path).isDirectory()) return openDirectory(path);
    return await openTar(path, options);
  } catch (error) {
    throw translate(error, path);
  }
}

function openDirectory(root: string): Archive {
  const file = (name: string): string => join(root, normalise(name) ?? "");
  const statOf = (name: string): Stats | undefined => {
    try {
      const stat = statSync(file(name), { throwIfNoEntry: false });
      return stat?.isFile() ? stat : undefined;
    } catch (error) {
      if (errnoOf(error) === "ENOTDIR") return undefined;
      throw translate(error, file(name));
    }
  };
  return {
    path: root,
    size: (name) => statOf(name)?.size,
    read: (name, offset = 0) => {
      if (statOf(name) === undefined) throw noMember(root, name);
      return createReadStream(file(name), { start: offset, highWaterMark: READ_CHUNK });
    },
    readAll: (name, maxBytes) => {
      const stat = statOf(name);
      if (stat === undefined) throw noMember(root, name);
      if (stat.size > maxBytes) throw tooLong(root, name, maxBytes);
      try {
        return readFileSync(file(name));
      } catch (error) {
        throw translate(error, file(name));
      }
    },
    [Symbol.dispose]: () => {},
  };
}

async function openTar(path: string, options: ArchiveOptions): Promise<Archive> {
  const source = path === "-" ? 0 : openSync(path, constants.O_RDONLY);
  let { fd, length } = { fd: source, length: fstatSync(source).size };
  try {
    const head = Buffer.alloc(6);
    const seekable = fstatSync(source).isFile() && path !== "-";
    if (!seekable || (readSync(source, head, 0, 6, 0) === 6 && detectCompression(head) !== "none")) {
      ({ fd, length } = await spool(path, source, options));
      if (path !== "-") closeSync(source);
    }
    return new TarArchive(path, fd, scanTar(fd, length, path));
  } catch (error) {
    if (fd !== 0) closeSync(fd);
    throw error;
  }
}

class TarArchive implements Archive {
  readonly path: string;
  readonly #fd: number;
  readonly #members: ReadonlyMap<string, TarMember>;

  constructor(path: string, fd: number, members: readonly TarMember[]) {
    this.path = path;
    this.#fd = fd;
    // The last of several members of one name counts, as when unpacking.
    this.#members = new Map(members.map((member) => [member.name, member]));
    if (members.length === 0) throw badArchive(path, "it is empty");
  }

  size(name: string): number | undefined {
    return this.#find(name)?.size;
  }

  async *read(name: string, offset = 0): AsyncGenerator<Uint8Array> {
    const member = this.#get(name);
    for (let at = offset; at < member.size; ) {
      const chunk = Buffer.allocUnsafe(Math.min(READ_CHUNK, member.size - at));
      const read = readSync(this.#fd, chunk, 0, chunk.length, member.offset + at);
      if (read === 0) throw truncated(this.path, name);
      yield chunk.subarray(0, read);
      at += read;
    }
  }

  readAll(name: string, maxBytes: number): Buffer {
    const member = this.#get(name);
    if (member.size > maxBytes) throw tooLong(this.path, name, maxBytes);
    const bytes = Buffer.alloc(member.size);
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(this.#fd, bytes, at, bytes.length - at, member.offset + at);
      if (read === 0) throw truncated(this.path, name);
      at += read;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #get(name: string): TarMember & { readonly kind: "file" } {
    const member = this.#find(name);
    if (member === undefined) throw noMember(this.path, name);
    return member;
  }

  #find(name: string): (TarMember & { readonly kind: "file" }) | undefined {
    let member = this.#members.get(normalise(name) ?? "");
    for (let hops = 0; member?.kind === "link" && hops < MAX_LINKS; hops++) member = this.#members.get(member.target);
    return member?.kind === "file" ? member : undefined;
  }
}
