/** Tar archives as hostile and as strange as a test wants them: nothing is checked, every field can be set. */

export interface Entry {
  readonly path: string | Uint8Array;
  /** Type flag; default "0", a file. */
  readonly type?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly link?: string;
  readonly data?: string | Uint8Array;
  readonly major?: number;
  readonly minor?: number;
  /** Records of a pax header in front. */
  readonly pax?: Readonly<Record<string, string | Uint8Array>>;
  /** Size field, if it shall not be the data's size. */
  readonly size?: number;
}

const BLOCK = 512;

const padded = (bytes: Uint8Array): Buffer =>
  Buffer.concat([bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);

/** One entry with its data. */
export function entry(e: Entry): Buffer {
  const data = Buffer.from(e.data ?? "");
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, width: number): void => {
    block.write(
      `${Math.floor(value)
        .toString(8)
        .padStart(width - 1, "0")}\0`,
      at,
      "latin1",
    );
  };
  block.set(Buffer.from(e.path).subarray(0, 100), 0);
  octal(e.mode ?? (e.type === "5" ? 0o755 : 0o644), 100, 8);
  octal(e.uid ?? 0, 108, 8);
  octal(e.gid ?? 0, 116, 8);
  octal(e.size ?? data.length, 124, 12);
  octal(e.mtime ?? 1_000_000_000, 136, 12);
  block.write("        ", 148, "latin1");
  block.write(e.type ?? "0", 156, "latin1");
  block.set(Buffer.from(e.link ?? "").subarray(0, 100), 157);
  block.write("ustar\u000000", 257, "latin1");
  octal(e.major ?? 0, 329, 8);
  octal(e.minor ?? 0, 337, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  const body = Buffer.concat([block, padded(data)]);
  return e.pax === undefined ? body : Buffer.concat([paxHeader(e.pax), body]);
}

function paxHeader(records: Readonly<Record<string, string | Uint8Array>>): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    return Buffer.concat([Buffer.from(String(length)), rest]);
  });
  return entry({ path: "PaxHeaders/x", type: "x", data: Buffer.concat(lines) });
}

/** The archive of these entries. */
export const tar = (...entries: readonly Entry[]): Buffer =>
  Buffer.concat([...entries.map(entry), Buffer.alloc(2 * BLOCK)]);

export const dir = (path: string, more: Partial<Entry> = {}): Entry => ({ path, type: "5", ...more });
export const file = (path: string | Uint8Array, data: string | Uint8Array = "", more: Partial<Entry> = {}): Entry => ({
  path,
  data,
  ...more,
});
export const symlink = (path: string, link: string): Entry => ({ path, type: "2", link, mode: 0o777 });
export const hardlink = (path: string, link: string): Entry => ({ path, type: "1", link });
