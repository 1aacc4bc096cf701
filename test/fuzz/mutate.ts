/** Changes documents at random places: other values, other types, things gone, doubled, swapped, nested. */
import { type Json, LONG_MARK, LONG_NUMBERS, NUMBERS, STRINGS } from "./corpus.ts";
import type { Random } from "./random.ts";

interface Place {
  readonly parent: Json;
  readonly key: string | number;
}

function placesOf(value: Json, found: Place[]): void {
  if (typeof value !== "object" || value === null) return;
  for (const key of Object.keys(value)) {
    found.push({ parent: value, key });
    placesOf(value[key], found);
  }
}

export function anyString(random: Random): string {
  const first = random.pick(STRINGS);
  if (random.once(4))
    return `${first}${random.pick(["/", ",", "=", ":", ".", " ", "\n", "\u0000", ""])}${random.pick(STRINGS)}`;
  return random.once(40) ? first.repeat(50) : first;
}

function anyValue(random: Random, depth = 0): Json {
  switch (random.below(depth > 2 ? 6 : 9)) {
    case 0:
      return random.pick(NUMBERS);
    case 1:
      return `${LONG_MARK}${random.pick(LONG_NUMBERS)}`;
    case 2:
    case 3:
      return anyString(random);
    case 4:
      return random.once(2);
    case 5:
      return null;
    case 6:
      return Array.from({ length: random.below(4) }, () => anyValue(random, depth + 1));
    case 7:
      return { [anyString(random)]: anyValue(random, depth + 1) };
    default:
      return {};
  }
}

/** As the value there, but different. */
function nearValue(value: Json, random: Random): Json {
  if (typeof value === "string") return anyString(random);
  if (typeof value === "number")
    return random.once(4) ? `${LONG_MARK}${random.pick(LONG_NUMBERS)}` : random.pick(NUMBERS);
  if (typeof value === "boolean") return !value;
  return anyValue(random);
}

function changeOne(document: Json, random: Random): void {
  const places: Place[] = [];
  placesOf(document, places);
  if (places.length === 0) return;
  const { parent, key } = random.pick(places);
  const other = random.pick(places);
  switch (random.below(8)) {
    case 0:
      parent[key] = anyValue(random);
      return;
    case 1:
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else delete parent[key];
      return;
    case 2:
      if (Array.isArray(parent))
        parent.push(structuredClone(parent[Number(key)]), nearValue(parent[Number(key)], random));
      else
        Object.defineProperty(parent, anyString(random), {
          value: parent[key],
          enumerable: true,
          writable: true,
          configurable: true,
        });
      return;
    case 3:
      parent[key] = structuredClone(other.parent[other.key]);
      return;
    default:
      parent[key] = nearValue(parent[key], random);
  }
}

/** One to `most` changes in a document of one's own. */
export function mutate(document: Json, random: Random, most = 6): Json {
  for (let i = random.below(most); i >= 0; i--) changeOne(document, random);
  return document;
}

/** Its text, with the long integers as integers; now and then cut or with a byte changed. */
export function textOf(document: Json, random: Random): string {
  const text = JSON.stringify(document).replaceAll(/"\\u0001long:(-?\d+)"/g, "$1");
  if (!random.once(30)) return text;
  const at = random.below(text.length);
  return random.once(2)
    ? text.slice(0, at)
    : `${text.slice(0, at)}${random.pick(["\u0000", "{", '"', ",", "9", "\\"])}${text.slice(at + 1)}`;
}
