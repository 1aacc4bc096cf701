import assert from "node:assert/strict";
import { test } from "node:test";
import { FRAME_MAX, FRAME_REQUEST, FRAME_STDIN, FRAME_STDIN_EOF } from "@berth/protocol";
import { decode, type Frame, newDecoder, putHeader } from "./frames.ts";

function frame(type: number, text: string): Buffer {
  const bytes = Buffer.from(`12345${text}`);
  putHeader(bytes, type);
  return bytes;
}

function texts(frames: readonly Frame[]): string[] {
  return frames.map((f) => `${f.type}:${Buffer.from(f.payload).toString()}`);
}

test("frames: a request is whole whatever pieces it comes in, and the frames behind it follow", () => {
  const stream = Buffer.concat([
    frame(FRAME_REQUEST, '{"op":"state"}'),
    frame(FRAME_STDIN_EOF, ""),
    frame(FRAME_REQUEST, "x"),
  ]);
  for (let size = 1; size <= stream.length; size++) {
    const decoder = newDecoder();
    const out: Frame[] = [];
    for (let at = 0; at < stream.length; at += size) assert.ok(decode(decoder, stream.subarray(at, at + size), out));
    assert.deepEqual(texts(out), [`${FRAME_REQUEST}:{"op":"state"}`, `${FRAME_STDIN_EOF}:`, `${FRAME_REQUEST}:x`]);
  }
});

test("frames: stdin is passed on as it comes and never kept", () => {
  const decoder = newDecoder();
  const out: Frame[] = [];
  const bytes = frame(FRAME_STDIN, "abcdef");
  decode(decoder, bytes.subarray(0, 7), out);
  assert.deepEqual(texts(out), [`${FRAME_STDIN}:ab`]);
  assert.equal(decoder.pieces.length, 0);
  decode(decoder, bytes.subarray(7), out);
  assert.deepEqual(texts(out), [`${FRAME_STDIN}:ab`, `${FRAME_STDIN}:cdef`]);
});

test("frames: a length over the limit ends the connection before anything is kept", () => {
  const header = (length: number): Uint8Array =>
    Uint8Array.of(FRAME_REQUEST, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255);
  assert.equal(decode(newDecoder(), header(FRAME_MAX), []), true);
  assert.equal(decode(newDecoder(), header(FRAME_MAX + 1), []), false);
  assert.equal(decode(newDecoder(), header(0xffffffff), []), false);
});

test("frames: the header carries lengths of more than one byte", () => {
  const bytes = Buffer.alloc(5 + 0x012345);
  putHeader(bytes, 2);
  assert.deepEqual([...bytes.subarray(0, 5)], [2, 0, 1, 0x23, 0x45]);
});
