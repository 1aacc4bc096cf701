/** As much of gRPC and protobuf as a kubelet's unary calls to a CRI socket take. */
import { type ClientHttp2Session, connect } from "node:http2";
import { connect as connectSocket } from "node:net";

export type Field = readonly [number, string | number | Buffer];

/** A message of fields in the given order: numbers are varints, strings and buffers are length-delimited. */
export function message(...fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([field, value]) => {
      if (typeof value === "number") return [varint(field * 8), varint(value)];
      const bytes = typeof value === "string" ? Buffer.from(value) : value;
      return [varint(field * 8 + 2), varint(bytes.length), bytes];
    }),
  );
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

/** The first value of each field; length-delimited ones as bytes. */
export function fieldsOf(bytes: Buffer): ReadonlyMap<number, number | Buffer> {
  const found = new Map<number, number | Buffer>();
  let at = 0;
  const read = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] ?? 0;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(BigInt.asIntN(64, value));
    }
  };
  while (at < bytes.length) {
    const key = read();
    let value: number | Buffer = read();
    if ((key & 7) === 2) {
      at += value;
      value = bytes.subarray(at - value, at);
    }
    if (!found.has(key >> 3)) found.set(key >> 3, value);
  }
  return found;
}

export const textOf = (value: number | Buffer | undefined): string => (value === undefined ? "" : value.toString());

/** One connection to a service on a unix socket. */
export class Service implements Disposable {
  readonly #session: ClientHttp2Session;
  readonly #name: string;

  constructor(socket: string, name: string) {
    this.#name = name;
    this.#session = connect("http://localhost", { createConnection: () => connectSocket(socket) });
    this.#session.on("error", () => {});
  }

  /** @throws Error with the service's own message, when it answers with a status other than 0 */
  async call(method: string, request: Buffer): Promise<ReadonlyMap<number, number | Buffer>> {
    const stream = this.#session.request({
      ":method": "POST",
      ":path": `/${this.#name}/${method}`,
      "content-type": "application/grpc",
      te: "trailers",
    });
    let status: Record<string, unknown> = {};
    for (const event of ["response", "trailers"])
      stream.on(event, (headers: Record<string, unknown>) => {
        status = { ...status, ...headers };
      });
    const head = Buffer.alloc(5);
    head.writeUInt32BE(request.length, 1);
    stream.end(Buffer.concat([head, request]));
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    if (status["grpc-status"] !== "0")
      throw new Error(`${method}: ${decodeURIComponent(String(status["grpc-message"] ?? "no answer"))}`);
    return fieldsOf(Buffer.concat(chunks).subarray(5));
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}
