/**
 * Makes the heap that the binary begins with from what a new process wrote of its own (keel/native/main.c: `record`).
 * Two processes wrote it at two addresses: what differs by the distance is a pointer. So blocks can move: those in use
 * go together, and nothing is kept of the free ones.
 */

/** What keel/native/heap.h says: two words of 32 bits before each block, and before all of them the allocator's own. */
const BLOCK_HEADER = 8;
const CONTEXT_AT = 0;
const CHUNK_AT = 8;
const CHUNK_END = 16;
const FREE_BLOCKS = 32;
const CLASSES = 88;
const HEAP_HEADER = FREE_BLOCKS + CLASSES * 8;
const PAGE = 4096;
/** The engine's seed of random numbers, in the first block, is the only thing that may differ otherwise. */
const SEED_WORDS = 2;

export interface Recording {
  readonly address: number;
  readonly bytes: Uint8Array;
}

interface Block {
  /** Where its content begins and how many bytes it may have. */
  readonly at: number;
  readonly capacity: number;
  /** Where its content will begin. */
  to: number;
}

/**
 * @param one a recording
 * @param other another one, at an address with the same low 32 bits, which the engine's hashes are seeded with
 * @param address where the image will be
 * @returns whole pages
 * @throws Error when the two are not of the same heap, or hold something of their process
 */
export function heapImage(one: Recording, other: Recording, address: number): Uint8Array {
  if (one.bytes.length !== other.bytes.length)
    throw new Error(`two recordings have ${one.bytes.length} and ${other.bytes.length} bytes`);
  const view = viewOf(one.bytes);
  const blocks = liveBlocks(one);
  let end = HEAP_HEADER;
  // functions' instructions are only read: among themselves they share pages that a process need not copy
  const read = new Set(blocks.filter((block) => isBuffer(view, block)));
  for (const block of [...blocks.filter((each) => !read.has(each)), ...read]) {
    block.to = end + BLOCK_HEADER;
    end = block.to + block.capacity;
  }
  const image = new Uint8Array(Math.ceil(end / PAGE) * PAGE);
  const written = viewOf(image);
  const moved = (pointer: number): number => {
    const at = pointer - one.address;
    const block = blockAt(blocks, at);
    // what lies unused in a block may still point to what is free by now
    return block === undefined ? 0 : address + block.to + at - block.at;
  };
  const { pointers, tags } = compare(one, other, blocks);
  for (const block of blocks) {
    image.set(one.bytes.subarray(block.at - BLOCK_HEADER, block.at + block.capacity), block.to - BLOCK_HEADER);
    for (let i = 0; i < block.capacity; i += 8) {
      if (pointers.has(block.at + i))
        written.setBigUint64(block.to + i, BigInt(moved(wordAt(view, block.at + i))), true);
      else if (tags.has(block.at + i)) written.setUint32(block.to + i + 4, 0, true);
    }
  }
  const words = [
    [CONTEXT_AT, moved(wordAt(view, CONTEXT_AT))],
    [CHUNK_AT, address + end],
    [CHUNK_END, address + image.length],
  ] as const;
  for (const [at, word] of words) written.setBigUint64(at, BigInt(word), true);
  return image;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const wordAt = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));

/** By the type in the lowest bits of an object's flags (DUK_HTYPE_BUFFER). Where other data looks so, it moves too. */
const isBuffer = (view: DataView, { at }: Block): boolean => (view.getUint32(at, true) & 3) === 2;

function liveBlocks({ address, bytes }: Recording): Block[] {
  const view = viewOf(bytes);
  const free = new Set<number>();
  for (let i = 0; i < CLASSES; i++) {
    for (let next = wordAt(view, FREE_BLOCKS + 8 * i); next !== 0; next = wordAt(view, next - address))
      free.add(next - address);
  }
  const blocks: Block[] = [];
  for (let at = HEAP_HEADER; at < bytes.length; ) {
    const capacity = view.getUint32(at + 4, true);
    if (capacity === 0 || capacity % 8 !== 0) throw new Error(`a block at ${at} has ${capacity} bytes`);
    at += BLOCK_HEADER;
    if (!free.has(at)) blocks.push({ at, capacity, to: 0 });
    at += capacity;
  }
  return blocks;
}

/** The block that a pointer belongs to; one to its end is still its own. */
function blockAt(blocks: readonly Block[], at: number): Block | undefined {
  let low = 0;
  let high = blocks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((blocks[middle] as Block).at <= at) low = middle + 1;
    else high = middle;
  }
  const found = blocks[low - 1];
  return found !== undefined && at <= found.at + found.capacity ? found : undefined;
}

/** Offsets of the words that point into the heap, and of those of which only the lower half means something. */
function compare(
  one: Recording,
  other: Recording,
  blocks: readonly Block[],
): { pointers: Set<number>; tags: Set<number> } {
  const [a, b] = [viewOf(one.bytes), viewOf(other.bytes)];
  const distance = BigInt(other.address - one.address);
  const pointers = new Set<number>();
  const tags = new Set<number>();
  let strange = 0;
  for (const block of blocks) {
    for (let at = block.at; at < block.at + block.capacity; at += 8) {
      const difference = b.getBigUint64(at, true) - a.getBigUint64(at, true);
      if (difference === 0n) continue;
      const target = wordAt(a, at) - one.address;
      if (difference === distance && target >= 0 && target <= one.bytes.length) pointers.add(at);
      // beside the tag of a value is what lay on the stack
      else if (a.getUint32(at, true) === b.getUint32(at, true)) tags.add(at);
      else if (block !== blocks[0] || ++strange > SEED_WORDS)
        throw new Error(`the heap's word at ${at} is not the same in two processes, and is no pointer into it`);
    }
  }
  return { pointers, tags };
}
