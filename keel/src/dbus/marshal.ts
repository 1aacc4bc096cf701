// D-Bus's wire format (D-Bus specification, "Marshaling"), little-endian: only the types that systemd's manager needs.
import { runtimeError } from "../lib/errors.ts";

/** A value with its signature, of one complete type. Integers of 64 bits may be decimal strings. */
export interface Variant {
  readonly type: string;
  readonly value: Value;
}

/** Numbers for y q n u i t x, booleans for b, text for s o g, lists for arrays and structs. */
export type Value = string | number | boolean | Variant | readonly Value[];

const ALIGNMENT: { readonly [type: string]: number } = {
  y: 1,
  g: 1,
  v: 1,
  n: 2,
  q: 2,
  b: 4,
  i: 4,
  u: 4,
  s: 4,
  o: 4,
  a: 4,
  x: 8,
  t: 8,
  "(": 8,
};

/** Where the complete type that begins at `at` ends. */
function typeEnd(signature: string, at: number): number {
  const type = signature.charAt(at);
  if (type === "a") return typeEnd(signature, at + 1);
  if (type !== "(") {
    if (!ALIGNMENT[type])
      throw runtimeError("Unimplemented", `D-Bus type "${type}" in "${signature}": is not supported`);
    return at + 1;
  }
  let end = at + 1;
  while (signature.charAt(end) !== ")") {
    if (end >= signature.length) throw runtimeError("InvalidArgument", `D-Bus signature "${signature}": lacks a ")"`);
    end = typeEnd(signature, end);
  }
  // the specification has no empty structs, and an array of them would have no end
  if (end === at + 1) throw runtimeError("InvalidArgument", `D-Bus signature "${signature}": has an empty struct`);
  return end + 1;
}

/** The complete types a signature is made of. */
export function splitSignature(signature: string): string[] {
  const types: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const end = typeEnd(signature, at);
    types.push(signature.substring(at, end));
    at = end;
  }
  return types;
}

function pad(out: number[], alignment: number): void {
  while (out.length % alignment !== 0) out.push(0);
}

