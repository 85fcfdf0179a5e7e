// The viewer's files share one scope, as Streamlit gets them joined; here they are run in such a scope, without a page.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import vm from "node:vm";

const FOLDER = new URL("../../views/viewer/js/", import.meta.url);
const FILES = [
  "words", "components", "store", "drawing", "outline", "pane", "pointer", "window", "labels", "controls", "panels", "link", "lesion",
  "epochs", "stage", "telling", "leaving", "viewer", "main",
];

class ImageData {
  constructor(width, height) {
    Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) });
  }
}

/** Return the named declarations of the viewer, with its own copy of everything. */
export function load(...names) {
  const context = vm.createContext({ ImageData, Blob, Response, DecompressionStream, TextDecoder });
  for (const name of FILES) {
    const file = new URL(`${name}.js`, FOLDER);
    const source = readFileSync(file, "utf8").replace("export default function", "function component");
    vm.runInContext(source, context, { filename: fileURLToPath(file) });
  }
  return vm.runInContext(`({ ${names.join(", ")} })`, context);
}

/** Arrays of another scope as plain ones, to compare them by value. */
export const plain = (array) => Array.from(array);
