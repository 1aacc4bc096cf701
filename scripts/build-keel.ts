/**
 * Builds keel/build/keel: every keel/src/entry/*.ts becomes byte code, made by the same engine that will run it, and is
 * linked with the C of keel/native into one static binary. The lowered scripts stay at keel/build/*.js for the gate.
 *
 * KEEL_SANITIZE=1 builds keel/build/sanitized/keel instead, in which the compiler watches addresses and undefined behaviour.
 */
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { promisify } from "node:util";
import { deflateRawSync } from "node:zlib";
import { bundlePart, bundleWhole, filesOf, linked, namesIn } from "./bundle.ts";
import { FORBIDDEN_MATH } from "./es5-gate.ts";
import { heapImage } from "./heap-image.ts";
import { leanCode } from "./lean-code.ts";

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, "..");
const SANITIZE = process.env["KEEL_SANITIZE"] === "1";
const BUILD = join(ROOT, SANITIZE ? "keel/build/sanitized" : "keel/build");
const OBJECTS = join(BUILD, "obj");
const NATIVE = join(ROOT, "keel/native");
const DUKTAPE = process.env["DUKTAPE_DIR"] ?? "/usr/share/duktape";
const GCC = process.env["CC"] ?? "gcc";
/** musl where it is there: a static program with it starts in a third of glibc's time and needs half of its memory. */
const MUSL = !SANITIZE && process.env["KEEL_LIBC"] !== "glibc" && spawnSync("musl-gcc", ["--version"]).status === 0;
const CC = MUSL ? "musl-gcc" : GCC;
/** The product promises a small runtime (docs/PROMISES.md); one that grew is a mistake to look at, not to ship. */
const SIZE_LIMIT = 1_500_000;
/** The script that is evaluated at build time: the binary holds the heap that comes of it, at an address of its own. */
const IMAGE = "image";
const IMAGE_ADDRESS = 0x10000000;
/** Modules that a process may begin with instead of the image. */
const ALONE: readonly string[] = ["monitor"];
/** Modules that share nothing with the image, since those may load them. */
const WHOLE: readonly string[] = [...ALONE, "uncommon"];
/** What the engine would keep for every function, lines and file names; then what no script of ours uses (ADR 18). */
const WITHOUT: readonly string[] = [
  "DUK_USE_PC2LINE",
  "DUK_USE_FUNC_FILENAME_PROPERTY",
  "DUK_USE_BASE64_SUPPORT",
  "DUK_USE_CBOR_BUILTIN",
  "DUK_USE_CBOR_SUPPORT",
  "DUK_USE_COROUTINE_SUPPORT",
  "DUK_USE_DATE_BUILTIN",
  "DUK_USE_ENCODING_BUILTINS",
  "DUK_USE_ES6_PROXY",
  "DUK_USE_HEX_SUPPORT",
  "DUK_USE_JC",
  "DUK_USE_JX",
  "DUK_USE_PERFORMANCE_BUILTIN",
  "DUK_USE_REFLECT_BUILTIN",
];
/** Built-in functions that are values instead of objects: 40 KiB less in every process. */
const WITH: readonly string[] = ["DUK_USE_LIGHTFUNC_BUILTINS"];
/** The table of strings: big enough for the image's at once, and up to 24 strings for 16 places before it doubles. */
const STRINGS: readonly string[] = ["DUK_USE_STRTAB_MINSIZE 2048", "DUK_USE_STRTAB_GROW_LIMIT 24"];
/** The engine's code: a twelfth smaller than GCC makes it otherwise, and as fast as far as can be measured. */
const ENGINE_FLAGS: readonly string[] = [
  "--param=inline-unit-growth=8",
  "-fno-align-functions",
  "-fno-align-jumps",
  "-fno-align-labels",
];
/** Sources that are no part of the binary. */
const TOOLS: readonly string[] = ["compile.c"];

