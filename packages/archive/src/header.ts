/** The tar formats (POSIX ustar and pax, GNU) as far as they name members and say where their bytes are. */

export const BLOCK = 512;

export interface Header {
  readonly name: string;
  readonly size: number;
  readonly type: string;
  readonly linkName: string;
}

/**
 * Reads one header block.
 *
 * @returns undefined for a block of zeros (the end mark), a string with the cause if it is no header
 */
export function parseHeader(block: Buffer): Header | undefined | string {
  if (block.every((byte) => byte === 0)) return undefined;
  if (!hasChecksum(block)) return "a header's checksum is wrong";
  const size = parseNumber(block.subarray(124, 136));
  if (size === undefined) return "a member's size is no number";
  const isUstar = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isUstar ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    size,
    type: String.fromCharCode(block[156] ?? 0),
    linkName: text(block, 157, 100),
  };
}

/** One header block (POSIX ustar); a size past 8 GiB is in base-256, as GNU tar writes it. Names have at most 100 bytes. */
export function formatHeader(member: {
  readonly name: string;
  readonly size: number;
  readonly type: "0" | "5";
  readonly mode: number;
}): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, "0")}\0`;
  block.write(member.name, 0, 100);
  block.write(octal(member.mode, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  if (member.size < 8 ** 11) block.write(octal(member.size, 11), 124);
  else {
    block[124] = 0x80;
    block.writeUIntBE(member.size, 130, 6);
  }
  block.write(octal(0, 11), 136);
  block.write(member.type, 156);
  block.write("ustar\x0000", 257);
  const sum = block.fill(" ", 148, 156).reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)} `, 148);
  return block;
}

function hasChecksum(block: Buffer): boolean {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : (block[i] ?? 0);
  return parseNumber(block.subarray(148, 156)) === sum;
}

/** Octal text, or base-256 when the highest bit is set; undefined if neither, negative, or beyond 2^53. */
function parseNumber(field: Buffer): number | undefined {
  const first = field[0] ?? 0;
  if (first & 0x80) {
    let value = first & 0x7f;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = field
    .toString("latin1")
    .replace(/[\0 ]+$/, "")
    .trimStart();
  if (digits === "") return 0;
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? length : end);
}

/** Records `<length> <key>=<value>\n` of a pax header; undefined when malformed. */
export function parsePax(data: Buffer): ReadonlyMap<string, string> | undefined {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 ? "" : data.toString("latin1", at, space);
    const end = at + Number(digits);
    if (!/^[1-9]\d{0,8}$/.test(digits) || end > data.length || end <= space || data[end - 1] !== 0x0a) return undefined;
    const equals = data.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) return undefined;
    records.set(data.toString("utf8", space + 1, equals), data.toString("utf8", equals + 1, end - 1));
    at = end;
  }
  return records;
}
