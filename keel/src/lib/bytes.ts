// Little-endian numbers in the byte arrays that system calls get; every machine keel runs on has that order.

export function putU32(into: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) into[at + i] = (value >>> (8 * i)) & 255;
}

/** A 64-bit integer given as a number or as decimal digits; negative ones as their two's complement. */
export function putU64(into: Uint8Array, at: number, value: number | string): void {
  const text = String(value);
  const negative = text.charAt(0) === "-";
  let low = 0;
  let high = 0;
  for (let i = negative ? 1 : 0; i < text.length; i++) {
    low = low * 10 + Number(text.charAt(i));
    high = high * 10 + Math.floor(low / 4294967296);
    low = low % 4294967296;
  }
  if (negative) {
    high = ~high + (low === 0 ? 1 : 0);
    low = -low;
  }
  putU32(into, at, low);
  putU32(into, at + 4, high);
}

/** The mask as one hexadecimal number, without leading zeros. */
export function hexMask(bits: Uint8Array): string {
  let text = "";
  for (let i = bits.length - 1; i >= 0; i--) text += `0${(bits[i] as number).toString(16)}`.slice(-2);
  return text.replace(/^0+(?=.)/, "");
}

/** How many bits are set. */
export function countBits(bits: Uint8Array): number {
  let count = 0;
  for (let i = 0; i < bits.length * 8; i++) count += ((bits[i >> 3] as number) >> (i & 7)) & 1;
  return count;
}

/** The bits of a list such as `0-3,8` (cpuset(7) "List format"), or undefined when it is none. No bit from `limit` on. */
export function listBits(list: string, limit: number): Uint8Array | undefined {
  const bits = new Uint8Array(limit / 8);
  const parts = list.split(",");
  for (let i = 0; i < parts.length; i++) {
    const part = (parts[i] as string).replace(/^ +| +$/g, "");
    if (part === "" && parts.length > 1) continue;
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part);
    if (!match) return undefined;
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (first > last || last >= limit) return undefined;
    for (let bit = first; bit <= last; bit++) bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7));
  }
  return bits;
}
