import { BerthError } from "@berth/base";

/** What stdin brought: bytes for the container, and whether the user asked to leave. */
export interface Scanned {
  readonly pass: Uint8Array;
  readonly detach: boolean;
}

export const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

/**
 * Bytes of a key sequence such as `ctrl-p,ctrl-q` or `a,b`; empty for an empty text: no keys detach.
 *
 * @throws {BerthError} InvalidArgument
 */
export function parseDetachKeys(text: string): readonly number[] {
  if (text === "") return [];
  return text.split(",").map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    const letter = /^ctrl-([a-z@[\\\]^_])$/i.exec(key)?.[1];
    if (letter === undefined) {
      throw new BerthError("InvalidArgument", `invalid detach keys "${text}": "${key}" is no key`, {
        hint: "write single characters or ctrl-LETTER, separated by commas, for example ctrl-p,ctrl-q",
      });
    }
    // ASCII: a control character is its upper-case letter without bit 6.
    return letter.toUpperCase().charCodeAt(0) & 0x1f;
  });
}

/** Looks for the keys in a stream; what might be their beginning is held back until it is not. */
export function detachScanner(keys: readonly number[]): (chunk: Uint8Array) => Scanned {
  let matched = 0;
  return (chunk) => {
    if (keys.length === 0) return { pass: chunk, detach: false };
    const pass: number[] = [];
    for (const byte of chunk) {
      if (byte !== keys[matched]) {
        pass.push(...keys.slice(0, matched));
        matched = 0;
      }
      if (byte !== keys[matched]) {
        pass.push(byte);
      } else if (++matched === keys.length) {
        return { pass: Uint8Array.from(pass), detach: true };
      }
    }
    return { pass: Uint8Array.from(pass), detach: false };
  };
}
