import { test } from "node:test";
import { TARGETS } from "./plans.ts";
import { Random } from "./random.ts";

const ROUNDS = 1500;

for (const [name, round] of Object.entries(TARGETS)) {
  test(`fuzz: ${name}: ${ROUNDS} changed inputs become a plan or an error that names its place`, () => {
    const random = new Random(1);
    for (let i = 0; i < ROUNDS; i++) round(random);
  });
}
