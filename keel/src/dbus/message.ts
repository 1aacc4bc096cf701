import { runtimeError } from "../lib/errors.ts";
import {
  align,
  type Reader,
  readUint32,
  readValue,
  splitSignature,
  type Value,
  type Variant,
  writeValues,
} from "./marshal.ts";

export const METHOD_RETURN = 2;
export const ERROR = 3;
export const SIGNAL = 4;

const METHOD_CALL = 1;
/** The specification allows 128 MiB; nothing that we ask for comes near this. */
const MAX_MESSAGE = 1048576;

// codes of header fields
const PATH = 1;
const INTERFACE = 2;
const MEMBER = 3;
const ERROR_NAME = 4;
const REPLY_SERIAL = 5;
const DESTINATION = 6;
const SIGNATURE = 8;

export interface Call {
  /** "" on a connection without a bus between. */
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature: string;
  readonly body: readonly Value[];
}

export interface Message {
  readonly type: number;
  readonly replySerial: number;
  readonly interface: string;
  readonly member: string;
  readonly errorName: string;
  readonly body: readonly Value[];
}

/** Bytes of a method call. */
export function encodeCall(serial: number, call: Call): Uint8Array {
  const body: number[] = [];
  writeValues(body, call.signature, call.body);
  const fields: Value[] = [
    [PATH, { type: "o", value: call.path }],
    [INTERFACE, { type: "s", value: call.interface }],
    [MEMBER, { type: "s", value: call.member }],
  ];
  if (call.destination) fields.push([DESTINATION, { type: "s", value: call.destination }]);
  if (call.signature) fields.push([SIGNATURE, { type: "g", value: call.signature }]);
  const out: number[] = ["l".charCodeAt(0), METHOD_CALL, 0, 1];
  writeValues(out, "uua(yv)", [body.length, serial, fields]);
  while (out.length % 8 !== 0) out.push(0);
  return new Uint8Array(out.concat(body));
}

/** Size of the message that begins with these 16 bytes or more. */
export function messageSize(bytes: Uint8Array): number {
  if (bytes[0] !== "l".charCodeAt(0) || bytes[3] !== 1)
    throw runtimeError(
      "DataLoss",
      "read from the D-Bus connection: what came is no message of this machine's byte order",
    );
  const body = readUint32({ bytes, at: 4 });
  const fields = readUint32({ bytes, at: 12 });
  const size = 16 + fields + ((8 - (fields % 8)) % 8) + body;
  if (size > MAX_MESSAGE)
    throw runtimeError("ResourceExhausted", `read from the D-Bus connection: a message has ${size} bytes`);
  return size;
}

export function decodeMessage(bytes: Uint8Array): Message {
  const reader: Reader = { bytes, at: 12 };
  const fields = readValue(reader, "a(yv)") as readonly (readonly [number, Variant])[];
  align(reader, 8);
  const texts: { [code: number]: string } = {};
  let replySerial = 0;
  for (let i = 0; i < fields.length; i++) {
    const [code, variant] = fields[i] as readonly [number, Variant];
    if (code === REPLY_SERIAL) replySerial = variant.value as number;
    else if (typeof variant.value === "string") texts[code] = variant.value;
  }
  const body: Value[] = [];
  const type = bytes[1] as number;
  // of signals that nobody waits for, whatever their types are, nothing is read
  const member = texts[MEMBER] || "";
  if (type !== SIGNAL || member === "JobRemoved") {
    // positions in the body count from its own begin, which is a multiple of 8
    const types = splitSignature(texts[SIGNATURE] || "");
    for (let i = 0; i < types.length; i++) body.push(readValue(reader, types[i] as string));
  }
  return {
    type,
    replySerial,
    interface: texts[INTERFACE] || "",
    member,
    errorName: texts[ERROR_NAME] || "",
    body,
  };
}
