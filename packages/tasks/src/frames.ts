import { FRAME_MAX } from "@berth/protocol";

const HEADER = 5;

/** One frame of the monitor's socket: type, length, payload (packages/protocol, "Frames"). */
export function encodeFrame(type: number, payload: Uint8Array | string = ""): Buffer {
  const body = typeof payload === "string" ? Buffer.from(payload) : payload;
  const frame = Buffer.allocUnsafe(HEADER + body.length);
  frame[0] = type;
  frame.writeUInt32BE(body.length, 1);
  frame.set(body, HEADER);
  return frame;
}

export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
}

/** Cuts a byte stream into frames. */
export class FrameDecoder {
  #rest: Buffer = Buffer.alloc(0);

  /**
   * The frames that `chunk` completes, in order.
   *
   * @throws {RangeError} if a frame announces more than FRAME_MAX bytes: the stream is lost
   */
  *push(chunk: Buffer): Generator<Frame> {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (data.length >= HEADER) {
      const length = data.readUInt32BE(1);
      if (length > FRAME_MAX) throw new RangeError(`frame of ${length} bytes`);
      if (data.length < HEADER + length) break;
      yield { type: data[0] ?? 0, payload: data.subarray(HEADER, HEADER + length) };
      data = data.subarray(HEADER + length);
    }
    this.#rest = data;
  }
}
