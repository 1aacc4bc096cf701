import { BerthError } from "@berth/base";

/** Deepest nesting of a document; real ones stay below 10. */
const MAX_DEPTH = 32;
const MAX_KEYS = 10_000;

export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads one document from outside; every complaint names it and the field. */
export class Reader {
  readonly #what: string;

  constructor(what: string) {
    this.#what = what;
  }

  fail(field: string, why: string): BerthError {
    const place = field === "" ? "" : `field ${field}: `;
    return new BerthError("InvalidArgument", `read ${this.#what}: ${place}${why}`, {
      hint: "the image is broken: ask its publisher, or pull it from another registry",
    });
  }

  /** The document as an object, after checks of its size and depth. */
  parse(bytes: Uint8Array, maxBytes: number): JsonObject {
    return this.object(this.parseAny(bytes, maxBytes), "");
  }

  /** The document, whatever its kind. */
  parseAny(bytes: Uint8Array, maxBytes: number): unknown {
    if (bytes.length > maxBytes) throw this.fail("", `${bytes.length} bytes are more than the allowed ${maxBytes}`);
    this.#checkDepth(bytes);
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch (error) {
      throw this.fail("", `not JSON (${error instanceof Error ? error.message.slice(0, 120) : "?"})`);
    }
  }

  #checkDepth(bytes: Uint8Array): void {
    let depth = 0;
    let inString = false;
    for (let i = 0; i < bytes.length; i++) {
      const c = bytes[i];
      if (inString) {
        if (c === 0x5c) i++;
        else if (c === 0x22) inString = false;
      } else if (c === 0x22) inString = true;
      else if (c === 0x7b || c === 0x5b) {
        if (++depth > MAX_DEPTH) throw this.fail("", `nested deeper than ${MAX_DEPTH} levels`);
      } else if (c === 0x7d || c === 0x5d) depth--;
    }
  }

  object(value: unknown, field: string): JsonObject {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw this.fail(field, "not an object");
    if (Object.keys(value).length > MAX_KEYS) throw this.fail(field, `more than ${MAX_KEYS} keys`);
    return value as JsonObject;
  }

  array(value: unknown, field: string, max: number): readonly unknown[] {
    if (!Array.isArray(value)) throw this.fail(field, "not an array");
    if (value.length > max) throw this.fail(field, `${value.length} entries are more than the supported ${max}`);
    return value;
  }

  /** A string without NUL of at most `max` UTF-16 units. */
  string(value: unknown, field: string, max = 65_536): string {
    if (typeof value !== "string") throw this.fail(field, "not a string");
    if (value.length > max) throw this.fail(field, `longer than ${max} characters`);
    if (value.includes("\0")) throw this.fail(field, "contains a NUL character");
    return value;
  }

  strings(value: unknown, field: string): readonly string[] {
    return this.array(value, field, MAX_KEYS).map((item, i) => this.string(item, `${field}[${i}]`));
  }

  stringMap(value: unknown, field: string): Readonly<Record<string, string>> {
    const entries = Object.entries(this.object(value, field));
    return Object.fromEntries(entries.map(([key, item]) => [key, this.string(item, `${field}.${key.slice(0, 80)}`)]));
  }

  /** `{ key: read(value) }`, or nothing when the field is absent or null (docker writes null for empty). */
  optional<K extends string, T>(source: JsonObject, key: K, read: (value: unknown) => T): { readonly [P in K]?: T } {
    const value = Object.hasOwn(source, key) ? source[key] : undefined;
    return (value === undefined || value === null ? {} : { [key]: read(value) }) as { readonly [P in K]?: T };
  }
}
