import assert from "node:assert/strict";
import { test } from "node:test";
import { type Guest, runInGuest } from "./guest.ts";

export interface Expected {
  /** Why there can be no guest, or false. */
  readonly skip: string | false;
  /** What the guest has to say of itself. */
  readonly about: RegExp;
  /** Fewer tests than this: something went wrong without a failing one. */
  readonly atLeast: number;
}

/** One test for a guest, and below it one for each that ran there. */
export function inGuest(name: string, expected: Expected, guest: () => Guest): void {
  test(name, { skip: expected.skip }, async (t) => {
    const { about, results } = runInGuest(guest());
    assert.match(about, expected.about);
    assert.ok(results.length >= expected.atLeast, `only ${results.length} tests ran in the guest`);
    for (const { name: inside, ok, skip, detail } of results) {
      await t.test(`${inside} [${about.split(",")[0]}]`, { skip: skip ?? false }, () => assert.ok(ok, detail));
    }
  });
}
