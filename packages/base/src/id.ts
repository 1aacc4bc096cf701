import { randomFillSync } from "node:crypto";

/** A new random id of 64 hex digits, as docker's container ids. */
export function newId(): string {
  return randomFillSync(Buffer.allocUnsafe(32)).toString("hex");
}

/** The 12 digits that tables show of a 64-digit id or of a `sha256:` digest. */
export function shortId(id: string): string {
  return id.slice(id.indexOf(":") + 1).slice(0, 12);
}
