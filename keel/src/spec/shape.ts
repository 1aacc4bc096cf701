/**
 * A small language for the shapes of JSON: "s" string, "b" boolean, "n" integer that fits 2^53, "u" the same and not
 * negative, "d" user or group id, "i" 64-bit integer (number or decimal string), "a" anything; `!` after it: must be there. An array of one
 * shape is a list, `{"*": shape}` a map, any other object a record whose unknown fields are ignored (runtime-spec
 * "Extensibility"); a record with "!" must be there.
 */
export type Shape = string | readonly [Shape] | { readonly [field: string]: Shape };

const WORDS: { [tag: string]: string } = {
  s: "a string",
  b: "a boolean",
  n: "an integer",
  u: "an integer, 0 or more",
  d: "an integer from 0 to 4294967294",
  i: "a 64-bit integer",
};

/** Where a record keeps the names of its fields that must be there, with a space before each. */
const REQUIRED = "!!";

/** Notes in each record of a shape which fields it must have: done while the image is made, it costs a process nothing. */
export function prepared(shape: Shape): Shape {
  if (typeof shape === "string") return shape;
  if (Array.isArray(shape)) {
    prepared(shape[0] as Shape);
    return shape;
  }
  const fields = shape as { [field: string]: Shape };
  if (fields[REQUIRED] !== undefined) return shape;
  const names = requiredOf(fields);
  for (const key in fields) prepared(fields[key] as Shape);
  fields[REQUIRED] = names;
  return shape;
}

function requiredOf(fields: { readonly [field: string]: Shape }): string {
  const noted = fields[REQUIRED];
  if (typeof noted === "string") return noted;
  let names = "";
  for (const key in fields) if (key.charAt(0) !== "!" && isRequired(fields[key] as Shape)) names += ` ${key}`;
  return names;
}

function isRequired(shape: Shape): boolean {
  return typeof shape === "string" ? shape.charAt(1) === "!" : (shape as { "!"?: string })["!"] !== undefined;
}

/** Appends one sentence for each place of `value` that does not fit `shape`: `process.args[1]: must be a string`. */
export function checkShape(value: unknown, shape: Shape, path: string, problems: string[]): void {
  if (!fitsShape(value, shape)) walk(value, shape, path, problems);
}

/** Whether there is nothing to say: nearly always, and much cheaper than to know the way to each place. */
function fitsShape(value: unknown, shape: Shape): boolean {
  if (value === undefined || value === null) return !isRequired(shape);
  if (typeof shape === "string") return fits(value, shape.charAt(0));
  if (Array.isArray(shape)) {
    const element = shape[0] as Shape;
    if (!Array.isArray(value)) return false;
    for (let i = 0; i < value.length; i++) if (value[i] === null || !fitsShape(value[i], element)) return false;
    return true;
  }
  if (typeof value !== "object" || Array.isArray(value)) return false;
  const record = value as { readonly [field: string]: unknown };
  const fields = shape as { readonly [field: string]: Shape };
  const every = fields["*"];
  for (const key in record) {
    const field = every || fields[key];
    // unknown, or of the kind that every object has: the walk knows what to do
    if (!field || typeof field === "function" || !fitsShape(record[key], field)) return false;
  }
  const names = requiredOf(fields);
  if (names === "") return true;
  const required = names.split(" ");
  for (let i = 1; i < required.length; i++) {
    const there = record[required[i] as string];
    if (there === undefined || there === null) return false;
  }
  return true;
}

function walk(value: unknown, shape: Shape, path: string, problems: string[]): void {
  if (value === undefined || value === null) {
    if (isRequired(shape)) problems.push(`${path}: is required`);
    return;
  }
  if (typeof shape === "string") {
    const tag = shape.charAt(0);
    if (!fits(value, tag)) problems.push(`${path}: must be ${WORDS[tag]}`);
    return;
  }
  const isArray = Array.isArray(value);
  if (Array.isArray(shape)) {
    if (!isArray) {
      problems.push(`${path}: must be an array`);
      return;
    }
    const list = value as unknown[];
    const element = (shape as readonly [Shape])[0];
    for (let i = 0; i < list.length; i++) {
      if (list[i] === null) problems.push(`${path}[${i}]: must not be null`);
      else walk(list[i], element, `${path}[${i}]`, problems);
    }
    return;
  }
  if (typeof value !== "object" || isArray) {
    problems.push(`${path}: must be an object`);
    return;
  }
  const record = value as { [field: string]: unknown };
  const fields = shape as { [field: string]: Shape };
  const prefix = path === "" ? "" : `${path}.`;
  const every = fields["*"];
  if (every) {
    for (const key in record) walk(record[key], every, prefix + key, problems);
    return;
  }
  const before = problems.length;
  const known = checkFields(record, fields, prefix, problems);
  if (known === Object.keys(record).length || !adoptCase(record, fields)) return;
  problems.length = before;
  checkFields(record, fields, prefix, problems);
}

/** Returns how many of the fields are there. */
function checkFields(
  record: { [field: string]: unknown },
  fields: { [field: string]: Shape },
  prefix: string,
  problems: string[],
): number {
  let known = 0;
  for (const key in fields) {
    if (key.charAt(0) === "!") continue;
    const value = record[key];
    if (value !== undefined) known++;
    walk(value, fields[key] as Shape, prefix + key, problems);
  }
  return known;
}

/**
 * Go's decoder, and so runc, takes a field in any case of its letters; one that we overlooked could be a limit of the
 * container. Gives such a field its name, unless that is there too, and tells whether there was one.
 */
function adoptCase(record: { [field: string]: unknown }, fields: { [field: string]: Shape }): boolean {
  const names: { [lower: string]: string } = {};
  for (const key in fields) names[key.toLowerCase()] = key;
  const keys = Object.keys(record);
  let adopted = false;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    const name = names[key.toLowerCase()];
    if (typeof name !== "string" || record[name] !== undefined) continue;
    record[name] = record[key];
    delete record[key];
    adopted = true;
  }
  return adopted;
}

function fits(value: unknown, tag: string): boolean {
  switch (tag) {
    case "s":
      return typeof value === "string" && value.indexOf("\u0000") < 0;
    case "b":
      return typeof value === "boolean";
    case "n":
      return typeof value === "number" && Math.floor(value) === value && Math.abs(value) <= 9007199254740991;
    case "u":
      return typeof value === "number" && value >= 0 && Math.floor(value) === value && value <= 9007199254740991;
    case "d":
      // (uid_t)-1 means "leave it as it is" to the kernel: a container asking for it would stay root
      return typeof value === "number" && value >= 0 && Math.floor(value) === value && value < 4294967295;
    case "i":
      return typeof value === "number"
        ? Math.floor(value) === value && Math.abs(value) <= 9007199254740991
        : typeof value === "string" && isInt64(value);
    default:
      return true;
  }
}

/** From -2^63 to 2^64 - 1, since the kernel has limits of both kinds. */
function isInt64(text: string): boolean {
  const match = /^(-?)0*(\d{1,20})$/.exec(text);
  if (!match) return false;
  const digits = match[2] as string;
  const largest = match[1] === "-" ? "9223372036854775808" : "18446744073709551615";
  return digits.length < largest.length || (digits.length === largest.length && digits <= largest);
}