function pushUint32(out: number[], value: number): void {
  out.push(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
}

function pushText(out: number[], text: string, wide: boolean): void {
  const bytes = sys.bytesFromString(text);
  if (wide) pushUint32(out, bytes.length);
  else out.push(bytes.length);
  for (let i = 0; i < bytes.length; i++) out.push(bytes[i] as number);
  out.push(0);
}

/** Appends values of the signature's types; `out` must begin where the message, or its body, does. */
export function writeValues(out: number[], signature: string, values: readonly Value[]): void {
  const types = splitSignature(signature);
  for (let i = 0; i < types.length; i++) writeValue(out, types[i] as string, values[i] as Value);
}

function writeValue(out: number[], type: string, value: Value): void {
  const kind = type.charAt(0);
  pad(out, ALIGNMENT[kind] as number);
  switch (kind) {
    case "y":
      out.push((value as number) & 255);
      break;
    case "n":
    case "q":
      out.push((value as number) & 255, ((value as number) >> 8) & 255);
      break;
    case "b":
      pushUint32(out, value ? 1 : 0);
      break;
    case "i":
    case "u":
      pushUint32(out, Number(value) >>> 0);
      break;
    case "x":
    case "t":
      pushInteger64(out, String(value));
      break;
    case "s":
    case "o":
      pushText(out, value as string, true);
      break;
    case "g":
      pushText(out, value as string, false);
      break;
    case "v": {
      const variant = value as Variant;
      pushText(out, variant.type, false);
      writeValue(out, variant.type, variant.value);
      break;
    }
    case "a":
      writeArray(out, type.substring(1), value as readonly Value[]);
      break;
    default:
      writeValues(out, type.substring(1, type.length - 1), value as readonly Value[]);
  }
}

function writeArray(out: number[], element: string, values: readonly Value[]): void {
  const length = out.length;
  pushUint32(out, 0);
  // the padding before the first element is not counted
  pad(out, ALIGNMENT[element.charAt(0)] as number);
  const start = out.length;
  for (let i = 0; i < values.length; i++) writeValue(out, element, values[i] as Value);
  const size: number[] = [];
  pushUint32(size, out.length - start);
  for (let i = 0; i < 4; i++) out[length + i] = size[i] as number;
}

/** A decimal integer as 8 bytes, two's complement; numbers here may exceed 2^53. */
function pushInteger64(out: number[], text: string): void {
  const negative = text.charAt(0) === "-";
  const digits = negative ? text.substring(1) : text;
  if (!/^\d{1,20}$/.test(digits)) throw runtimeError("InvalidArgument", `"${text}" is no integer of 64 bits`);
  const bytes = [0, 0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < digits.length; i++) {
    let carry = digits.charCodeAt(i) - 48;
    for (let k = 0; k < 8; k++) {
      carry += (bytes[k] as number) * 10;
      bytes[k] = carry & 255;
      carry = carry >> 8;
    }
    if (carry > 0) throw runtimeError("InvalidArgument", `"${text}" is no integer of 64 bits`);
  }
  let one = 1;
  for (let k = 0; k < 8; k++) {
    if (!negative) out.push(bytes[k] as number);
    else {
      const byte = (~(bytes[k] as number) & 255) + one;
      out.push(byte & 255);
      one = byte >> 8;
    }
  }
}

/** A place in received bytes. What comes from the other side is checked: a short message is an error, not a crash. */
export interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

function malformed(): unknown {
  return runtimeError("DataLoss", "read from the D-Bus connection: a message is malformed");
}

function take(reader: Reader, size: number): number {
  const at = reader.at;
  if (size < 0 || at + size > reader.bytes.length) throw malformed();
  reader.at = at + size;
  return at;
}

export function align(reader: Reader, alignment: number): void {
  take(reader, (alignment - (reader.at % alignment)) % alignment);
}

export function readUint32(reader: Reader): number {
  align(reader, 4);
  const at = take(reader, 4);
  const { bytes } = reader;
  const high = bytes[at + 3] as number;
  return (
    high * 16777216 + (((bytes[at + 2] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at] as number))
  );
}

function readText(reader: Reader, length: number): string {
  const at = take(reader, length + 1);
  return sys.stringFromBytes(reader.bytes, at, at + length);
}

/** Reads a value of one complete type: those that systemd's answers are made of. */
export function readValue(reader: Reader, type: string, depth = 0): Value {
  if (depth > 16) throw malformed();
  switch (type.charAt(0)) {
    case "y":
      return reader.bytes[take(reader, 1)] as number;
    case "u":
      return readUint32(reader);
    case "b":
      return readUint32(reader) !== 0;
    case "s":
    case "o":
      return readText(reader, readUint32(reader));
    case "g":
      return readText(reader, reader.bytes[take(reader, 1)] as number);
    case "v": {
      const inner = readText(reader, reader.bytes[take(reader, 1)] as number);
      if (inner === "" || typeEnd(inner, 0) !== inner.length) throw malformed();
      return { type: inner, value: readValue(reader, inner, depth + 1) };
    }
    case "a": {
      const element = type.substring(1);
      const size = readUint32(reader);
      align(reader, ALIGNMENT[element.charAt(0)] as number);
      const end = reader.at + size;
      if (end > reader.bytes.length) throw malformed();
      const values: Value[] = [];
      while (reader.at < end) values.push(readValue(reader, element, depth + 1));
      return values;
    }
    case "(": {
      align(reader, 8);
      const types = splitSignature(type.substring(1, type.length - 1));
      const values: Value[] = [];
      for (let i = 0; i < types.length; i++) values.push(readValue(reader, types[i] as string, depth + 1));
      return values;
    }
    default:
      throw runtimeError("Unimplemented", `read from the D-Bus connection: type "${type}" is not supported`);
  }
}
