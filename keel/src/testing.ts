// For unit tests under Node: the few facts of `sys` that pure modules read when they are loaded. Import it first.
(globalThis as { sys?: unknown }).sys = {
  machine: "x86_64",
  errnoName: (errno: number) => `errno ${errno}`,
  errnoText: (errno: number) => `errno ${errno}`,
  bytesFromString: (text: string) => {
    const utf8 = unescape(encodeURIComponent(text));
    const bytes = new Uint8Array(utf8.length);
    for (let i = 0; i < utf8.length; i++) bytes[i] = utf8.charCodeAt(i);
    return bytes;
  },
  stringFromBytes: (bytes: Uint8Array, start: number, end: number) => {
    let utf8 = "";
    for (let i = start; i < end; i++) utf8 += String.fromCharCode(bytes[i] as number);
    return decodeURIComponent(escape(utf8));
  },
};

export {};
