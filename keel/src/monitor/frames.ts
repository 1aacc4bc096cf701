import { FRAME_MAX, FRAME_STDIN } from "@berth/protocol";

/** A whole frame; of a stdin frame only the part that arrived (its payload is passed on as it comes). */
export interface Frame {
  readonly type: number;
  readonly payload: Uint8Array;
}

/** What is known of the frame that is arriving on one connection. */
export interface Decoder {
  /** Bytes of the header so far, -1 is "not yet". */
  readonly header: number[];
  type: number;
  /** Payload bytes that are still to come. */
  left: number;
  /** Pieces of a payload that is kept until it is whole. */
  pieces: Uint8Array[];
}

export function newDecoder(): Decoder {
  return { header: [], type: -1, left: 0, pieces: [] };
}

/**
 * Appends the frames that `chunk` completes to `out`. False: a frame announces more than FRAME_MAX; the stream is
 * lost and its connection must be closed.
 */
export function decode(decoder: Decoder, chunk: Uint8Array, out: Frame[]): boolean {
  let at = 0;
  while (at < chunk.length) {
    if (decoder.type < 0) {
      decoder.header.push(chunk[at++] as number);
      if (decoder.header.length < 5) continue;
      const [type, a, b, c, d] = decoder.header as [number, number, number, number, number];
      decoder.left = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
      if (decoder.left > FRAME_MAX) return false;
      decoder.type = type;
      decoder.header.length = 0;
    }
    const take = Math.min(decoder.left, chunk.length - at);
    const piece = chunk.subarray(at, at + take);
    at += take;
    decoder.left -= take;
    finishPiece(decoder, piece, out);
  }
  return true;
}

function finishPiece(decoder: Decoder, piece: Uint8Array, out: Frame[]): void {
  const whole = decoder.left === 0;
  if (decoder.type === FRAME_STDIN) {
    if (piece.length > 0) out.push({ type: FRAME_STDIN, payload: piece });
  } else if (whole) {
    out.push({ type: decoder.type, payload: decoder.pieces.length === 0 ? piece : join(decoder.pieces, piece) });
  } else if (piece.length > 0) decoder.pieces.push(piece);
  if (whole) {
    decoder.type = -1;
    decoder.pieces = [];
  }
}

function join(pieces: readonly Uint8Array[], last: Uint8Array): Uint8Array {
  let size = last.length;
  for (let i = 0; i < pieces.length; i++) size += (pieces[i] as Uint8Array).length;
  const all = new Uint8Array(size);
  let at = 0;
  for (let i = 0; i < pieces.length; i++) {
    all.set(pieces[i] as Uint8Array, at);
    at += (pieces[i] as Uint8Array).length;
  }
  all.set(last, at);
  return all;
}

/** Writes the header of a frame into the first five bytes of `frame`, whose rest is the payload. */
export function putHeader(frame: Uint8Array, type: number): void {
  const length = frame.length - 5;
  frame[0] = type;
  frame[1] = length >>> 24;
  frame[2] = (length >>> 16) & 255;
  frame[3] = (length >>> 8) & 255;
  frame[4] = length & 255;
}
