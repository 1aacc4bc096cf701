import assert from "node:assert/strict";
import { test } from "node:test";
import { heapImage, type Recording } from "./heap-image.ts";

const HEADER = 32 + 88 * 8;
const TARGET = 0x10000000;
const HERE = TARGET + 2 ** 32;
const THERE = TARGET + 2 ** 33;

interface Word {
  /** An offset in the recording that the word points to. */
  readonly to?: number;
  /** What the word is, in this process and in the other one. */
  readonly is?: readonly [bigint, bigint];
}

/** Blocks of one word each, header before it; `free` ones are in the allocator's first list. */
function recordings(words: readonly Word[], free: readonly number[] = []): readonly [Recording, Recording] {
  return [HERE, THERE].map((address, process) => {
    const bytes = new Uint8Array(HEADER + words.length * 16);
    const view = new DataView(bytes.buffer);
    const pointer = (to: number): bigint => BigInt(address + to);
    view.setBigUint64(0, pointer(at(0)), true);
    words.forEach(({ to, is }, index) => {
      view.setUint32(at(index) - 4, 8, true);
      view.setBigUint64(at(index), to === undefined ? (is?.[process] ?? 0n) : pointer(to), true);
    });
    let next = 0n;
    for (const index of free) {
      view.setBigUint64(at(index), next, true);
      next = pointer(at(index));
    }
    view.setBigUint64(32, next, true);
    return { address, bytes };
  }) as unknown as readonly [Recording, Recording];
}

/** Where the content of a block is. */
const at = (index: number): number => HEADER + 16 * index + 8;

const wordOf = (image: Uint8Array, offset: number): bigint => new DataView(image.buffer).getBigUint64(offset, true);

test("heap image: what is free goes, what points to a block points to where it is now", () => {
  const both = recordings([{ to: at(2) }, {}, { is: [7n, 7n] }, { to: at(2) + 8 }], [1]);
  const image = heapImage(...both, TARGET);
  assert.equal(image.length % 4096, 0);
  assert.equal(wordOf(image, 0), BigInt(TARGET + at(0)), "the context");
  assert.equal(wordOf(image, 8), BigInt(TARGET + HEADER + 3 * 16), "where the allocator goes on");
  assert.equal(wordOf(image, 32), 0n, "no free block");
  assert.equal(wordOf(image, at(0)), BigInt(TARGET + at(1)));
  assert.equal(wordOf(image, at(1)), 7n);
  assert.equal(wordOf(image, at(2)), BigInt(TARGET + at(1) + 8), "a pointer to the end of a block stays with it");
});

test("heap image: what is beside a tag is no pointer, and is left out", () => {
  const image = heapImage(
    ...recordings([{}, { is: [0x7fff00000008n, 0x7ff000000008n] }, { is: [8n, 2n ** 32n + 8n] }]),
    TARGET,
  );
  assert.equal(wordOf(image, at(1)), 8n);
  assert.equal(wordOf(image, at(2)), 8n);
});

test("heap image: a pointer to what was freed leads nowhere", () => {
  assert.equal(wordOf(heapImage(...recordings([{ to: at(1) }, {}], [1]), TARGET), at(0)), 0n);
});

test("heap image: what belongs to one process only is refused, but for the seed in the first block", () => {
  assert.doesNotThrow(() => heapImage(...recordings([{ is: [1n, 2n] }]), TARGET));
  assert.throws(() => heapImage(...recordings([{}, { is: [1n, 2n] }]), TARGET), /is not the same in two processes/);
  const [one] = recordings([{}]);
  assert.throws(() => heapImage(one, recordings([{}, {}])[1], TARGET), /two recordings have/);
});
