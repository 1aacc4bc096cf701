/** Stands in the bundle for Node's crypto module, which bcryptjs names but does not need: see build-cli.ts. */
// biome-ignore lint/style/noDefaultExport: bcryptjs imports the default
export default {};
