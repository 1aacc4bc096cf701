/** Writes tar archives (POSIX ustar) whose bytes depend on the entries only: no times, no users of this machine. */

/** One entry; owner root, time 0. */
export type TarEntry =
  | { readonly kind: "file"; readonly path: string; readonly mode: number; readonly data: Uint8Array | string }
  | { readonly kind: "directory"; readonly path: string; readonly mode: number }
  | { readonly kind: "symlink"; readonly path: string; readonly target: string };

const BLOCK = 512;
const TYPE_FLAGS = { file: "0", symlink: "2", directory: "5" } as const;

function header(entry: TarEntry, size: number): Buffer {
  const path = entry.kind === "directory" ? `${entry.path}/` : entry.path;
  const target = entry.kind === "symlink" ? entry.target : "";
  if (Buffer.byteLength(path) > 100 || Buffer.byteLength(target) > 100) {
    throw new Error(`write tar entry ${path}: names are limited to 100 bytes`);
  }
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, width: number): void => {
    block.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at, "latin1");
  };
  block.write(path, 0);
  octal(entry.kind === "symlink" ? 0o777 : entry.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.write("        ", 148, "latin1");
  block.write(TYPE_FLAGS[entry.kind], 156, "latin1");
  block.write(target, 157);
  block.write("ustar\u000000root", 257, "latin1");
  block.write("root", 297, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/**
 * The archive of these entries, in their order.
 *
 * @throws {Error} if a path or link target is longer than 100 bytes
 */
export function writeTar(entries: readonly TarEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    const data = entry.kind === "file" ? Buffer.from(entry.data) : Buffer.alloc(0);
    blocks.push(header(entry, data.length), data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK));
  }
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}
