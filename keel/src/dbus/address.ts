/**
 * Socket paths of a D-Bus server address (`unix:path=/run/user/1000/bus;…`), in their order; entries of other kinds are
 * left out. Values are percent-escaped (D-Bus specification, "Server Addresses").
 */
export function socketPaths(address: string): string[] {
  const paths: string[] = [];
  const entries = address.split(";");
  for (let i = 0; i < entries.length; i++) {
    const match = /^unix:(?:[^,]*,)*path=([^,]*)/.exec(entries[i] as string);
    const path = match ? unescaped(match[1] as string) : "";
    if (path !== "") paths.push(path);
  }
  return paths;
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
