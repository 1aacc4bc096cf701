/**
 * Makes the engine's byte code leaner than its compiler does. The shape of a dump is Duktape's own (2.7: `duk__dump_func`):
 * counts, flags, instructions, constants, inner functions, name, variables, formals; big-endian, strings with their length.
 */

/** DUK_HOBJECT_FLAG_CONSTRUCTABLE: the engine makes a prototype object for every closure of such a function. */
const CONSTRUCTABLE = 1 << 8;
const MARK = 0xbf;
const NO_FORMALS = 0xffffffff;

/**
 * Takes from every function that is not called with `new` that it may be: a prototype for each would be a tenth of the heap.
 *
 * @param code a dump of duk_dump_function
 * @param script what it was made of
 * @returns a copy of the same length
 * @throws Error when the bytes have another shape, as those of another version of the engine might
 */
export function leanCode(code: Uint8Array, script: string): Uint8Array {
  const classes = new Set([...script.matchAll(/\bnew ([\w$]+)/g)].map((found) => found[1] ?? ""));
  const lean = Uint8Array.from(code);
  const view = new DataView(lean.buffer);
  if (lean[0] !== MARK) throw new Error("byte code does not start with the engine's mark");
  const end = leanFunction(view, 1, classes);
  if (end !== lean.length) throw new Error(`byte code has ${lean.length} bytes, its functions end at ${end}`);
  return lean;
}

function leanFunction(view: DataView, start: number, classes: ReadonlySet<string>): number {
  const [instructions, constants, functions] = [
    view.getUint32(start),
    view.getUint32(start + 4),
    view.getUint32(start + 8),
  ];
  // registers and arguments in 16 bits each, two line numbers in 32
  const flagsAt = start + 24;
  let at = flagsAt + 4 + 4 * instructions;
  for (let i = 0; i < constants; i++) at = view.getUint8(at) === 0 ? afterString(view, at + 1) : at + 9;
  for (let i = 0; i < functions; i++) at = leanFunction(view, at, classes);
  // the number of arguments is before the name
  const afterName = afterString(view, at + 4);
  const name = Buffer.from(view.buffer, at + 8, afterName - at - 8).toString();
  if (!classes.has(name)) view.setUint32(flagsAt, view.getUint32(flagsAt) & ~CONSTRUCTABLE);
  at = afterVariables(view, afterName);
  const formals = view.getUint32(at);
  at += 4;
  for (let i = 0; formals !== NO_FORMALS && i < formals; i++) at = afterString(view, at);
  return at;
}

/** Names with their registers, up to an empty name. */
function afterVariables(view: DataView, start: number): number {
  let at = start;
  while (view.getUint32(at) > 0) at = afterString(view, at) + 4;
  return at + 4;
}

function afterString(view: DataView, at: number): number {
  return at + 4 + view.getUint32(at);
}
