export { BerthError, type BerthErrorOptions, errnoOf, isCode } from "./error.ts";