const CFLAGS: readonly string[] = [
  "-std=gnu11",
  "-D_GNU_SOURCE",
  ...(SANITIZE ? ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address"] : ["-O2", "-g0"]),
  "-fno-pie",
  "-ffunction-sections",
  "-fdata-sections",
  "-fno-asynchronous-unwind-tables",
  "-fno-unwind-tables",
  "-fstack-protector-strong",
  ...libraryFlags(),
];
/** Of our own sources: the engine shifts and casts as it likes. */
const UNDEFINED: readonly string[] = SANITIZE ? ["-fsanitize=undefined", "-fno-sanitize-recover=all"] : [];
const WARNINGS: readonly string[] = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wno-unused-parameter"];

function libraryFlags(): string[] {
  // kernel and library headers, behind musl's own
  if (MUSL) return includeDirectories().flatMap((directory) => ["-idirafter", directory]);
  // the checked functions would hide from the sanitizer what it looks for
  return SANITIZE ? [] : ["-D_FORTIFY_SOURCE=2"];
}

/** Where the system's compiler looks for headers, without its own ones. */
function includeDirectories(): string[] {
  const { stderr } = spawnSync(GCC, ["-E", "-Wp,-v", "-xc", "/dev/null"], { encoding: "utf8" });
  const lines = stderr.split("\n").filter((line) => line.startsWith(" /"));
  return lines.map((line) => line.trim()).filter((directory) => !directory.includes("/gcc/"));
}

/** Full path of a static library of the system, which musl's linker does not look for. */
function library(name: string): string {
  const path = execFileSync(GCC, [`-print-file-name=lib${name}.a`], { encoding: "utf8" }).trim();
  if (!path.includes("/")) throw new Error(`there is no lib${name}.a: setup/packages names its package`);
  return path;
}

async function cc(args: readonly string[]): Promise<void> {
  try {
    await run(CC, args, { cwd: ROOT });
  } catch (error) {
    const stderr = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
    throw new Error(`${CC} ${args.join(" ")}\n${stderr || String(error)}`);
  }
}

/** The digest of everything an object is made of; objects are kept by it, so that only what changed is compiled. */
function keyOf(source: string, args: readonly string[]): string {
  // without our own place, so that a copy of the tree takes over what is compiled
  const flags = JSON.stringify(args).replaceAll(ROOT, "");
  const hash = createHash("sha256").update(flags).update(readFileSync(source));
  for (const header of [...globSync(join(NATIVE, "*.h")).sort(), join(OBJECTS, "duk_config.h")]) {
    hash.update(readFileSync(header));
  }
  return hash.digest("hex");
}

async function compile(source: string, flags: readonly string[]): Promise<string> {
  const object = join(OBJECTS, `${basename(source, ".c")}.o`);
  const args = [...CFLAGS, ...flags, "-include", join(OBJECTS, "duk_config.h"), `-I${DUKTAPE}`, "-c", source];
  const key = keyOf(source, args);
  if (existsSync(object) && existsSync(`${object}.key`) && readFileSync(`${object}.key`, "utf8") === key) return object;
  rmSync(`${object}.key`, { force: true });
  await cc([...args, "-o", object]);
  writeFileSync(`${object}.key`, key);
  return object;
}

/** The engine's own configuration with our choices; it goes before the packaged one, whose include guard it sets. */
function writeDuktapeConfig(): void {
  const packaged = readFileSync(join(DUKTAPE, "duk_config.h"), "utf8");
  const last = packaged.lastIndexOf("#endif");
  const chosen = [...WITH, ...STRINGS, ...FORBIDDEN_MATH.map((name) => `DUK_${name.toUpperCase()} keel_no_number`)];
  const without = [...WITHOUT, ...chosen].map((option) => `#undef ${option.split(" ")[0]}\n`);
  const choices = [...without, ...chosen.map((option) => `#define ${option}\n`)].join("");
  const absent = "double keel_no_number(double x);\n";
  const text = `${packaged.slice(0, last)}${choices}${absent}${packaged.slice(last)}`;
  writeIfChanged(join(OBJECTS, "duk_config.h"), text);
}

function writeIfChanged(path: string, text: string): void {
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeFileSync(path, text);
}

/** C source that takes the byte code of each module into the binary's read-only data. */
function moduleTable(names: readonly string[]): string {
  const symbol = (name: string): string => `keel_code_${name.replaceAll("-", "_")}`;
  const data = names.map(
    (name) =>
      `__asm__(".section .rodata\\n.balign 16\\n${symbol(name)}: .incbin \\"${storedPath(name)}\\"\\n${symbol(name)}_end:\\n.previous");\n` +
      `extern const unsigned char ${symbol(name)}[], ${symbol(name)}_end[];\n`,
  );
  const rows = names.map((name) => {
    const stored = statSync(storedPath(name)).size;
    const inflated = statSync(join(OBJECTS, `${name}.bin`)).size;
    return `  {"${name}", ${symbol(name)}, ${stored}, ${inflated}, ${Number(ALONE.includes(name))}},\n`;
  });
  return `#include "keel.h"\n${data.join("")}const struct keel_module keel_modules[] = {\n${rows.join("")}  {0, 0, 0, 0, 0},\n};\n`;
}

/** What the binary holds of a module. */
function storedPath(name: string): string {
  return join(OBJECTS, `${name}.bin.z`);
}

/** The names of all modules; their scripts and byte code are written. */
async function buildModules(compiler: string): Promise<readonly string[]> {
  const entries = globSync("keel/src/entry/*.ts", { cwd: ROOT, exclude: ["**/*.test.ts"] }).sort();
  const image = `keel/src/entry/${IMAGE}.ts`;
  const shared = await filesOf(image);
  const parts = new Map<string, string>();
  for (const entry of entries.filter((each) => each !== image)) {
    const isWhole = WHOLE.includes(basename(entry, ".ts"));
    parts.set(entry, await (isWhole ? bundleWhole(entry, []) : bundlePart(entry, shared)));
  }
  const names = [...new Set([...parts.values()].flatMap(namesIn))].sort();
  const scripts = [...parts].map(([entry, part]) => [entry, linked(part, names)] as const);
  const whole = [image, await bundleWhole(image, names)] as const;
  return Promise.all([whole, ...scripts].map(([entry, text]) => compileScript(basename(entry, ".ts"), text, compiler)));
}

async function compileScript(name: string, text: string, compiler: string): Promise<string> {
  const script = join(BUILD, `${name}.js`);
  writeFileSync(script, text);
  const code = join(OBJECTS, `${name}.bin`);
  // the tool ends without giving memory back
  const env = { ...process.env, ASAN_OPTIONS: "detect_leaks=0" };
  await run(compiler, [script, name, code], { env });
  writeFileSync(code, leanCode(readFileSync(code), text));
  writeFileSync(storedPath(name), deflateRawSync(readFileSync(code), { level: 9 }));
  return name;
}

/**
 * Two links of the same code: the first has no image, and makes it.
 *
 * @param objects all but what says where the image is
 */
async function linkKeel(objects: readonly string[], output: string): Promise<void> {
  const libraries = [...["seccomp", "archive", "zstd", "nettle"].map(library), "-lm"];
  const kind = SANITIZE ? ["-fsanitize=address,undefined"] : ["-static", "-s"];
  const options = [
    ...kind,
    "-no-pie",
    `-Wl,--gc-sections,-z,noexecstack,-e,keel_entry,--section-start=.heap=${IMAGE_ADDRESS.toString(16)}`,
  ];
  // nothing of ours unwinds a stack
  const script = join(OBJECTS, "discard.ld");
  writeFileSync(script, "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.comment) } } INSERT AFTER .data;\n");
  if (MUSL) options.push(`-Wl,-T,${script}`);
  const link = async (image: readonly string[], to: string): Promise<void> =>
    cc([...options, ...objects, ...image, ...libraries, "-o", to]);
  if (SANITIZE) return link([await compileImage("no-image", "")], output);
  const seed = join(OBJECTS, "seed");
  // a page of zeros in its place, so that all else is where it will be
  await link([await compileImage("empty-image", ".zero 4096")], seed);
  // the engine's hashes begin with the low half of the address
  const [one, other] = [2 ** 32, 2 ** 33].map((distance) => {
    const address = IMAGE_ADDRESS + distance;
    const file = join(OBJECTS, `${address}.heap`);
    execFileSync(seed, [String(address), join(OBJECTS, `${IMAGE}.bin`), file]);
    return { address, bytes: readFileSync(file) };
  });
  if (one === undefined || other === undefined) throw new Error("no recordings");
  writeFileSync(join(OBJECTS, "heap"), heapImage(one, other, IMAGE_ADDRESS));
  await link([await compileImage("image", `.incbin \\"${join(OBJECTS, "heap")}\\"`)], output);
  if (!codeOf(seed).equals(codeOf(output))) throw new Error("the image was made by other code than the binary has");
}

/** @param content as the assembler takes it; "" for no image at all */
async function compileImage(name: string, content: string): Promise<string> {
  const source = join(OBJECTS, `${name}.c`);
  const section = `__asm__(".section .heap,\\"aw\\"\\n.balign 4096\\nkeel_heap: ${content}\\n.previous");\n`;
  const here = `${section}extern struct heap keel_heap;\nstruct heap *const keel_image = &keel_heap;\n`;
  writeFileSync(source, `#include "heap.h"\n${content === "" ? "struct heap *const keel_image = 0;\n" : here}`);
  rmSync(join(OBJECTS, `${name}.o.key`), { force: true });
  return compile(source, [`-I${NATIVE}`]);
}

/** An ELF file's instructions with their address. */
function codeOf(path: string): Buffer {
  const file = readFileSync(path);
  const headers = Number(file.readBigUInt64LE(0x20));
  for (let at = headers; ; at += file.readUInt16LE(0x36)) {
    // the first segment that is to be loaded (1) and executed
    if (file.readUInt32LE(at) !== 1 || (file.readUInt32LE(at + 4) & 1) === 0) continue;
    const [offset, size] = [Number(file.readBigUInt64LE(at + 8)), Number(file.readBigUInt64LE(at + 32))];
    return Buffer.concat([file.subarray(at + 16, at + 24), file.subarray(offset, offset + size)]);
  }
}

async function main(): Promise<void> {
  mkdirSync(OBJECTS, { recursive: true });
  writeDuktapeConfig();
  const engine = await compile(join(DUKTAPE, "duktape.c"), ["-w", ...ENGINE_FLAGS, "-DDUK_COMPILING_DUKTAPE="]);
  const compiler = join(OBJECTS, "compile");
  const sanitizers = SANITIZE ? ["-fsanitize=address,undefined"] : [];
  const tool = await compile(join(NATIVE, "compile.c"), WARNINGS);
  const absent = await compile(join(NATIVE, "absent.c"), WARNINGS);
  await cc(["-no-pie", ...sanitizers, tool, engine, absent, "-lm", "-o", compiler]);

  const names = await buildModules(compiler);
  const modules = SANITIZE ? names : names.filter((name) => name !== IMAGE);
  for (const old of globSync(join(BUILD, "*.js"))) if (!names.includes(basename(old, ".js"))) rmSync(old);
  writeFileSync(join(OBJECTS, "modules.c"), moduleTable(modules));

  const sources = globSync(join(NATIVE, "*.c")).filter((source) => !TOOLS.includes(basename(source)));
  const flags = [...WARNINGS, `-I${NATIVE}`];
  // it runs before the C library, and so before the sanitizers
  const flagsOf = (source: string): string[] =>
    basename(source) === "seal.c" ? [...flags, ...(SANITIZE ? ["-fno-sanitize=all"] : [])] : [...flags, ...UNDEFINED];
  const objects = await Promise.all(sources.sort().map((source) => compile(source, flagsOf(source))));
  rmSync(join(OBJECTS, "modules.o.key"), { force: true });
  objects.push(await compile(join(OBJECTS, "modules.c"), [`-I${NATIVE}`]));

  const output = join(BUILD, "keel");
  await linkKeel([...objects, engine], `${output}.new`);
  const { size } = statSync(`${output}.new`);
  if (MUSL && size > SIZE_LIMIT) {
    process.stderr.write(`keel is ${size} bytes, at most ${SIZE_LIMIT} are allowed\n`);
    process.exit(1);
  }
  renameSync(`${output}.new`, output);
}

/** The system's static libraries are made for glibc: where they need more of it than musl has, glibc it is. */
try {
  await main();
} catch (error) {
  if (!MUSL) throw error;
  const env = { ...process.env, KEEL_LIBC: "glibc" };
  const again = spawnSync(process.execPath, [import.meta.filename], { env, stdio: "inherit" });
  if (again.status !== 0) throw error;
}
