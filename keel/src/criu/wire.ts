// Protocol buffers (protobuf.dev "Encoding"), as much of them as CRIU's RPC needs: numbers of at most 32 bits, text, messages.
import { runtimeError } from "../lib/errors.ts";

/** A field of a message to send: its number and value. A field that repeats stands there several times. */
export type Field = readonly [number, number | boolean | string | readonly Field[]];

/** A field of a message that came: number and value; of text and messages, where they begin and end. */
export interface Received {
  readonly tag: number;
  readonly value: number;
  readonly start: number;
  readonly end: number;
}

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

export function encodeMessage(fields: readonly Field[]): Uint8Array {
  const out: number[] = [];
  putMessage(out, fields);
  return new Uint8Array(out);
}

function putMessage(out: number[], fields: readonly Field[]): void {
  for (let i = 0; i < fields.length; i++) {
    const [tag, value] = fields[i] as Field;
    if (typeof value === "number" || typeof value === "boolean") {
      putVarint(out, tag * 8 + VARINT);
      putVarint(out, Number(value));
      continue;
    }
    putVarint(out, tag * 8 + DELIMITED);
    if (typeof value === "string") putBytes(out, sys.bytesFromString(value));
    else {
      const inner: number[] = [];
      putMessage(inner, value);
      putBytes(out, inner);
    }
  }
}

function putBytes(out: number[], bytes: ArrayLike<number>): void {
  putVarint(out, bytes.length);
  for (let i = 0; i < bytes.length; i++) out.push(bytes[i] as number);
}

/** A negative one is sent as the 64 bits of its two's complement, also where its type has 32. */
function putVarint(out: number[], value: number): void {
  let low = value >>> 0;
  for (let i = 0; value < 0 && i < 4; i++) {
    out.push((low & 127) | 128);
    low = low >>> 7;
  }
  if (value < 0) {
    out.push(low | 0xf0, 255, 255, 255, 255, 1);
    return;
  }
  while (low > 127) {
    out.push((low & 127) | 128);
    low = low >>> 7;
  }
  out.push(low);
}

/** The fields of the message that lies in the bytes from `start` to `end`, in their order. */
export function decodeMessage(bytes: Uint8Array, start: number, end: number): Received[] {
  const found: Received[] = [];
  let at = start;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= end) throw malformed("a number is cut off");
      const byte = bytes[at++] as number;
      // what is above 32 bits is the sign of a negative number
      if (shift < 32) value = value | ((byte & 127) << shift);
      if (byte < 128) return value;
    }
    throw malformed("a number has more than ten bytes");
  };
  while (at < end) {
    const key = varint();
    const tag = key >>> 3;
    const kind = key & 7;
    const value = kind === VARINT || kind === DELIMITED ? varint() : 0;
    const size = kind === DELIMITED ? value : kind === FIXED64 ? 8 : kind === FIXED32 ? 4 : 0;
    if (kind !== VARINT && size === 0 && kind !== DELIMITED)
      throw malformed(`field ${tag} has the unknown type ${kind}`);
    if (size < 0 || size > end - at) throw malformed(`field ${tag} is cut off`);
    found.push({ tag, value, start: at, end: at + size });
    at += size;
  }
  return found;
}

/** The last field of a number, since a later one takes the place of those before it. */
export function lastField(fields: readonly Received[], tag: number): Received | undefined {
  for (let i = fields.length - 1; i >= 0; i--) if ((fields[i] as Received).tag === tag) return fields[i];
  return undefined;
}

function malformed(how: string): unknown {
  return runtimeError("DataLoss", `read CRIU's answer: ${how}`);
}
